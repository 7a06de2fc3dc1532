/* The key of a map: its colour bar with numbers, or its names; and that of the outlines. */
import { el, svg } from "./dom.js";
import { isNextToNothing, number, percent, probability, tick, valueText } from "./numbers.js";
import { cssColour, fades, isNamed } from "./painting.js";
import { outlineStyle } from "./scene.js";

/** Span of probabilities below which a bar has nothing to tell apart. */
const LEAST_SPAN = 1e-6;

/** Return the texts for the ends of a map's colours. */
function endsOf(map) {
  const { ends, middle } = map.range;
  if (ends.some(Boolean)) return ends;
  return middle === null || map.class === null ? ["low", "high"] : [`less ${map.class}`, `more ${map.class}`];
}

/** Return the quantity of a map's values with their unit, which most quantities name themselves. */
export function quantityOf({ quantity, unit }) {
  return unit && !quantity.includes(unit) ? `${quantity} (${unit})` : quantity;
}

/** Return the numbers below a bar: [text, place from 0 to 1]. */
export function ticksOf(slide, map) {
  const { lower, upper, middle } = map.range;
  const clips = map.range.clips ?? [map.values.min < lower, map.values.max > upper];
  // Rounded, an end between 0 and 1 could become 0 or 1, which no probability is beyond.
  const text = (value) => (map.unit === "probability" && lower >= 0 && value > 0 && value < 1 && value !== middle ? probability(value) : tick(value, upper - lower));
  const place = middle === null ? null : (middle - lower) / (upper - lower);
  return [
    [`${clips[0] ? "≤ " : ""}${text(lower)}`, 0],
    ...(place !== null && place > 0.2 && place < 0.8 ? [[text(middle), place]] : []),
    [`${clips[1] ? "≥ " : ""}${text(upper)}`, 1],
  ];
}

/** Return why a map's bar would be empty, "" if it is not. */
export function nothingToMeasure(slide, map) {
  const sorted = slide.sorted.get(map.name);
  if (sorted.length === 0) return "This slide has no values.";
  const { lower, upper } = map.range;
  if (map.unit !== "probability" || upper - lower >= LEAST_SPAN) return "";
  return `Nothing to measure: all values are between ${number(sorted[0])} and ${number(sorted[sorted.length - 1])}.`;
}

/** Return the colour bar around a canvas, with its numbers and their meaning. */
export function barLegend(slide, map, look, canvas) {
  const nothing = nothingToMeasure(slide, map);
  const quantity = el("p", { class: "quantity" }, quantityOf(map));
  if (nothing) return el("div", { class: "scale" }, quantity, el("p", { class: "soft nothing" }, nothing));
  const fading = fades(slide, map, look);
  const [against, speaks] = endsOf(map);
  const ticks = ticksOf(slide, map);
  canvas.setAttribute("aria-label", `Colours from ${ticks[0][0]} to ${ticks[ticks.length - 1][0]}, and a histogram of the cells' values`);
  const { min, max } = map.values;
  return el("div", { class: "scale" }, quantity,
    el("div", { class: `bar-row${fading ? " fading" : ""}` }, canvas,
      fading ? el("div", { class: "attended", "aria-hidden": "true" }, el("span", {}, "high"), el("span", {}, "attention"), el("span", {}, "low")) : null,
      el("div", { class: "ticks" }, ticks.map(([text, place]) => el("span", place > 0 && place < 1 ? { class: "middle", style: { left: `${100 * place}%` } } : {}, text))),
      el("div", { class: "ends" }, el("span", {}, `← ${against}`), el("span", {}, `${speaks} →`))),
    fading ? el("p", { class: "soft fades" }, "Fades where attention is low: the colours are full at the top of the bar and gone at its foot.") : null,
    el("p", { class: "soft own-range" }, `This slide has ${valueText(min, map.unit)} to ${valueText(max, map.unit)}${map.kind === "difference" ? "." : "; the colours are the same for all slides of the run."}`));
}

/** Return the names of a map's levels with their shares of the tissue. */
export function namesLegend(map, values) {
  const counts = new Array(map.categories.length).fill(0);
  for (const level of values) if (!Number.isNaN(level)) counts[level - 1]++;
  return el("ul", { class: "names" }, map.categories.map((name, index) => el("li", {},
    el("i", { style: { background: cssColour(map, index) } }), el("span", {}, name),
    el("span", { class: "value" }, percent(counts[index] / Math.max(1, values.length))))));
}

/** Return the key of the outlines, null without regions. */
export function outlinesLegend(part) {
  const { regions = [], class: name } = part.regions;
  const kinds = ["hot", "cold"].filter((kind) => regions.some((region) => region.kind === kind));
  if (kinds.length === 0) return null;
  return el("ul", { class: "key outlines" }, kinds.map((kind) => el("li", {}, outlineSample(part, kind),
    `${kind} region: evidence ${kind === "hot" ? "for" : "against"} ${name}`)));
}

/** Return a short piece of an outline. */
export function outlineSample(part, kind) {
  const { colour, dash } = outlineStyle(part, kind);
  return svg("svg", { class: "sample", viewBox: "0 0 34 10", width: 34, height: 10, "aria-hidden": "true" },
    svg("line", { x1: 1, x2: 33, y1: 5, y2: 5, stroke: "#fff", "stroke-width": 6 }),
    svg("line", { x1: 1, x2: 33, y1: 5, y2: 5, stroke: colour, "stroke-width": 3, "stroke-dasharray": dash.join(" ") }));
}

/** Return all evidence for a class and against it in a sentence, "" where it is not known. */
export function totalsText(totals) {
  if (!totals) return "";
  const unit = totals.unit ? ` ${totals.unit}` : "";
  const text = `All evidence: ${number(totals.for)}${unit} for ${totals.class}, ${number(totals.against)}${unit} against it.`;
  const [less] = totals.for < totals.against ? ["for", "against"] : ["against", "for"];
  const least = Math.min(totals.for, totals.against);
  return isNextToNothing(least, Math.max(totals.for, totals.against)) && least > 0
    ? `${text} That ${less} it is next to nothing, so it has no shares.` : text;
}
