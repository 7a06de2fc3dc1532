import assert from "node:assert/strict";
import test from "node:test";

import { fieldNumber, figure, figureWithin, lengthText, micrometres, probability, roundDown, roundTicks, roundUp, scaleBar } from "../src/numbers.js";

test("round numbers are 1, 2 or 5 times a power of ten", () => {
  assert.deepEqual([0.3, 1, 1.9, 2, 4.99, 5, 99, 1000].map(roundDown), [0.2, 1, 1, 2, 2, 5, 50, 1000]);
  assert.deepEqual([0.3, 1, 1.1, 2, 4.99, 5.1, 99].map(roundUp), [0.5, 1, 2, 2, 5, 10, 100]);
});

test("ticks are round, inside, and few", () => {
  assert.deepEqual(roundTicks(-3.1, 2.2, 4), [-2, 0, 2]);
  assert.deepEqual(roundTicks(0, 1, 5), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(roundTicks(-0.005, 0.005, 4), [-0.005, 0, 0.005]);
  assert.deepEqual(roundTicks(1, 1), []);
  assert.deepEqual(roundTicks(2, 1), []);
});

test("the scale bar is the longest round length that fits, at its true length", () => {
  for (const umPerPx of [0.0123, 0.25, 0.5, 1, 3.7, 88, 1234]) {
    const bar = scaleBar(umPerPx, 130);
    assert.ok(bar.px <= 130 && bar.px > 130 / 2.6);
    assert.ok(Math.abs(bar.px * umPerPx - bar.um) < 1e-9 * bar.um);
  }
  assert.deepEqual(scaleBar(0.5, 130), { um: 50, px: 100, text: "50 µm" });
});

test("lengths have the unit that suits them", () => {
  assert.deepEqual([0.2, 1, 500, 2000, 50000].map(lengthText), ["200 nm", "1 µm", "500 µm", "2 mm", "5 cm"]);
});

test("figures have three significant digits and a true minus", () => {
  assert.deepEqual([2.7412, -0.0012345, 1.2e-7, -3e-9, 12345.6, 999.7, 1234567, 0.5].map((x) => figure(x)), ["2.74", "−0.00123", "1.2e-07", "−3e-09", "12346", "1000", "1.23e+06", "0.5"]);
  assert.equal(figure(0), "0");
  assert.equal(figure(-0), "0");
  assert.equal(figure(Number.NaN), "–");
  assert.equal(figure(null), "–");
});

test("figures within a range have the decimals that the range asks for", () => {
  assert.equal(figureWithin(5.5e-6, 1), "0");
  assert.equal(figureWithin(-0.01878, 5.6), "−0.02");
  assert.equal(figureWithin(-0.0050754, 0.006), "−0.00508");
  assert.equal(fieldNumber(-0.01878, 5.6), "-0.019");
  assert.equal(fieldNumber(1.5e-12, 1e-11), "1.5e-12");
});

test("probabilities have three significant digits of themselves, or of what is left to 1", () => {
  assert.deepEqual([0.8342, 0.1, 0.99987, 0.000123456].map(probability), ["0.834", "0.100", "0.999870", "0.000123"]);
  assert.deepEqual([1 - 1.2e-7, 1.2e-7, 1, 0, null].map(probability), ["1 − 1.2e-07", "1.2e-07", "1", "0", "–"]);
});

test("places have one decimal and grouped thousands", () => {
  assert.equal(micrometres(12345.67), "12\u202f345.7");
  assert.equal(micrometres(-0.01), "0.0");
  assert.equal(micrometres(-12.34), "−12.3");
});
