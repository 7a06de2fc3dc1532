/**
 * The colour bar: a map's colours from lower to upper, with numbers; hidden values are pale. Of a map
 * that fades it has two dimensions: the value from left to right, attention upwards.
 */

import { make } from "./dom.js";
import { figureWithin, figure, roundTicks } from "./numbers.js";
import { fadeOf, isShown, pixelAt } from "./painting.js";

const STEPS = 256;
const ROWS = 32;
const ROOM = 0.13;
const PALE = 40 / 255;

/**
 * Draw the bar into a canvas, and its numbers into an element below it.
 *
 * @param look { scale, from, to, fade }: fade is whether cells fade with attention
 * @param clips whether values lie beyond each end: [below, above]
 */
export function drawColourBar(canvas, numbers, range, look, clips) {
  canvas.width = STEPS;
  canvas.height = look.fade ? ROWS : 1;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  paintBar(new Uint32Array(image.data.buffer), range, look, canvas.height);
  context.putImageData(image, 0, 0);
  numbers.replaceChildren(...barLabels(range, clips).map((label) => numberOf(label)));
}

/** Paint rows of a bar into `out`, the first with full attention and the last without any. */
export function paintBar(out, { lower, upper }, look, rows) {
  for (let step = 0; step < STEPS; step += 1) {
    const value = lower + ((upper - lower) * step) / (STEPS - 1);
    const pixel = pixelAt(look.scale, value) & 0xffffff;
    const seen = isShown(value, look.from, look.to) ? 1 : PALE;
    for (let row = 0; row < rows; row += 1) {
      const attention = rows > 1 ? fadeOf(rows - 1 - row, { lower: 0, upper: rows - 1 }) : 1;
      out[row * STEPS + step] = (pixel | (Math.round(255 * seen * attention) << 24)) >>> 0;
    }
  }
}

function numberOf({ at, text, end }) {
  const mark = make("span", { className: end ? `tick ${end}` : "tick" }, text);
  mark.style.left = `${at * 100}%`;
  return mark;
}

/** Return the two numbers of a range as texts, with "≤" and "≥" where values lie beyond them. */
export function endsOf({ lower, upper }, clips) {
  const text = (value) => (upper > lower ? figureWithin(value, upper - lower) : figure(value));
  return [`${clips[0] ? "≤ " : ""}${text(lower)}`, `${clips[1] ? "≥ " : ""}${text(upper)}`];
}

/**
 * Return the numbers of a bar, { at: 0..1, text, end: "first" | "last" | "" }: its ends, the middle
 * of a diverging map, and round ones where there is room.
 */
export function barLabels({ lower, upper, middle }, clips = [false, false]) {
  const [first, last] = endsOf({ lower, upper }, clips);
  if (!(upper > lower)) return [{ at: 0.5, text: figure(lower), end: "" }];
  const label = (value) => ({ at: (value - lower) / (upper - lower), text: figureWithin(value, upper - lower), end: "" });
  const labels = [{ at: 0, text: first, end: "first" }, { at: 1, text: last, end: "last" }];
  const inside = [middle, ...roundTicks(lower, upper, 4)].filter((value) => value !== null && value !== undefined);
  for (const value of inside) {
    const next = label(value);
    if (labels.every((other) => Math.abs(other.at - next.at) > room(other, next))) labels.push(next);
  }
  return labels.sort((one, other) => one.at - other.at);
}

/** Numbers at the ends are written inwards, so they reach further into the bar. */
function room(other, next) {
  const characters = Math.max(other.text.length, next.text.length);
  return Math.max(ROOM, characters * 0.028) * (other.end === "" ? 1 : 1.25);
}
