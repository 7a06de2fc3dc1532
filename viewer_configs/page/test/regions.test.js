import assert from "node:assert/strict";
import test from "node:test";

import { countsOf, outlineStyles, regionsOf } from "../src/regions.js";

const ring = (...points) => [...points, points[0]];
const feature = (name, coordinates, type = "Polygon") => ({ type: "Feature", geometry: { type, coordinates }, properties: { name, classification: { name: "cold tumour" } } });
const OUTER = ring([0, 0], [8, 0], [8, 4]);
const HOLE = ring([1, 1], [2, 1], [2, 2]);
const MPP = { x: 0.5, y: 0.25 };

test("regions lie in µm, and their holes are holes", () => {
  const regions = regionsOf({ features: [feature("hot 1", [OUTER, HOLE]), feature("cold 1", [OUTER])] }, MPP);
  assert.deepEqual(regions.map(({ kind }) => kind), ["hot", "cold"]);
  assert.deepEqual(regions[0].rings[0], [[0, 0], [4, 0], [4, 1], [0, 0]]);
  assert.deepEqual(regions[0].rings[1][1], [1, 0.25]);
  assert.deepEqual(countsOf(regions), { hot: 1, cold: 1, holes: 1 });
});

test("a region in parts is outlined part by part, and annotations of others are not regions", () => {
  const parts = feature("cold 3", [[OUTER], [OUTER, HOLE]], "MultiPolygon");
  const others = [feature("my own", [OUTER]), feature("__proto__", [OUTER]), { type: "Feature", geometry: null, properties: null }];
  const regions = regionsOf({ features: [parts, ...others] }, MPP);
  assert.deepEqual(regions.map(({ kind, rings }) => [kind, rings.length]), [["cold", 1], ["cold", 2]]);
  assert.throws(() => regionsOf({}, MPP), /no collection/);
});

test("outlines are drawn as maps.json states, else with colours that differ for everybody", () => {
  const usual = outlineStyles({});
  assert.deepEqual(usual.hot, { colour: "#d55e00", dash: [] });
  assert.ok(usual.cold.colour === "#0072b2" && usual.cold.dash.length > 0);
  const stated = outlineStyles({ outlines: { hot: { colour: "#123456" } } });
  assert.deepEqual(stated.hot, { colour: "#123456", dash: [] });
  assert.deepEqual(stated.cold, usual.cold);
});
