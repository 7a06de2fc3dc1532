/** What the server says of a run and of a slide's maps, checked, and the layers they make up. */

export const MAPS_FORMAT = "heatmaps-ome maps 1";

const KIND_TITLES = {
  attention: "Attention",
  score: "Score",
  contribution: "Contribution",
  "leave-one-out": "Leave-one-out",
  winner: "Winner",
  margin: "Margin",
  tissue: "Tissue",
  artefacts: "Artefacts",
};

/** A message for people, about files that are not as they should be. */
export class ReadError extends Error {}

/** Return a slide's manifest, or throw if the page cannot draw what it tells of. */
export function checkedManifest(found) {
  if (found === null || typeof found !== "object" || found.format !== MAPS_FORMAT) {
    throw new ReadError(`its maps.json is not of the format “${MAPS_FORMAT}”`);
  }
  const { slide, grid, maps } = found;
  const sizes = [slide?.rows, slide?.cols, slide?.mpp?.x, slide?.mpp?.y];
  if (!sizes.every((size) => size > 0)) throw new ReadError("its maps.json gives no size of the slide");
  const lattice = [grid?.shape?.rows, grid?.shape?.cols, grid?.l0_cell?.x, grid?.l0_cell?.y];
  if (!lattice.every((size) => size > 0)) throw new ReadError("its maps.json gives no grid of cells");
  if (!Array.isArray(maps)) throw new ReadError("its maps.json lists no maps");
  return { ...found, grid: { ...grid, mpp: grid.mpp ?? slide.mpp }, classes: found.classes ?? [] };
}

/**
 * Return the layers that maps make up, in the manifest's order: { kind, title, maps }, each map
 * with the class it is of, or null.
 */
export function layersOf(manifest) {
  const layers = new Map();
  for (const map of manifest.maps) {
    const { kind, className } = kindOf(map, manifest.classes);
    if (!layers.has(kind)) layers.set(kind, { kind, title: titleOf(kind, map), maps: [] });
    layers.get(kind).maps.push({ map, className });
  }
  return [...layers.values()];
}

function titleOf(kind, map) {
  return KIND_TITLES[kind] ?? map.title ?? map.name;
}

function kindOf(map, classes) {
  const match = /^(score|contribution|leave-one-out|margin)-(.+)$/s.exec(map.name);
  if (map.kind) return { kind: map.kind, className: map.class ?? null };
  if (!match) return { kind: map.name, className: null };
  const [, kind, rest] = match;
  const className = map.class ?? classes.find((name) => name === rest) ?? rest;
  return { kind, className };
}

/** Return whether a map says no more than where tissue is. */
export function isFlat(map) {
  return (map.channel ?? null) === null && !map.worked_out;
}

/** Return whether a map sorts cells into kinds, which have names. */
export function isSorted(map) {
  return Boolean(map.categories?.length);
}

/** Return the name of a value of a map that sorts cells into kinds. */
export function categoryOf(map, value) {
  return map.categories[value - 1] ?? "none";
}

/** Return the place of a map among layers: { layer, entry }, or null. */
export function findMap(layers, name) {
  for (const layer of layers) {
    const entry = layer.maps.find(({ map }) => map.name === name);
    if (entry) return { layer, entry };
  }
  return null;
}

/**
 * Return the map of a layer to show: of the class wanted, else of the true class, else the first.
 */
export function mapOfLayer(layer, className, trueClass) {
  const of = (wanted) => layer.maps.find((entry) => wanted !== null && entry.className === wanted);
  return of(className) ?? of(trueClass) ?? layer.maps[0];
}
