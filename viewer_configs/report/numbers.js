/* Formats numbers for people: three significant digits, as heatmaps_ome/maps/numbers.py does. */

const MINUS = "\u2212";
/** Part of the other side's total below which a side's evidence is next to nothing. */
const LEAST_TOTAL = 0.01;

/** Return a number with three significant digits, and an exponent only if needed. */
export function number(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : `${MINUS}∞`;
  const size = Math.abs(value);
  let text;
  const [digit, exponent] = size.toExponential(digits - 1).split("e");
  // Rounding may carry: 0.00009996 has three digits as 0.0001.
  if (size !== 0 && (size >= 1e6 || exponent < -4)) {
    const power = Math.abs(Number(exponent)).toString().padStart(2, "0");
    text = `${Number(digit)}e${exponent < 0 ? "-" : "+"}${power}`;
  } else text = size >= 10 ** digits ? size.toFixed(0) : Number(size.toPrecision(digits)).toString();
  return value < 0 ? MINUS + text : text;
}

/** Return a probability with three significant digits of itself or, above 0.5, of 1 less it. */
export function probability(value) {
  if (value === null || value === undefined || !(value > 0 && value < 1)) return number(value);
  const rest = 1 - value;
  if (rest < 1e-4) return `1 ${MINUS} ${number(rest)}`;
  const least = Math.min(value, rest);
  if (least < 1e-4) return number(value);
  // Rounding may carry: 0.0999999 has three digits as 0.100.
  const text = value.toFixed(2 - Number(least.toExponential(2).split("e")[1]));
  // Three decimals at least, and no more than are needed.
  return text.slice(0, 5) + text.slice(5).replace(/0+$/, "");
}

/** Return a value of a map: a probability, or a number. */
export function valueText(value, unit) {
  return unit === "probability" && value >= 0 ? probability(value) : number(value);
}

/** Return a value that is stored in whole steps of a map, without digits that the steps do not have. */
export function storedText(value, { unit, values }) {
  const step = values?.steps && Number.isFinite(value) ? (values.max - values.min) / values.steps : 0;
  if (!(step > 0)) return valueText(value, unit);
  const places = Math.max(0, Math.ceil(-Math.log10(step)));
  if (unit === "probability" && value >= 0 && value < step) return `< ${number(step, 1)}`;
  if (unit === "probability" && value < 1 && 1 - value < step) return `> ${(1 - step).toFixed(places)}`;
  const text = valueText(value, unit);
  const digits = text.split(".")[1] ?? "";
  return places <= 20 && (digits.length > places || digits.includes("e")) && step > 1e-6 ? number(Number(value.toFixed(places)), 12) : text;
}

/** Return a prediction: a class's probability, or a value or risk. */
export function predictedText(value, task) {
  return task === "regression" || task === "survival" ? number(value) : probability(value);
}

/** Return a number with `places` decimals. */
export function decimals(value, places) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  return value.toFixed(places).replaceAll("-", MINUS);
}

/** Return a number of a scale, to a hundredth of the scale's span or three digits. */
export function tick(value, span) {
  if (!Number.isFinite(value) || !(span > 0)) return number(value);
  const step = 10 ** Math.floor(Math.log10(span / 100));
  const rounded = Number((Math.round(value / step) * step).toPrecision(12));
  const digits = rounded === 0 ? 3 : Math.floor(Math.log10(Math.abs(rounded) / step)) + 1;
  return number(rounded, Math.max(1, Math.min(12, digits)));
}

/** Return a share in per cent with three digits; only none and all are 0 and 100 %. */
export function percent(share) {
  if (share === null || share === undefined || !Number.isFinite(share)) return "–";
  if (share > 0 && share < 1e-4) return "< 0.01 %";
  if (share >= 0.9995 && share < 1 - 1e-9) return "> 99.9 %";
  return `${number(100 * share)} %`;
}

/** Return whether a side's total is so small beside the other's that shares of it mislead. */
export function isNextToNothing(total, beside) {
  return !(total > 0) || total < LEAST_TOTAL * beside;
}

/** Return a share of one side's evidence; it is not known where that side's is next to nothing. */
export function shareText(share, totals) {
  return (share === null || share === undefined) && totals !== null ? "next to nothing" : percent(share);
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
  return um >= 1000 ? `${number(um / 1000)} mm` : `${number(um)} µm`;
}

/** Return the largest 1, 2 or 5 times a power of ten that is at most `limit`. */
export function roundLength(limit) {
  const power = 10 ** Math.floor(Math.log10(limit));
  return [5, 2, 1].find((step) => step * power <= limit) * power;
}
