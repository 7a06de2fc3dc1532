/* One page of paper for a slide: map, class, key, scale bar, prediction, ground truth, trust. */
import { el } from "./dom.js";
import { barLegend, namesLegend, outlinesLegend } from "./legend.js";
import { barHeight, drawBarIn, isNamed, paint, usualLook } from "./painting.js";
import { pictureOf } from "./scene.js";
import { predictionBars } from "./sections.js";
import { RESEARCH } from "./terms.js";
import { trustTexts, truthText, warningsOf } from "./trust.js";

/** Size of the pictures of a page in CSS pixels, and canvas pixels per CSS pixel. */
const [PAGE_WIDTH, PICTURE_HEIGHT, PAPER_RATIO] = [700, 440, 2];
/** Most classes, and most warnings, on a page, so that it stays one. */
const [MOST_CLASSES, MOST_WARNINGS, MOST_NAMES] = [5, 5, 10];

/** Return the outlines of all regions of a slide. */
export function allOutlines(part) {
  return (part.regions.regions ?? []).map((region) => ({ rings: region.l0_rings, kind: region.kind, chosen: false }));
}

/** Return a map as it is drawn at first, for a picture; its values are read. */
export async function usualPane(slide, map) {
  if (map === null) return null;
  const values = await slide.ready(map);
  const look = usualLook(map);
  const painted = document.createElement("canvas");
  paint(painted, slide, map, values, look);
  return { map, values, look, painted };
}

/** Return the page of an open slide with one or two maps, as an element. */
export function sheet(run, row, slide, panes, outlines = allOutlines(slide.part)) {
  return withImages(written(run, row, slide, panes, outlines));
}

/** Return a page whose canvases are images: browsers print these alike, and they take less memory. */
function withImages(page) {
  for (const canvas of page.querySelectorAll("canvas")) {
    const isPicture = canvas.className === "sheet-picture";
    const image = el("img", { class: canvas.className, alt: canvas.getAttribute("aria-label") ?? "" });
    image.style.height = canvas.style.height;
    image.src = isPicture ? canvas.toDataURL("image/jpeg", 0.9) : canvas.toDataURL("image/png");
    canvas.replaceWith(image);
  }
  return page;
}

function written(run, row, slide, panes, outlines) {
  const { part } = slide;
  const warnings = warningsOf(row);
  const more = warnings.length > MOST_WARNINGS ? [`and ${warnings.length - MOST_WARNINGS} more warnings in the report`] : [];
  const maps = panes.filter(Boolean);
  const width = (PAGE_WIDTH - 16 * Math.max(0, maps.length - 1)) / Math.max(1, maps.length);
  return el("article", { class: "sheet" },
    el("h2", {}, row.slide),
    el("div", { class: "sheet-answer" }, el("h3", {}, "Prediction"), predictionBars(part, MOST_CLASSES),
      el("p", {}, truthText(row)), el("p", { class: "soft" }, `Drawn hot: ${part.true_class}`)),
    el("div", { class: `sheet-maps of-${maps.length}` }, maps.length
      ? maps.map((pane) => figure(slide, pane, outlines, width))
      : el("figure", {}, paperPicture(slide, { map: null, outlines }, width),
        el("p", {}, "There is no map of this slide in the report."))),
    outlines.length ? outlinesLegend(part) : null,
    el("section", { class: "sheet-trust" }, el("h3", {}, "How far to trust it"),
      el("ul", {}, [...warnings.slice(0, MOST_WARNINGS).map((text) => `⚠ ${text}`), ...more, ...trustTexts(row, part)].map((text) => el("li", {}, text)))),
    el("p", { class: "sheet-foot" }, [modelText(run), run.extractor && `extractor ${run.extractor}`, `heatmaps-ome ${run.version}`, run.created.slice(0, 10)].filter(Boolean).join(" · ")),
    el("p", { class: "research" }, RESEARCH));
}

/** Return the names of the run's models' files, else their digest. */
export function modelText(run) {
  const names = run.model_files ?? [];
  if (names.length > 4) return `models ${names.slice(0, 3).join(", ")} and ${names.length - 3} more`;
  if (names.length) return `model${names.length > 1 ? "s" : ""} ${names.join(", ")}`;
  return run.model_digest ? `model ${run.model_digest.slice(0, 12)}` : "";
}

function figure(slide, { map, values, look, painted }, outlines, width) {
  return el("figure", {}, el("h3", {}, map.title), paperPicture(slide, { map, painted, outlines }, width), isNamed(map) ? fewNames(map, values) : paperBar(slide, map, look, width));
}

function paperPicture(slide, scene, width) {
  const { canvas } = pictureOf(slide, scene, { width, height: PICTURE_HEIGHT, ratio: PAPER_RATIO });
  canvas.className = "sheet-picture";
  canvas.setAttribute("aria-label", slide.row.slide);
  return canvas;
}

function fewNames(map, values) {
  const list = namesLegend(map, values);
  for (const item of [...list.children].slice(MOST_NAMES)) item.remove();
  return list;
}

function paperBar(slide, map, look, width) {
  const bar = document.createElement("canvas");
  const height = barHeight(slide, map, look);
  [bar.width, bar.height] = [Math.round(width * PAPER_RATIO), height * PAPER_RATIO];
  bar.style.height = `${height}px`;
  const legend = barLegend(slide, map, look, bar);
  if (legend.contains(bar)) drawBarIn(bar.getContext("2d"), slide, map, look, { width: bar.width, height: bar.height, ratio: PAPER_RATIO });
  return legend;
}
