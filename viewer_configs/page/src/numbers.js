/** Numbers for people: round ticks, round lengths, and figures with suitable digits. */

const MINUS = "\u2212";

/** Return the largest 1, 2 or 5 times a power of ten that is not above a positive number. */
export function roundDown(number) {
  const power = 10 ** Math.floor(Math.log10(number));
  const lead = [5, 2, 1].find((digit) => digit * power <= number * (1 + 1e-12)) ?? 1;
  return lead * power;
}

/** Return the smallest 1, 2 or 5 times a power of ten that is not below a positive number. */
export function roundUp(number) {
  const power = 10 ** Math.floor(Math.log10(number));
  const lead = [1, 2, 5].find((digit) => digit * power >= number * (1 - 1e-12)) ?? 10;
  return lead * power;
}

/** Return round numbers from `lower` to `upper`, at most `count + 1` of them, ascending. */
export function roundTicks(lower, upper, count = 5) {
  if (!(upper > lower)) return [];
  const step = roundUp((upper - lower) / count);
  const first = Math.ceil(lower / step - 1e-9);
  const last = Math.floor(upper / step + 1e-9);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => clean((first + index) * step));
}

function clean(number) {
  return Number(number.toPrecision(12)) + 0;
}

/**
 * Return the longest round length that fits: { um, px, text }.
 *
 * @param umPerPx µm per screen pixel
 * @param maxPx the available width
 */
export function scaleBar(umPerPx, maxPx) {
  const um = clean(roundDown(umPerPx * maxPx));
  return { um, px: um / umPerPx, text: lengthText(um) };
}

/** Return a length with the unit that suits it: "50 µm", "2 mm", "200 nm". */
export function lengthText(um) {
  if (um >= 1e4) return `${clean(um / 1e4)} cm`;
  if (um >= 1e3) return `${clean(um / 1e3)} mm`;
  if (um >= 1) return `${clean(um)} µm`;
  return `${clean(um * 1e3)} nm`;
}

/** Return a number with a few significant digits, and a true minus sign; "–" for none. */
export function figure(number, digits = 4) {
  if (number === null || number === undefined || !Number.isFinite(number)) return "–";
  const size = Math.abs(number);
  const text =
    size !== 0 && (size < 1e-4 || size >= 1e6)
      ? number.toExponential(Math.max(0, digits - 2)).replace("e+", "e")
      : plain(number, digits);
  return text.replaceAll("-", MINUS);
}

function plain(number, digits) {
  return String(Number(number.toPrecision(digits)) + 0);
}

/** Return a number with the decimals that suit a range of some span, and a few `more`. */
export function figureWithin(number, span, more = 2) {
  if (!(span > 0)) return figure(number);
  const decimals = Math.ceil(-Math.log10(span)) + more;
  if (decimals > 8 || span >= 1e6) return figure(number, 3);
  return plainNumber(number, decimals).replaceAll("-", MINUS);
}

/** Return the same as text for number fields, with a hyphen as minus sign. */
export function fieldNumber(number, span) {
  const decimals = span > 0 ? Math.ceil(-Math.log10(span)) + 3 : 6;
  return decimals > 8 ? String(Number(number.toPrecision(4))) : plainNumber(number, decimals);
}

function plainNumber(number, decimals) {
  return String(Number(number.toFixed(Math.max(0, decimals))) + 0);
}

/** Return a probability in per cent: "93 %", "0.4 %"; "–" for none. */
export function percent(fraction) {
  if (fraction === null || fraction === undefined || !Number.isFinite(fraction)) return "–";
  const per = fraction * 100;
  const digits = per > 0 && per < 10 ? 1 : per > 99 && per < 100 ? 1 : 0;
  return `${per.toFixed(digits)} %`;
}

/** Return a place in µm with one decimal, and thin spaces between thousands. */
export function micrometres(um) {
  const [whole, part] = Math.abs(um).toFixed(1).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, "\u202f");
  return `${um < 0 && Number(um.toFixed(1)) !== 0 ? MINUS : ""}${grouped}.${part}`;
}
