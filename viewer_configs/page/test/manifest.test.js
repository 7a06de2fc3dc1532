import assert from "node:assert/strict";
import test from "node:test";

import { barLabels, endsOf, paintBar } from "../src/colourbar.js";
import { MAPS_FORMAT, checkedManifest, choicesOf, clipsOf, findMap, firstMap, layersOf, mapOfLayer, unitBeside, withUnit } from "../src/manifest.js";
import { Settings } from "../src/settings.js";

/** Return a map of a manifest; whatever its name, it is of the kind and class given. */
const mapOf = (name, kind, kindTitle, className = null) => ({
  name,
  kind,
  kind_title: kindTitle,
  class: className,
  title: `${kindTitle} of ${className}`,
  factor: 1,
  raw: null,
  range: { lower: 0, upper: 1, middle: null, ends: ["", ""], clips: [false, false] },
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
  const unscaled = { ...MANIFEST, maps: [{ ...MANIFEST.maps[0], factor: null }] };
  for (const broken of [null, [], {}, { ...MANIFEST, format: "x" }, { ...MANIFEST, slide: {} }, { ...MANIFEST, grid: null }, { ...MANIFEST, maps: {} }, undrawn, unscaled]) {
    assert.throws(() => checkedManifest(broken), { message: /maps\.json/ });
  }
  assert.deepEqual(checkedManifest(MANIFEST).grid.mpp, { y: 0.5, x: 0.5 });
});

test("a manifest of an earlier version is refused with what to do", () => {
  for (const number of [1, 2]) {
    const earlier = { ...MANIFEST, format: `heatmaps-ome maps ${number}` };
    assert.throws(() => checkedManifest(earlier), { name: "Error", message: /earlier version of heatmaps-ome; run create again with --overwrite/ });
  }
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

test("the first map is the score of the class drawn hot, else its prediction, its value, or the first there is", () => {
  const { maps } = MANIFEST;
  const [predicted, given] = [mapOf("p", "prediction", "Prediction", "tu-mour"), mapOf("v", "value", "Value", "tu-mour")];
  assert.equal(firstMap([...maps].reverse(), "tu-mour").name, "score-tu-mour");
  assert.equal(firstMap([maps[0], given, predicted, maps[1]], "tu-mour").name, "p");
  assert.equal(firstMap([maps[0], given, maps[1]], "tu-mour").name, "v");
  assert.equal(firstMap(maps, "unknown").name, "attention");
});

test("ends of colours beyond which values lie are bounds, others are not", () => {
  const clipped = { range: { lower: -1.5, upper: 2, clips: [true, false] } };
  assert.deepEqual(clipsOf(clipped), [true, false]);
  assert.deepEqual(clipsOf({ range: {} }), [false, false]);
  assert.deepEqual(endsOf(clipped.range, [true, true]), ["≤ −1.5", "≥ 2"]);
  assert.deepEqual(endsOf(clipped.range, [false, false]), ["−1.5", "2"]);
});

test("a quantity has its unit in brackets unless it names it", () => {
  assert.equal(withUnit({ unit: "logit", quantity: "evidence for a" }), "evidence for a (logit)");
  assert.equal(withUnit({ unit: "probability", quantity: "probability of a" }), "probability of a");
  assert.equal(withUnit({ unit: "", quantity: "winner" }), "winner");
});

test("the bar of a map that fades loses its colour downwards, and of another it does not", () => {
  const scale = { pixels: Uint32Array.of(0xff000000, 0xff0000ff), lower: 0, upper: 1 };
  const alphas = (fade, rows) => {
    const out = new Uint32Array(256 * rows);
    paintBar(out, { lower: 0, upper: 1 }, { scale, from: null, to: 0.5, fade }, rows);
    return Array.from({ length: rows }, (_, row) => [out[row * 256] >>> 24, out[row * 256 + 255] >>> 24]);
  };
  assert.deepEqual(alphas(true, 3), [[255, 40], [128, 20], [0, 0]]);
  assert.deepEqual(alphas(false, 1), [[255, 40]]);
});

test("a value has its unit behind it unless the quantity before it has it", () => {
  assert.equal(unitBeside({ unit: "logit", quantity: "evidence for a" }), " logit");
  assert.equal(unitBeside({ unit: "logit", quantity: "attention (logit)" }), "");
  assert.equal(unitBeside({ unit: "", quantity: "kind of artefact" }), "");
});

test("a layer shows the class wanted, else the one drawn hot, else its first", () => {
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
  assert.deepEqual(barLabels({ lower: 0, upper: 1, middle: 0.5 }, [true, true]).map(({ text }) => text), ["≤ 0", "0.5", "≥ 1"]);
});
