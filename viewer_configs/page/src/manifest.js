/** A slide's manifest, checked, and the layers that its maps form. */

export const MAPS_FORMAT = "heatmaps-ome maps 3";
const EARLIER_FORMATS = ["heatmaps-ome maps 1", "heatmaps-ome maps 2"];
/** Kinds of the map to show first, of the class drawn hot; the same in report, previews and napari. */
const FIRST_KINDS = ["score", "prediction", "value"];

/** A message for the user about missing or damaged files. */
export class ReadError extends Error {}

/** Return a slide's manifest, or throw if the page cannot draw its maps. */
export function checkedManifest(facts) {
  if (EARLIER_FORMATS.includes(facts?.format)) {
    throw new ReadError("its maps.json was made by an earlier version of heatmaps-ome; run create again with --overwrite (the network’s work is in the cache)");
  }
  if (facts === null || typeof facts !== "object" || facts.format !== MAPS_FORMAT) {
    throw new ReadError(`its maps.json is not of the format “${MAPS_FORMAT}”`);
  }
  const { slide, grid, maps } = facts;
  const sizes = [slide?.rows, slide?.cols, slide?.mpp?.x, slide?.mpp?.y];
  if (!sizes.every((size) => size > 0)) throw new ReadError("its maps.json gives no size of the slide");
  const lattice = [grid?.shape?.rows, grid?.shape?.cols, grid?.l0_cell?.x, grid?.l0_cell?.y];
  if (!lattice.every((size) => size > 0)) throw new ReadError("its maps.json gives no grid of cells");
  if (!Array.isArray(maps)) throw new ReadError("its maps.json lists no maps");
  for (const map of maps) {
    if (!(map?.name && map.kind && map.range && map.opacity && Number.isFinite(map.factor))) {
      throw new ReadError(`its maps.json does not state how the map “${map?.name ?? ""}” is drawn`);
    }
  }
  return { ...facts, grid: { ...grid, mpp: grid.mpp ?? slide.mpp }, classes: facts.classes ?? [] };
}

/**
 * Return the layers that maps form, one per kind, in the manifest's order: { kind, title, maps },
 * each map with its class, or null.
 */
export function layersOf(manifest) {
  const layers = new Map();
  for (const map of manifest.maps) {
    const { kind } = map;
    if (!layers.has(kind)) layers.set(kind, { kind, title: map.kind_title ?? kind, maps: [] });
    layers.get(kind).maps.push({ map, className: map.class ?? null });
  }
  return [...layers.values()];
}

/** Return the map to show first: the score of the class drawn hot where there is one, else the first of all. */
export function firstMap(maps, hotClass) {
  const ofKind = (kind) => maps.find((map) => map.kind === kind && map.class === hotClass);
  return FIRST_KINDS.map(ofKind).find(Boolean) ?? maps[0];
}

/** Return the choices among a layer's maps, [name, text] each; none for a single map without class. */
export function choicesOf(layer) {
  if (layer.maps.length === 1 && layer.maps[0].className === null) return [];
  return layer.maps.map(({ map, className }) => [map.name, className ?? map.title ?? map.name]);
}

/** Return whether a map only shows where tissue is. */
export function isFlat(map) {
  return (map.channel ?? null) === null && !map.derived;
}

/** Return whether a map sorts cells into kinds, which have names. */
export function isSorted(map) {
  return Boolean(map.categories?.length);
}

/** Return the name of a value of a map that sorts cells into kinds. */
export function categoryOf(map, value) {
  return map.categories[value - 1] ?? "none";
}

/** Return whether values may lie beyond each end of a map's colours, and so share the end's colour. */
export function clipsOf(map) {
  const [below, above] = map.range.clips ?? [];
  return [below === true, above === true];
}

/** Return a quantity with its unit in brackets, unless its text has it. */
export function withUnit({ unit, quantity }) {
  return unit && !quantity.includes(unit) ? `${quantity} (${unit})` : quantity;
}

/** Return a space and the unit to write behind a value, or "" if the quantity's text has the unit. */
export function unitBeside({ unit, quantity }) {
  return unit && !quantity?.includes(unit) ? ` ${unit}` : "";
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
 * Return the map of a layer to show: that of a class, else of the class drawn hot, else the first.
 */
export function mapOfLayer(layer, className, hotClass) {
  const of = (wanted) => layer.maps.find((entry) => wanted !== null && entry.className === wanted);
  return of(className) ?? of(hotClass) ?? layer.maps[0];
}
