import assert from "node:assert/strict";
import test from "node:test";

import { drawnOf, highestOf, minusHighestOf, onTissue, rangeOf } from "../src/derived.js";
import { ReadError, categoryOf, findMap, isFlat, isSorted, layersOf } from "../src/manifest.js";
import { colourScale, paintCells, pixelOf } from "../src/painting.js";
import { SlideSession } from "../src/session.js";

const channel = (...values) => Float32Array.from(values);
const WINNER = {
  name: "winner",
  kind: "winner",
  channel: null,
  derived: { highest_of: [1, 2] },
  categories: ["a", "<b>"],
  colours: ["#0072b2", "#d55e00", "#000000"],
  levels: null,
};

test("the highest channel is counted from 1, the first of equal ones, and not known beside NaN", () => {
  const found = highestOf([channel(0.2, 0.5, 0.1, Number.NaN), channel(0.3, 0.5, 0.2, 1), channel(0.1, 0, 0.7, 0)]);
  assert.deepEqual([...found], [2, 1, 3, Number.NaN]);
});

test("a margin is above zero where its class wins", () => {
  const found = minusHighestOf(channel(0.5, 0.25, Number.NaN), [channel(0.25, 0.5, 1), channel(0.125, 0.25, 1)]);
  assert.deepEqual([...found], [0.25, -0.25, Number.NaN]);
});

test("a label is zero on sound tissue and nothing elsewhere", () => {
  assert.deepEqual([...onTissue(channel(0, 3, 0), channel(-1, 2, Number.NaN))], [0, 3, Number.NaN]);
});

test("kinds have names and a colour each, and none is transparent", () => {
  assert.deepEqual([isSorted(WINNER), isFlat(WINNER)], [true, false]);
  assert.deepEqual([isSorted({ channel: null }), isFlat({ channel: null })], [false, true]);
  assert.deepEqual([0, 1, 2].map((value) => categoryOf(WINNER, value)), ["none", "a", "<b>"]);
  const out = new Uint32Array(4);
  const look = { scale: colourScale(WINNER, ["#ffffff"]), from: 1, to: null, fade: null };
  paintCells(channel(0, 1, 2, Number.NaN), look, out);
  assert.deepEqual([...out], [0, pixelOf("#0072b2"), pixelOf("#d55e00"), 0]);
});

test("the winner is a layer of its own, margins are one by class", () => {
  const maps = [
    { name: "winner", kind: "winner", kind_title: "Winner", class: null },
    { name: "margin-a", kind: "margin", kind_title: "Margin", class: "a" },
    { name: "artefacts", kind: "artefacts", kind_title: "Artefacts", class: null },
  ];
  const layers = layersOf({ maps });
  assert.deepEqual(layers.map(({ title }) => title), ["Winner", "Margin", "Artefacts"]);
  assert.equal(findMap(layers, "margin-a").entry.className, "a");
});

test("a map that is derived in a way not known is refused, not drawn as another", async () => {
  const session = new SlideSession({ files: "files/" });
  await assert.rejects(session.valuesOf({ channel: null, derived: { median_of: [1, 2] } }), ReadError);
});

test("drawn values are the factor times the raw ones, and nothing stays nothing", () => {
  const raw = Float32Array.of(0.5, Number.NaN, -0.25);
  assert.deepEqual([...drawnOf(raw, 8)], [4, Number.NaN, -2]);
  assert.equal(drawnOf(raw, 1), raw);
});

test("a range covers values and colours", () => {
  const values = Float32Array.of(4, Number.NaN, -2);
  assert.deepEqual(rangeOf(values, { range: { lower: 0, upper: 1 } }), { lower: -2, upper: 4 });
  assert.deepEqual(rangeOf(new Float32Array(0), { range: { lower: null, upper: null } }), { lower: 0, upper: 1 });
});
