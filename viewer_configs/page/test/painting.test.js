import assert from "node:assert/strict";
import test from "node:test";

import { colourScale, fadeOf, isShown, paintCells, paintTissue, pixelAt, pixelOf } from "../src/painting.js";

const grey = (level) => `#${level.toString(16).padStart(2, "0").repeat(3)}`;
const OWN = Array.from({ length: 255 }, (_, index) => grey(index + 1));
const PALETTE = Array.from({ length: 256 }, (_, index) => grey(index));
const MAP = { range: { lower: 0, upper: 10, middle: null }, levels: { lower: 0, upper: 10 }, colours: OWN };
const red = (pixel) => pixel & 255;

test("a colour is a pixel in the order red, green, blue, alpha", () => {
  const bytes = new Uint8Array(Uint32Array.of(pixelOf("#12AbfE")).buffer);
  assert.deepEqual([...bytes], [0x12, 0xab, 0xfe, 255]);
  assert.equal(pixelOf("url(x)"), 0);
});

test("a map's own colours are of its 255 levels", () => {
  const scale = colourScale(MAP, null);
  assert.deepEqual([-1, 0, 5, 10, 11].map((value) => red(pixelAt(scale, value))), [1, 1, 128, 255, 255]);
});

test("another palette runs from lower to upper", () => {
  const scale = colourScale(MAP, PALETTE);
  assert.deepEqual([0, 2, 10].map((value) => red(pixelAt(scale, value))), [0, 51, 255]);
});

test("another palette keeps a diverging map's middle in its middle", () => {
  const scale = colourScale({ ...MAP, range: { lower: 0, upper: 1, middle: 0.25 } }, PALETTE);
  assert.equal(red(pixelAt(scale, 0.25)), 128);
  assert.equal(red(pixelAt(scale, 1)), 255);
  assert.equal(red(pixelAt(scale, 0)), 85);
});

test("a constant map has the middle colour", () => {
  assert.equal(red(pixelAt(colourScale({ ...MAP, levels: { lower: 3, upper: 3 } }, null), 3)), 128);
});

test("thresholds include their ends, and from above to hides the middle", () => {
  const shown = (from, to) => [1, 2, 3, 4, 5].filter((value) => isShown(value, from, to));
  assert.deepEqual(shown(null, null), [1, 2, 3, 4, 5]);
  assert.deepEqual(shown(2, 4), [2, 3, 4]);
  assert.deepEqual(shown(4, null), [4, 5]);
  assert.deepEqual(shown(4, 2), [1, 2, 4, 5]);
});

test("attention fades cells from its lower to its upper end", () => {
  const range = { lower: -4, upper: 0 };
  assert.deepEqual([-9, -4, -1, 0, 3, Number.NaN].map((value) => fadeOf(value, range)), [0, 0, 0.75, 1, 1, 0]);
  assert.equal(fadeOf(2, { lower: 2, upper: 2 }), 1);
});

test("cells without tissue or outside the threshold are transparent", () => {
  const out = new Uint32Array(4);
  const scale = colourScale(MAP, null);
  const values = Float32Array.of(Number.NaN, 1, 5, 10);
  paintCells(values, { scale, from: 2, to: null, fade: null }, out);
  assert.deepEqual([...out].map((pixel) => pixel >>> 24), [0, 0, 255, 255]);
  const fade = { values: Float32Array.of(0, 0, 0.2, 1), range: { lower: 0, upper: 1 } };
  paintCells(values, { scale, from: null, to: null, fade }, out);
  assert.deepEqual([...out].map((pixel) => pixel >>> 24), [0, 0, 51, 255]);
});

test("tissue is where attention is a number", () => {
  const out = new Uint32Array(2);
  paintTissue(Float32Array.of(Number.NaN, -3), pixelOf("#009e73"), out);
  assert.deepEqual([...out], [0, pixelOf("#009e73")]);
});
