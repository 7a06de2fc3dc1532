import assert from "node:assert/strict";
import test from "node:test";

import { barLabels } from "../src/colourbar.js";
import { MAPS_FORMAT, checkedManifest, choicesOf, findMap, firstLayer, layersOf, mapOfLayer, unitBeside } from "../src/manifest.js";
import { Settings } from "../src/settings.js";

/** Return a map of a manifest; whatever its name, it is of the kind and class given. */
const mapOf = (name, kind, kindTitle, className = null) => ({
  name,
  kind,
  kind_title: kindTitle,
  class: className,
  title: `${kindTitle} of ${className}`,
  range: { lower: 0, upper: 1, middle: null, ends: ["", ""] },
  opacity: { alpha: 0.7, fades_with: null },
});

const MANIFEST = {
  format: MAPS_FORMAT,
  slide: { name: "a", rows: 10, cols: 20, mpp: { y: 0.5, x: 0.5 } },
  classes: ["normal", "tu-mour"],
  grid: { shape: { rows: 1, cols: 2 }, l0_cell: { y: 10, x: 10 }, l0_origin: { y: 0, x: 0 } },
  maps: [
    mapOf("attention", "attention", "Attention"),
    mapOf("score-normal", "score", "Score", "normal"),
    mapOf("score-tu-mour", "score", "Score", "tu-mour"),
    mapOf("tissue", "tissue", "Tissue"),
  ],
};

test("a manifest that tells of no size, grid or maps is refused", () => {
  const undrawn = { ...MANIFEST, maps: [{ name: "score-a" }] };
  for (const broken of [null, [], {}, { ...MANIFEST, format: "x" }, { ...MANIFEST, slide: {} }, { ...MANIFEST, grid: null }, { ...MANIFEST, maps: {} }, undrawn]) {
    assert.throws(() => checkedManifest(broken), { message: /maps\.json/ });
  }
  assert.deepEqual(checkedManifest(MANIFEST).grid.mpp, { y: 0.5, x: 0.5 });
});

test("a manifest of an earlier version is refused with what to do", () => {
  const earlier = { ...MANIFEST, format: "heatmaps-ome maps 1" };
  assert.throws(() => checkedManifest(earlier), { name: "Error", message: /earlier version of heatmaps-ome; run create again with --overwrite/ });
});

test("maps make up layers, by class", () => {
  const layers = layersOf(MANIFEST);
  assert.deepEqual(layers.map(({ title }) => title), ["Attention", "Score", "Tissue"]);
  assert.deepEqual(layers[1].maps.map(({ className }) => className), ["normal", "tu-mour"]);
  assert.equal(findMap(layers, "score-tu-mour").entry.className, "tu-mour");
  assert.equal(findMap(layers, "none"), null);
});

test("classes that are alike but for their punctuation have a map each, whatever its name", () => {
  const maps = [mapOf("score-MSI-H_high", "score", "Score", "MSI-H / high"), mapOf("score-MSI-H_high-2", "score", "Score", "MSI-H high"), mapOf("x", "score", "Score", "MSI-H_high")];
  const [score] = layersOf({ ...MANIFEST, maps });
  for (const map of maps) assert.equal(mapOfLayer(score, map.class, null).map, map);
  assert.deepEqual(choicesOf(score), [["score-MSI-H_high", "MSI-H / high"], ["score-MSI-H_high-2", "MSI-H high"], ["x", "MSI-H_high"]]);
});

test("spread maps are one layer, and so is a kind that the page has never heard of", () => {
  const maps = ["normal", "tu-mour"].flatMap((name) => [
    mapOf(`sd-score-${name}`, "sd-score", "Spread of score", name),
    mapOf(`evidence-${name}`, "evidence", "Evidence", name),
  ]);
  const layers = layersOf({ ...MANIFEST, maps });
  assert.deepEqual(layers.map(({ title }) => title), ["Spread of score", "Evidence"]);
  for (const layer of layers) assert.deepEqual(layer.maps.map(({ className }) => className), ["normal", "tu-mour"]);
});

test("maps of a kind without classes are told apart by their titles", () => {
  const [layer, alone] = layersOf({ ...MANIFEST, maps: [mapOf("a", "new", "New"), { ...mapOf("b", "new", "New"), title: "B" }, mapOf("c", "lone", "Lone")] });
  assert.deepEqual(choicesOf(layer), [["a", "New of null"], ["b", "B"]]);
  assert.deepEqual(choicesOf(alone), []);
});

test("attention is shown first, else the first map there is", () => {
  const layers = layersOf({ ...MANIFEST, maps: [...MANIFEST.maps].reverse() });
  assert.equal(firstLayer(layers).kind, "attention");
  assert.equal(firstLayer(layers.slice(0, 1)).kind, "tissue");
});

test("a value has its unit behind it unless the quantity before it has it", () => {
  assert.equal(unitBeside({ unit: "logit", quantity: "evidence for a" }), " logit");
  assert.equal(unitBeside({ unit: "logit", quantity: "attention (logit)" }), "");
  assert.equal(unitBeside({ unit: "", quantity: "kind of artefact" }), "");
});

test("a layer shows the class wanted, else the true one, else its first", () => {
  const [, score] = layersOf(MANIFEST);
  assert.equal(mapOfLayer(score, "normal", "tu-mour").className, "normal");
  assert.equal(mapOfLayer(score, "other", "tu-mour").className, "tu-mour");
  assert.equal(mapOfLayer(score, null, null).className, "normal");
});

test("a look is the map's own until it is changed, styles by kind and thresholds by map", () => {
  const settings = new Settings();
  const opacity = { alpha: 0.7, fades_with: { channel: 0, lower: 0, upper: 1 } };
  const [one, other] = [{ name: "score-a", opacity }, { name: "score-b", opacity }];
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
