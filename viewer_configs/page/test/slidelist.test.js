import assert from "node:assert/strict";
import test from "node:test";

import { classText, truthCounts } from "../src/slidelist.js";

test("the class drawn hot is not ground truth, and is never called true", () => {
  assert.equal(classText("MSIH", null, null), "drawn hot: MSIH");
  assert.equal(classText("MSIH", "nonMSIH", false), "drawn hot: MSIH · ground truth: nonMSIH · wrong");
  assert.equal(classText("MSIH", "MSIH", true), "drawn hot: MSIH · ground truth: MSIH · right");
  assert.equal(classText(null, "3.5", null), "ground truth: 3.5");
  assert.equal(classText(null, null, undefined), "");
});

test("right and wrong predictions are counted, apart from slides that are neither", () => {
  const slides = [{ label: "a", correct: true }, { label: "b", correct: false }, { label: "x", correct: null }, { label: null, correct: null }, {}];
  assert.deepEqual(truthCounts(slides), { all: 5, labelled: 3, right: 1, wrong: 1 });
});
