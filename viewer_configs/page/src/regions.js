/** Hot and cold regions: their outlines, and how these are drawn. */

import { ReadError } from "./manifest.js";

/** Colours that people with any colour vision tell apart, and dashes in CSS pixels. */
const USUAL = { hot: { colour: "#d55e00", dash: [] }, cold: { colour: "#0072b2", dash: [6, 4] } };

/** Return how the outlines of each kind of region are drawn: { hot: { colour, dash }, cold: … }. */
export function outlineStyles(manifest) {
  const stated = manifest.outlines ?? {};
  return Object.fromEntries(Object.entries(USUAL).map(([kind, usual]) => [kind, { ...usual, ...stated[kind] }]));
}

/**
 * Return the regions in a file of annotations, [{ kind, rings }]: kind is "hot" or "cold", the first
 * ring of each is its outside, all others are holes. Points are [x, y] in µm.
 *
 * @param geojson a collection of features, in level-0 pixels
 * @param mpp µm per level-0 pixel: { x, y }
 */
export function regionsOf(geojson, mpp) {
  if (!Array.isArray(geojson?.features)) throw new ReadError("it is no collection of features");
  return geojson.features.flatMap(({ geometry, properties }) => {
    const kind = kindOf(properties);
    const polygons = { Polygon: [geometry?.coordinates], MultiPolygon: geometry?.coordinates }[geometry?.type] ?? [];
    return kind === null ? [] : polygons.map((rings) => ({ kind, rings: rings.map((ring) => ring.map(([x, y]) => [x * mpp.x, y * mpp.y])) }));
  });
}

/** Regions call themselves "hot 1", "cold 2"; the model's classes play no part in their names. */
function kindOf(properties) {
  const kind = properties?.metadata?.kind ?? String(properties?.name ?? "").split(" ")[0];
  return Object.hasOwn(USUAL, kind) ? kind : null;
}

/** Return how many regions there are of each kind: { hot, cold }, and how many holes they have. */
export function countsOf(regions) {
  const ofKind = (wanted) => regions.filter(({ kind }) => kind === wanted).length;
  const holes = regions.reduce((sum, { rings }) => sum + rings.length - 1, 0);
  return { hot: ofKind("hot"), cold: ofKind("cold"), holes };
}
