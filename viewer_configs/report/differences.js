/* The difference of two maps of one unit, as a map of its own. */
import { isNamed } from "./painting.js";

/** Colours from below zero to above, ColorBrewer's BrBG turned round: safe for colour-blind eyes. */
const STOPS = ["#003c30", "#01665e", "#35978f", "#80cdc1", "#c7eae5", "#f5f5f5", "#f6e8c3", "#dfc27d", "#bf812d", "#8c510a", "#543005"];
/** Share of the cells whose differences the colours cover. */
const COVERED = 0.99;

/** Return why no map can be subtracted from a map, "" if one can. */
export function noDifference(slide, map) {
  if (isNamed(map)) return "A map of names has no numbers to subtract.";
  return comparable(slide, map).length ? "" : `No other map is in ${map.unit || "the same unit"}.`;
}

/** Return the maps that can be subtracted from a map: those of its unit. */
export function comparable(slide, map) {
  return slide.part.maps.filter((other) => other !== map && !isNamed(other) && other.unit === map.unit);
}

/** Return the map of a first map's drawn values less those of a second, with its values read. */
export async function difference(slide, first, second) {
  const name = `${first.name} − ${second.name}`;
  const [a, b] = [await slide.valuesOf(first), await slide.valuesOf(second)];
  const values = a.map((value, k) => value - b[k]);
  const map = {
    name, kind: "difference", kind_title: "Difference", class: null,
    title: `${first.title} − ${second.title}`,
    quantity: `${first.title} − ${second.title}${first.unit ? ` (${first.unit})` : ""}`,
    unit: first.unit, categories: [], note: "", factor: 1, raw: null,
    l0_origin: first.l0_origin, colours: colours(),
    opacity: { alpha: 0.85, fades_with: null },
    values: extent(values), parts: [first, second],
  };
  slide.keep(map, values);
  const sizes = values.map(Math.abs).filter(Number.isFinite).sort();
  const reach = sizes.length ? sizes[Math.floor(COVERED * (sizes.length - 1))] || sizes[sizes.length - 1] || 1 : 1;
  map.levels = { lower: -reach, upper: reach };
  map.range = {
    lower: -reach, upper: reach, middle: 0, ends: [`more in ${second.title}`, `more in ${first.title}`],
    clips: [map.values.min < -reach, map.values.max > reach],
  };
  return map;
}

function extent(values) {
  const finite = values.filter(Number.isFinite);
  return finite.reduce(({ min, max }, value) => ({ min: Math.min(min, value), max: Math.max(max, value) }),
    { min: finite[0] ?? 0, max: finite[0] ?? 0 });
}

/** Return 255 colours between the stops, packed as those of a map. */
function colours() {
  const stops = STOPS.map((text) => [1, 3, 5].map((at) => parseInt(text.slice(at, at + 2), 16)));
  let text = "";
  for (let level = 0; level < 255; level++) {
    const place = (level / 254) * (stops.length - 1);
    const from = Math.min(stops.length - 2, Math.floor(place));
    for (let i = 0; i < 3; i++) {
      text += String.fromCharCode(Math.round(stops[from][i] + (place - from) * (stops[from + 1][i] - stops[from][i])));
    }
  }
  return btoa(text);
}
