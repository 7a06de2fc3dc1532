/* The page of one slide. */
import { el } from "./dom.js";
import { OpenSlide } from "./data.js";
import { Controls } from "./controls.js";
import { Stage } from "./stage.js";
import { cards, predictionBars } from "./sections.js";

/** Show a slide in an element of the page, and return its parts: { slide, stage, controls }. */
export async function showSlide(place, row, { map, neighbours, budget, onmap }) {
  place.replaceChildren(heading(row, neighbours), el("p", { class: "soft" }, "Opening the slide…"));
  const problem = row.status === "failed" ? `This slide failed: ${row.message}` : row.damaged;
  if (problem) {
    place.lastChild.replaceWith(el("p", { class: "warning" }, problem));
    return null;
  }
  let slide;
  try {
    slide = await OpenSlide.of(row);
  } catch (error) {
    place.lastChild.replaceWith(el("p", { class: "warning" },
      `The report's data of this slide are damaged (${error.message}); make it anew with --overwrite.`));
    return null;
  }
  const stage = new Stage(slide);
  const controls = new Controls(slide, stage, onmap);
  const outlines = outliner(slide, stage);
  place.replaceChildren(
    heading(row, neighbours),
    ...notes(row, slide, budget),
    el("div", { id: "look" },
      stage.element,
      el("aside", { "aria-label": "Prediction and map" }, el("h2", {}, "Prediction"), predictionBars(slide.part), el("h2", {}, "Map"), controls.element, outlines.tick)),
    el("div", { id: "cards" }, cards(slide.part, slide.provenance, {
      region: outlines.choose, tile: (tile) => showTile(slide, stage, tile),
    })));
  await controls.choose(map);
  return { slide, stage, controls };
}

function heading(row, { before, after }) {
  const link = (other, text, label) => (other
    ? el("a", { class: "button", href: hashOf(other), "aria-label": `${label}: ${other.slide}` }, text)
    : el("span", { class: "button off", "aria-hidden": "true" }, text));
  return el("div", { id: "heading" },
    el("a", { class: "button", href: "#", id: "back" }, "← All slides"),
    el("h1", {}, row.slide),
    el("nav", { "aria-label": "Neighbours in the table" }, link(before, "‹", "Previous slide"), link(after, "›", "Next slide")));
}

/** Return the address of a slide in the page. */
export function hashOf(row, map = null) {
  const parts = new URLSearchParams({ slide: row.folder ?? row.slide });
  if (map !== null) parts.set("map", map);
  return `#${parts}`;
}

function notes(row, slide, budget) {
  const made = row.warnings.map((text) => el("p", { class: "warning" }, text));
  if (slide.reduced.length) {
    made.push(el("p", { class: "note" }, `To keep the report of all slides below ${budget} MiB: ${slide.reduced.join("; ")}. The slide's files are complete; heatmaps-ome view shows them.`));
  }
  return made;
}

/** Return the checkbox that outlines regions, and a function that chooses one of them. */
function outliner(slide, stage) {
  const regions = slide.part.regions.regions ?? [];
  let chosen = null;
  const draw = () => {
    const outlined = tick.checked ? regions : regions.filter((region) => region === chosen);
    stage.outlines = outlined.map((region) => ({ rings: region.l0_rings, kind: region.kind, chosen: region === chosen }))
      .sort((a, b) => a.chosen - b.chosen);
    stage.draw();
  };
  const tick = el("input", { type: "checkbox", id: "outlines", checked: regions.length > 0, onchange: draw });
  const choose = (region) => {
    chosen = region;
    stage.mark = null;
    draw();
    stage.show(boxOf(slide, region.l0_rings), 1.6);
  };
  draw();
  return { choose, tick: regions.length ? el("label", { class: "tick" }, tick, "Outline the regions") : null };
}

function boxOf(slide, rings) {
  const { mpp } = slide.part.slide;
  const points = rings.flat();
  const ends = (offset, size) => {
    let [low, high] = [Infinity, -Infinity];
    for (let i = offset; i < points.length; i += 2) {
      low = Math.min(low, points[i]);
      high = Math.max(high, points[i]);
    }
    return [low * size, (high - low) * size];
  };
  const [[x, width], [y, height]] = [ends(0, mpp.x), ends(1, mpp.y)];
  return { x, y, width, height };
}

function showTile(slide, stage, tile) {
  const { mpp } = slide.part.slide;
  const { y, x, rows, cols } = tile.l0_window;
  stage.mark = { x: x * mpp.x, y: y * mpp.y, width: cols * mpp.x, height: rows * mpp.y };
  stage.show(stage.mark, 6);
}
