import assert from "node:assert/strict";
import test from "node:test";

import { barLabels } from "../src/colourbar.js";
import { MAPS_FORMAT, checkedManifest, findMap, layersOf, mapOfLayer } from "../src/manifest.js";
import { Settings } from "../src/settings.js";

const MANIFEST = {
  format: MAPS_FORMAT,
  slide: { name: "a", rows: 10, cols: 20, mpp: { y: 0.5, x: 0.5 } },
  classes: ["normal", "tu-mour"],
  grid: { shape: { rows: 1, cols: 2 }, l0_cell: { y: 10, x: 10 }, l0_origin: { y: 0, x: 0 } },
  maps: ["attention", "score-normal", "score-tu-mour", "tissue"].map((name) => ({ name })),
};

test("a manifest that tells of no size, grid or maps is refused", () => {
  for (const broken of [null, [], {}, { ...MANIFEST, format: "x" }, { ...MANIFEST, slide: {} }, { ...MANIFEST, grid: null }, { ...MANIFEST, maps: {} }]) {
    assert.throws(() => checkedManifest(broken), { message: /maps\.json/ });
  }
  assert.deepEqual(checkedManifest(MANIFEST).grid.mpp, { y: 0.5, x: 0.5 });
});

test("maps make up layers, by class", () => {
  const layers = layersOf(MANIFEST);
  assert.deepEqual(layers.map(({ title }) => title), ["Attention", "Score", "Tissue"]);
  assert.deepEqual(layers[1].maps.map(({ className }) => className), ["normal", "tu-mour"]);
  assert.equal(findMap(layers, "score-tu-mour").entry.className, "tu-mour");
  assert.equal(findMap(layers, "none"), null);
});

test("maps that are named with hyphens make up a layer too", () => {
  const names = ["contribution-normal", "leave-one-out-normal", "leave-one-out-tu-mour"];
  const layers = layersOf({ ...MANIFEST, maps: names.map((name) => ({ name })) });
  assert.deepEqual(layers.map(({ title }) => title), ["Contribution", "Leave-one-out"]);
  assert.deepEqual(layers[1].maps.map(({ className }) => className), ["normal", "tu-mour"]);
});

test("a layer shows the class wanted, else the true one, else its first", () => {
  const [, score] = layersOf(MANIFEST);
  assert.equal(mapOfLayer(score, "normal", "tu-mour").className, "normal");
  assert.equal(mapOfLayer(score, "other", "tu-mour").className, "tu-mour");
  assert.equal(mapOfLayer(score, null, null).className, "normal");
});

test("a look is the map's own until it is changed, styles by kind and thresholds by map", () => {
  const settings = new Settings();
  const [one, other] = [{ name: "score-a", alpha: 0.7, fades: true }, { name: "score-b", alpha: 0.7, fades: true }];
  assert.deepEqual(settings.look("score", one), { opacity: 0.7, palette: null, fade: true, from: null, to: null });
  settings.change("score", one, { opacity: 0.1, from: 3 });
  assert.equal(settings.look("score", other).opacity, 0.1);
  assert.equal(settings.look("score", other).from, null);
  assert.equal(settings.look("score", one).from, 3);
  settings.reset("score", one);
  assert.equal(settings.look("score", one).opacity, 0.7);
});

test("a colour bar has its ends, its middle, and round numbers where there is room", () => {
  const texts = (map) => barLabels(map).map(({ text }) => text);
  assert.deepEqual(texts({ lower: 0, upper: 1, middle: 0.5 }), ["0", "0.5", "1"]);
  assert.deepEqual(texts({ lower: -5.62, upper: -0.0188, middle: null }), ["−5.62", "−4", "−2", "−0.02"]);
  assert.deepEqual(texts({ lower: 2, upper: 2, middle: null }), ["2"]);
});
