/* The page of one slide. */
import { el, svg } from "./dom.js";
import { OpenSlide } from "./data.js";
import { Comparison } from "./comparison.js";
import { Controls } from "./controls.js";
import { outlinesLegend } from "./legend.js";
import { savePicture } from "./saving.js";
import { Stage } from "./stage.js";
import { cards, predictionBars } from "./sections.js";
import { about } from "./terms.js";
import { truthText, warningsOf } from "./trust.js";

/** Paths of the buttons' icons in a square of 16. */
const [FULL, SAVE] = ["M2 6V2h4M10 2h4v4M14 10v4h-4M6 14H2v-4", "M8 2v8M4.5 7L8 10.5 11.5 7M2 11v3h12v-3"];

/** Show a slide in an element of the page, and return its parts: { slide, stage, controls, … }. */
export async function showSlide(place, run, row, { map, neighbours, onmap }) {
  const head = heading(run, row, neighbours);
  place.replaceChildren(head, el("p", { class: "soft" }, "Opening the slide…"));
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
  const { stage, controls, comparison, look } = parts(run, row, slide, onmap);
  place.replaceChildren(head, ...notes(row, slide), look.element,
    el("div", { id: "cards" }, cards(run, slide.part, slide.provenance, {
      region: look.choose, tile: (tile) => showTile(slide, stage, tile),
    })));
  await controls.choose(map);
  comparison.update();
  return { slide, stage, controls, comparison };
}

/** Return the picture with its controls: stages on the left, all that steers them on the right. */
function parts(run, row, slide, onmap) {
  const save = () => savePicture(slide, comparison.panes());
  const full = () => (document.fullscreenElement ? document.exitFullscreen() : look.requestFullscreen());
  const stage = new Stage(slide, { buttons: [[icon(FULL), "Full screen", full], [icon(SAVE), "Save the picture", save]] });
  const controls = new Controls(slide, stage, (map) => { onmap(map); comparison.update(); });
  const outlines = outliner(slide, stage);
  const comparison = new Comparison(slide, stage, controls);
  const look = el("div", { id: "look" },
    el("div", { id: "stages" }, stage.element, comparison.place),
    el("aside", { "aria-label": "Prediction and map" },
      el("h2", {}, "Prediction"), predictionBars(slide.part),
      el("p", { class: `truth${row.right === false ? " wrong" : ""}` }, truthText(row)),
      el("div", { class: "with-about" }, el("p", { class: "soft" }, `Drawn hot: ${slide.part.true_class}`), about("hot")),
      el("h2", {}, "Map"), comparison.modes, controls.element, comparison.controlsPlace,
      outlines.tick));
  return { stage, controls, comparison, look: { element: look, choose: outlines.choose } };
}

function icon(path) {
  return svg("svg", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" },
    svg("path", { d: path, fill: "none", stroke: "currentColor", "stroke-width": 1.6 }));
}

/** Return the way back to all slides; from a page of its own to the table as it was left. */
function wayBack(run) {
  const link = el("a", { class: "button", href: run.table ?? "#", id: "back" }, "← All slides");
  if (run.table && new URLSearchParams(window.location.hash.slice(1)).get("from") === "table" && window.history.length > 1) {
    const steps = window.history.length;
    link.addEventListener("click", (event) => {
      // The slide's own steps, from map to map, replace one another: the table is the one before.
      if (window.history.length !== steps || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      window.history.back();
    });
  }
  return link;
}

function heading(run, row, { before, after }) {
  const several = run.rows.length > 1;
  const link = (other, text, label) => (other
    ? el("a", { class: "button", href: hashOf(other), "aria-label": `${label}: ${other.slide}` }, text)
    : el("span", { class: "button off", "aria-hidden": "true" }, text));
  return el("div", { id: "heading" },
    several || run.table ? wayBack(run) : null,
    el("h1", {}, row.slide),
    el("button", { type: "button", id: "print", title: "Print, or save as PDF: one page", onclick: () => window.print() }, "Print"),
    several ? el("nav", { "aria-label": "Neighbours in the table" }, link(before, "‹", "Previous slide"), link(after, "›", "Next slide")) : null);
}

/** Return the address of a slide: in the page, or the page of its own. */
export function hashOf(row, map = null) {
  if (row.page) return `${row.page}#from=table`;
  const address = new URLSearchParams({ slide: row.folder ?? row.slide });
  if (map !== null) address.set("map", map);
  return `#${address}`;
}

function notes(row, slide) {
  const made = warningsOf(row).map((text) => el("p", { class: "warning" }, `⚠ ${text}`));
  if (slide.reduced.length) {
    made.push(el("p", { class: "note" }, `To keep this page small enough for a browser: ${slide.reduced.join("; ")}. The slide's files are complete; heatmaps-ome view shows them.`));
  }
  return made;
}

/** Return the checkbox that outlines regions, and a function that chooses one of them. */
function outliner(slide, stage) {
  const regions = slide.part.regions.regions ?? [];
  let chosen = null;
  const draw = () => {
    const outlined = tick.checked ? regions : regions.filter((region) => region === chosen);
    const outlines = outlined.map((region) => ({ rings: region.l0_rings, kind: region.kind, chosen: region === chosen }))
      .sort((a, b) => a.chosen - b.chosen);
    stage.setMarks({ outlines, mark: null });
  };
  const tick = el("input", { type: "checkbox", id: "outlines", checked: regions.length > 0, onchange: draw });
  const choose = (region) => {
    chosen = region;
    draw();
    stage.show(boxOf(slide, region.l0_rings), 1.6);
  };
  draw();
  return { choose, tick: regions.length ? el("div", {}, el("label", { class: "tick" }, tick, "Outline the regions"), outlinesLegend(slide.part)) : null };
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
  const mark = { x: x * mpp.x, y: y * mpp.y, width: cols * mpp.x, height: rows * mpp.y };
  stage.setMarks({ mark });
  stage.show(mark, 6);
}
