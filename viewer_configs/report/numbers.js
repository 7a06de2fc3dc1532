/* Formats numbers for people. */

const MINUS = "\u2212";

/** Return a number with `digits` significant digits, and an exponent only if needed. */
export function number(value, digits = 4) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : `${MINUS}∞`;
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e6 || size < 1e-4
    ? value.toExponential(digits - 1)
    : Number(value.toPrecision(digits)).toString();
  return text.replaceAll("-", MINUS);
}

/** Return a number with `places` decimals. */
export function decimals(value, places) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return value.toFixed(places).replaceAll("-", MINUS);
}

/** Return a number of a scale, to a thousandth of the scale's span. */
export function tick(value, span) {
  if (!Number.isFinite(value) || !(span > 0)) return number(value, 3);
  const step = 10 ** Math.floor(Math.log10(span / 500));
  return number(Number((Math.round(value / step) * step).toPrecision(12)));
}

/** Return a share as a percentage. */
export function percent(share, places = 0) {
  if (share === null || share === undefined || !Number.isFinite(share)) return "–";
  const value = 100 * share;
  if (value > 0 && value < 10 ** -places / 2) return `< ${(10 ** -places).toFixed(places)} %`;
  return `${decimals(value, places)} %`;
}

/** Return a count with groups of three digits. */
export function count(value) {
  return Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
}

/** Return a count with its noun. */
export function counted(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Return a length in µm with a fitting unit. */
export function length(um) {
  return um >= 1000 ? `${number(um / 1000, 3)} mm` : `${number(um, 3)} µm`;
}

/** Return the largest 1, 2 or 5 times a power of ten that is at most `limit`. */
export function roundLength(limit) {
  const power = 10 ** Math.floor(Math.log10(limit));
  return [5, 2, 1].find((step) => step * power <= limit) * power;
}
