/* Starts the page, and follows its address: #slide=NAME&map=NAME, or nothing for all slides. */
import { el } from "./dom.js";
import { block } from "./data.js";
import { Cohort } from "./cohort.js";
import { imagesReady, Pictures } from "./pictures.js";
import { modelText, sheet } from "./sheet.js";
import { hashOf, showSlide } from "./slide.js";
import { glossary, research } from "./terms.js";

const run = block("run");
const pictures = new Pictures(run);
const cohort = new Cohort(run, pictures);
const places = { cohort: document.getElementById("cohort"), slide: document.getElementById("slide") };
const page = el("section", { id: "sheet-now" });
let shown = null;
let turn = 0;
let scrolled = 0;
let soon = 0;
let isDrawn = false;
/** Time without changes after which the printed page of a slide is drawn. */
const IDLE_MS = 500;

function start() {
  document.title = `${run.name} – heatmaps`;
  document.getElementById("run-name").textContent = run.name;
  // Maps that were given have no prediction, and no model is known.
  const hasModel = run.rows.some((row) => Object.keys(row.prediction ?? {}).length > 0);
  const facts = [`made ${run.created.replace("T", " ").replace("+00:00", " UTC")}`, `drawn hot: ${run.true_class}`, run.extractor && `extractor ${run.extractor}`, hasModel && modelText(run), `heatmaps-ome ${run.version}`];
  document.getElementById("run-facts").replaceChildren(...facts.filter(Boolean).map((text) => el("span", {}, text)));
  document.getElementById("titles").append(research());
  document.getElementById("loading").remove();
  places.cohort.append(cohort.element);
  document.getElementById("main").append(pictures.sheets, page);
  document.getElementById("how").append("To view the slides at every zoom: ", el("code", {}, "heatmaps-ome view"), " and the folder of this file. Values here are rounded; the exact ones are in each slide's values.ome.zarr.");
  document.getElementById("how").after(glossary());
  window.addEventListener("hashchange", () => { window.report.ready = route(); });
  window.addEventListener("resize", () => resized());
  window.addEventListener("beforeprint", () => preparePage());
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => resized());
}

function resized() {
  shown?.controls.resized();
  shown?.comparison.second?.controls.resized();
}

/** Draw the printed page of the open slide as it is shown, unless it is drawn. */
function preparePage() {
  clearTimeout(soon);
  if (isDrawn) return;
  page.replaceChildren();
  isDrawn = true;
  if (shown === null) return;
  const panes = shown.comparison.panes().map(({ pane }) => pane);
  page.append(sheet(run, shown.row, shown.slide, panes, shown.stage.outlines));
  imagesReady(page);
}

/** Draw the printed page when nothing has changed for a while, so that it is there in time. */
function changed() {
  isDrawn = false;
  clearTimeout(soon);
  soon = setTimeout(preparePage, IDLE_MS);
}

/** Return the row in the address; a run of one slide opens it. */
function rowOf(name) {
  if (run.rows.length === 1) return run.rows[0];
  return run.rows.find((other) => name !== null && (other.folder === name || (other.folder === null && other.slide === name)));
}

/** Show the slide and map in the address. */
async function route() {
  const asked = new URLSearchParams(window.location.hash.slice(1));
  const mine = ++turn;
  const row = rowOf(asked.get("slide"));
  if (shown !== null && row === shown.row) {
    if (asked.get("map") !== shown.controls.base?.name) await shown.controls.choose(asked.get("map"));
    return;
  }
  if (!places.cohort.hidden) scrolled = window.scrollY;
  shown?.stage.close();
  shown?.comparison.close();
  shown = null;
  changed();
  places.cohort.hidden = row !== undefined;
  places.slide.hidden = row === undefined;
  document.body.classList.toggle("on-slide", row !== undefined);
  if (row === undefined) {
    places.slide.replaceChildren();
    window.scrollTo(0, scrolled);
    window.report.sheets ??= pictures.prepare();
    return;
  }
  window.scrollTo(0, 0);
  const opened = await showSlide(places.slide, run, row, {
    map: asked.get("map"),
    neighbours: cohort.neighbours(row),
    onmap: (map) => { if (map !== null && mine === turn) window.history.replaceState(null, "", hashOf(row, map.name)); },
  });
  if (mine === turn && opened !== null) {
    shown = { row, ...opened };
    shown.stage.onchange = changed;
    changed();
  } else opened?.stage.close();
}

start();
/** For the console and tests: `ready` is fulfilled when the address's view is shown, `sheets` when
    the printed pages of all slides are drawn. */
window.report = { get shown() { return shown; }, run, sheets: null };
window.report.ready = route();
