/** What colours and lines mean: the colour bar with its texts, names of kinds, and outlines of regions. */

import { drawColourBar, endsOf } from "./colourbar.js";
import { byId, make } from "./dom.js";
import { clipsOf, withUnit } from "./manifest.js";
import { colourScale } from "./painting.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * Show a map's colour bar.
 *
 * @param palette a list of colours, or null for the map's own
 * @param fader the map that it fades with, null if that is not drawn
 */
export function showBar(map, look, palette, fader) {
  const fading = look.fade ? (map.opacity.fades_with ?? null) : null;
  const clips = clipsOf(map);
  const drawn = { scale: colourScale(map, palette), from: look.from, to: look.to, fade: fading !== null };
  drawColourBar(byId("bar"), byId("bar-numbers"), map.range, drawn, clips);
  byId("bar-title").textContent = map.title ?? map.name;
  byId("bar-quantity").textContent = withUnit({ unit: map.unit, quantity: map.quantity ?? map.title ?? map.name });
  byId("bar-note").textContent = map.note ?? "";
  byId("bounds-row").hidden = !clips.some(Boolean);
  const [below, above] = endsOf(map.range, clips);
  byId("bar").setAttribute("aria-label", `Colour bar from ${below} to ${above}${fading ? ", fading where attention is low" : ""}`);
  showSides(map.range.ends ?? ["", ""]);
  showFading(fading, fader);
}

/** Show the meaning of values below and above the middle. */
function showSides([below, above]) {
  byId("bar-sides").hidden = !(below || above);
  byId("bar-below").textContent = below ? `← ${below}` : "";
  byId("bar-above").textContent = above ? `${above} →` : "";
}

/** Show the bar's second dimension, the attention over which the map fades; null if it does not. */
function showFading(fading, fader) {
  for (const id of ["bar-attention", "fades-row"]) byId(id).hidden = fading === null;
  byId("bar").classList.toggle("fading", fading !== null);
  if (fading === null) return;
  const [low, high] = endsOf(fading, fader ? clipsOf(fader) : [false, false]);
  byId("attention-high").textContent = high;
  byId("attention-low").textContent = low;
}

/** Show the names and colours of a map that sorts cells into kinds. */
export function showKinds(map) {
  const entries = map.categories.map((name, index) => {
    const swatch = make("span", { className: "swatch" });
    swatch.style.background = map.colours?.[index] ?? "";
    return make("li", {}, swatch, name);
  });
  byId("legend").replaceChildren(...entries);
  byId("legend-quantity").textContent = map.quantity ?? map.title ?? map.name;
  byId("legend-note").textContent = map.note ?? "";
}

/** Show how hot and cold regions are outlined, and how many there are: { counts, styles }. */
export function showRegions({ counts, styles }, hotClass) {
  const rows = [
    [styles.hot, 3, `${counted(counts.hot, "hot region")}, for ${hotClass}`],
    [styles.cold, 3, `${counted(counts.cold, "cold region")}, against ${hotClass}`],
  ];
  if (counts.holes > 0) rows.push([{ colour: "currentColor", dash: [] }, 1, `thin: ${counted(counts.holes, "hole")}, not of the region`]);
  byId("regions-legend").replaceChildren(...rows.map(([style, width, text]) => make("li", {}, lineOf(style, width), text)));
}

function counted(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** Return a piece of an outline. */
function lineOf({ colour, dash }, width) {
  const [svg, line] = ["svg", "path"].map((name) => document.createElementNS(SVG, name));
  const facts = { d: "M1 5h34", stroke: colour, "stroke-width": width, "stroke-dasharray": dash.join(" ") };
  for (const [name, value] of Object.entries(facts)) line.setAttribute(name, value);
  svg.setAttribute("viewBox", "0 0 36 10");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("line");
  svg.append(line);
  return svg;
}
