/** Numbers for people: round ticks, round lengths, and figures with suitable digits. */

const MINUS = "\u2212";
/** Numbers between these are written without an exponent. */
const [LEAST_PLAIN, MOST_PLAIN] = [1e-4, 1e6];

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

/**
 * Return a number with three significant digits and a true minus sign; "–" for none.
 *
 * As `number` of the package's `maps/numbers.py` does; whole numbers keep all of their digits.
 */
export function figure(number, digits = 3) {
  if (number === null || number === undefined || !Number.isFinite(number)) return "–";
  const size = Math.abs(number);
  if (size >= 10 ** digits && size < MOST_PLAIN) return withMinus(number.toFixed(0));
  const rounded = Number(number.toPrecision(digits)) + 0;
  if (size === 0 || (size >= LEAST_PLAIN && size < MOST_PLAIN)) return withMinus(String(rounded));
  const [lead, power] = rounded.toExponential().split("e");
  return withMinus(`${lead}e${power[0]}${power.slice(1).padStart(2, "0")}`);
}

/** Return a text with its leading hyphen as a true minus sign. */
function withMinus(text) {
  return text.replace(/^-/, MINUS);
}

/**
 * Return a probability with three significant digits of itself or, above a half, of what is left
 * to 1: "0.99987", and "1 − 1.2e-07" of next to certainty. As `probability` of `maps/numbers.py`.
 */
export function probability(p) {
  const rest = 1 - p;
  if (!(p > 0 && p < 1)) return figure(p);
  if (rest < LEAST_PLAIN) return `1 ${MINUS} ${figure(rest)}`;
  const least = Math.min(p, rest);
  if (least < LEAST_PLAIN) return figure(p);
  // Rounding may carry: 0.0999999 has three digits as 0.100.
  return p.toFixed(2 - Number(least.toExponential(2).split("e")[1]));
}

/** Return a number with the decimals that suit a range of some span, and a few `more`. */
export function figureWithin(number, span, more = 2) {
  if (!(span > 0)) return figure(number);
  const decimals = Math.ceil(-Math.log10(span)) + more;
  if (decimals > 8 || span >= 1e6) return figure(number, 3);
  return withMinus(plainNumber(number, decimals));
}

/** Return the same as text for number fields, with a hyphen as minus sign. */
export function fieldNumber(number, span) {
  const decimals = span > 0 ? Math.ceil(-Math.log10(span)) + 3 : 6;
  return decimals > 8 ? String(Number(number.toPrecision(4))) : plainNumber(number, decimals);
}

function plainNumber(number, decimals) {
  return String(Number(number.toFixed(Math.max(0, decimals))) + 0);
}

/** Return a place in µm with one decimal, and thin spaces between thousands. */
export function micrometres(um) {
  const [whole, part] = Math.abs(um).toFixed(1).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, "\u202f");
  return `${um < 0 && Number(um.toFixed(1)) !== 0 ? MINUS : ""}${grouped}.${part}`;
}
