import assert from "node:assert/strict";
import test from "node:test";

import { bitsOf, bytesOf, spread } from "../src/packed.js";

const base64 = (bytes) => Buffer.from(bytes).toString("base64");

test("bits are read in reading order, the highest of each byte first", () => {
  const bit = bitsOf(base64([0b10000001, 0b01000000]));
  const set = Array.from({ length: 16 }, (_, index) => index).filter(bit);
  assert.deepEqual(set, [0, 7, 9]);
});

test("bytes beyond 127 stay what they are", () => {
  assert.deepEqual([...bytesOf(base64([0, 128, 255]))], [0, 128, 255]);
});

test("values go to the cells that have any, and the others are not a number", () => {
  const text = base64(new Uint8Array(new Float32Array([1.5, -2e-7]).buffer));
  const values = spread(text, (cell) => cell === 1 || cell === 3, 5);
  assert.deepEqual([...values], [Number.NaN, 1.5, Number.NaN, Math.fround(-2e-7), Number.NaN]);
});
