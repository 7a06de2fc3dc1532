/* Starts the page, and follows its address: #slide=NAME&map=NAME, or nothing for all slides. */
import { el } from "./dom.js";
import { block } from "./data.js";
import { Cohort } from "./cohort.js";
import { hashOf, showSlide } from "./slide.js";

const run = block("run");
const cohort = new Cohort(run);
const places = { cohort: document.getElementById("cohort"), slide: document.getElementById("slide") };
let shown = null;
let turn = 0;
let scrolled = 0;

function start() {
  document.title = `${run.name} – heatmaps`;
  document.getElementById("run-name").textContent = run.name;
  // Maps that were given have no prediction, and no model is known.
  const hasModel = run.rows.some((row) => Object.keys(row.prediction ?? {}).length > 0);
  const facts = [`made ${run.created.replace("T", " ").replace("+00:00", " UTC")}`, `drawn hot: ${run.true_class}`, run.extractor && `extractor ${run.extractor}`, hasModel && `model ${run.model_digest.slice(0, 12)}`, `heatmaps-ome ${run.version}`];
  document.getElementById("run-facts").replaceChildren(...facts.filter(Boolean).map((text) => el("span", {}, text)));
  document.getElementById("loading").remove();
  places.cohort.append(cohort.element);
  document.getElementById("how").append("To view the slides at every zoom: ", el("code", {}, "heatmaps-ome view"), " and the folder of this file. Values here are rounded; the exact ones are in each slide's values.ome.zarr.");
  window.addEventListener("hashchange", () => { window.report.ready = route(); });
  window.addEventListener("resize", () => shown?.controls.resized());
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => shown?.controls.resized());
}

/** Show the slide and map in the address. */
async function route() {
  const asked = new URLSearchParams(window.location.hash.slice(1));
  const name = asked.get("slide");
  const mine = ++turn;
  const same = shown !== null && name === (shown.row.folder ?? shown.row.slide);
  if (same && asked.get("map") !== shown.controls.map?.name) {
    await shown.controls.choose(asked.get("map"));
    return;
  }
  if (!places.cohort.hidden) scrolled = window.scrollY;
  shown?.stage.close();
  shown = null;
  const row = run.rows.find((other) => name !== null && (other.folder === name || (other.folder === null && other.slide === name)));
  places.cohort.hidden = row !== undefined;
  places.slide.hidden = row === undefined;
  document.body.classList.toggle("on-slide", row !== undefined);
  if (row === undefined) {
    places.slide.replaceChildren();
    window.scrollTo(0, scrolled);
    return;
  }
  window.scrollTo(0, 0);
  const opened = await showSlide(places.slide, row, {
    map: asked.get("map"),
    neighbours: cohort.neighbours(row),
    budget: run.budget_mib,
    onmap: (map) => { if (map !== null && mine === turn) window.history.replaceState(null, "", hashOf(row, map.name)); },
  });
  if (mine === turn && opened !== null) shown = { row, ...opened };
  else opened?.stage.close();
}

start();
/** For the console and tests: the promise `ready` is fulfilled when the address's view is shown. */
window.report = { get shown() { return shown; }, run };
window.report.ready = route();
