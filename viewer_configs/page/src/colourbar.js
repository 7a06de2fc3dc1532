/** The colour bar: a map's colours from lower to upper, with numbers; hidden values are pale. */

import { make } from "./dom.js";
import { figure, figureWithin, roundTicks } from "./numbers.js";
import { isShown, pixelAt } from "./painting.js";

const STEPS = 256;
const ROOM = 0.13;

/** Draw the bar into a canvas, and its numbers into an element below it. */
export function drawColourBar(canvas, numbers, map, look) {
  canvas.width = STEPS;
  canvas.height = 1;
  const context = canvas.getContext("2d");
  const image = context.createImageData(STEPS, 1);
  paintBar(new Uint32Array(image.data.buffer), map, look);
  context.putImageData(image, 0, 0);
  numbers.replaceChildren(...barLabels(map.range).map((label) => numberOf(label)));
}

function paintBar(pixels, map, look) {
  const { lower, upper } = map.range;
  for (let step = 0; step < STEPS; step += 1) {
    const value = lower + ((upper - lower) * step) / (STEPS - 1);
    const pixel = pixelAt(look.scale, value);
    const alpha = isShown(value, look.from, look.to) ? 255 : 40;
    pixels[step] = ((pixel & 0xffffff) | (alpha << 24)) >>> 0;
  }
}

function numberOf({ at, text, end }) {
  const mark = make("span", { className: end ? `tick ${end}` : "tick" }, text);
  mark.style.left = `${at * 100}%`;
  return mark;
}

/**
 * Return the numbers of a bar, { at: 0..1, text, end: "first" | "last" | "" }: its ends, the middle
 * of a diverging map, and round ones where there is room.
 */
export function barLabels({ lower, upper, middle }) {
  if (!(upper > lower)) return [{ at: 0.5, text: figure(lower, 3), end: "" }];
  const label = (value, end) => ({ at: (value - lower) / (upper - lower), text: figureWithin(value, upper - lower), end });
  const labels = [label(lower, "first"), label(upper, "last")];
  const inside = [middle, ...roundTicks(lower, upper, 4)].filter((value) => value !== null && value !== undefined);
  for (const value of inside) {
    const next = label(value, "");
    if (labels.every((other) => Math.abs(other.at - next.at) > room(other, next))) labels.push(next);
  }
  return labels.sort((one, other) => one.at - other.at);
}

/** Numbers at the ends are written inwards, so they reach further into the bar. */
function room(other, next) {
  const characters = Math.max(other.text.length, next.text.length);
  return Math.max(ROOM, characters * 0.028) * (other.end === "" ? 1 : 1.25);
}
