/** The run's slides as links, with a filter, and the prediction for the open slide. */

import { byId, fillSelect, make } from "./dom.js";
import { figure, probability } from "./numbers.js";
import { formatView } from "./permalink.js";

/** The list of slides. */
export class SlideList {
  #items;

  constructor(slides) {
    this.#items = slides.map((slide) => ({ slide, item: itemOf(slide) }));
    byId("slides").replaceChildren(...this.#items.map(({ item }) => item));
    this.#offerTruth(slides);
    byId("filter").addEventListener("input", () => this.#filter());
    byId("correct").addEventListener("change", () => this.#filter());
    this.#filter();
  }

  /** Offer to filter by ground truth where slides have it, with how many are right and wrong. */
  #offerTruth(slides) {
    const counts = truthCounts(slides);
    byId("correct-field").hidden = counts.right + counts.wrong === 0;
    byId("truth-counts").hidden = counts.labelled === 0;
    byId("truth-counts").textContent = truthText(counts);
    fillSelect(byId("correct"), [["", "all"], ["wrong", `wrong (${counts.wrong})`], ["right", `right (${counts.right})`]], "");
  }

  #filter() {
    const wanted = byId("filter").value.trim().toLowerCase();
    const correct = { wrong: false, right: true }[byId("correct").value];
    for (const { slide, item } of this.#items) {
      const text = `${slide.name} ${slide.folder} ${slide.true_class ?? ""} ${slide.label ?? ""}`.toLowerCase();
      item.hidden = !text.includes(wanted) || (correct !== undefined && slide.correct !== correct);
    }
    const shown = this.#items.filter(({ item }) => !item.hidden).length;
    const all = this.#items.length;
    byId("slides-count").textContent = shown === all ? `(${all})` : `(${shown} of ${all})`;
  }

  /** Mark the open slide. */
  mark(current) {
    for (const { slide, item } of this.#items) {
      if (slide === current) item.firstChild.setAttribute("aria-current", "page");
      else item.firstChild.removeAttribute("aria-current");
    }
    const list = byId("slides");
    const link = list.querySelector("[aria-current]");
    if (!link) return;
    const above = link.offsetTop - list.offsetTop;
    const seen = above >= list.scrollTop && above + link.offsetHeight <= list.scrollTop + list.clientHeight;
    if (!seen) list.scrollTop = above - list.clientHeight / 2;
  }

  /** Return the slide some steps after another, among those that the filter shows, or null. */
  after(current, steps) {
    const shown = this.#items.filter(({ slide, item }) => !item.hidden || slide === current);
    const index = shown.findIndex(({ slide }) => slide === current);
    return shown[index + steps]?.slide ?? null;
  }
}

/** Return how many slides have ground truth, and how many predictions are right and wrong by it. */
export function truthCounts(slides) {
  const count = (condition) => slides.filter(condition).length;
  return {
    all: slides.length,
    labelled: count(({ label }) => hasText(label)),
    right: count(({ correct }) => correct === true),
    wrong: count(({ correct }) => correct === false),
  };
}

function truthText({ all, labelled, right, wrong }) {
  const known = labelled === all ? "ground truth for all slides" : `ground truth for ${labelled} of ${all} slides`;
  return right + wrong === 0 ? known : `${known}: ${right} right, ${wrong} wrong`;
}

/** Return what is stated of a slide beside its prediction: "drawn hot: a · ground truth: b · wrong". */
export function classText(hotClass, label, correct) {
  const parts = [hotClass ? `drawn hot: ${hotClass}` : null, hasText(label) ? `ground truth: ${label}` : null];
  return [...parts, verdict(correct)].filter(Boolean).join(" · ");
}

function verdict(correct) {
  return { true: "right", false: "wrong" }[correct] ?? null;
}

function hasText(label) {
  return label !== null && label !== undefined && label !== "";
}

function itemOf(slide) {
  const top = likeliest(slide.prediction);
  const prediction = top === null ? null : make("span", { className: "said", title: top.className }, make("span", {}, top.className), amount(top.probability, slide.target));
  const first = make("span", { className: "first" }, thumbnailOf(slide), make("span", { className: "name" }, slide.name), prediction);
  const classes = classText(slide.true_class, slide.label, slide.correct);
  const link = make("a", { href: formatView({ slide: slide.folder }), title: slide.name }, first, classes ? make("span", { className: slide.correct === false ? "classes wrong" : "classes" }, classes) : null);
  return make("li", {}, link);
}

function thumbnailOf({ thumbnail }) {
  return thumbnail ? make("img", { className: "thumbnail", src: thumbnail, alt: "", loading: "lazy" }) : null;
}

function likeliest(prediction) {
  const known = Object.entries(prediction ?? {}).filter(([, probability]) => Number.isFinite(probability));
  if (known.length === 0) return null;
  const [className, probability] = known.reduce((best, next) => (next[1] > best[1] ? next : best));
  return { className, probability };
}

/** Whether predictions are probabilities of classes, as those of earlier versions all are. */
function hasClasses(target) {
  return !["regression", "survival"].includes(target?.task);
}

/** Return a prediction as a text: a probability, or a value or a risk with its unit. */
function amount(number, target) {
  if (hasClasses(target) || !Number.isFinite(number)) return probability(number);
  return `${figure(number)}${target.unit ? ` ${target.unit}` : ""}`;
}

/**
 * Show a slide's prediction, the class or other output drawn hot, and the ground truth.
 *
 * @param slide { prediction, true_class, target, label, correct }, each null if not known
 */
export function showPrediction({ prediction, true_class: hotClass, target, label, correct }) {
  const rows = Object.entries(prediction ?? {}).sort((one, other) => (other[1] ?? -1) - (one[1] ?? -1));
  byId("prediction").tBodies[0].replaceChildren(...rows.map(([name, number]) => rowOf(name, number, hotClass, target)));
  byId("prediction-section").hidden = rows.length === 0 && !hotClass && !hasText(label);
  byId("slide-classes").textContent = classText(hotClass, label, correct);
  byId("hot-row").hidden = !hotClass;
  byId("hot-class").textContent = `drawn hot: ${hotClass}`;
  byId("truth-row").hidden = !hasText(label);
  byId("ground-truth").textContent = `ground truth: ${label}`;
  byId("verdict").textContent = correct === null || correct === undefined ? "" : `prediction ${verdict(correct)}`;
  byId("verdict").classList.toggle("wrong", correct === false);
}

function rowOf(name, number, hotClass, target) {
  const meter = make("span", { className: "meter" }, make("span"));
  meter.hidden = !hasClasses(target);
  meter.firstChild.style.width = `${100 * Math.min(1, Math.max(0, number ?? 0))}%`;
  const label = make("th", { scope: "row", title: name }, name);
  return make("tr", { className: name === hotClass ? "hot" : "" }, label, make("td", { className: "bar" }, meter), make("td", { className: "number" }, amount(number, target)));
}

/** Show links to other viewers: [{ title, url, note }]; only web and local addresses. */
export function showLinks(links) {
  const safe = (links ?? []).filter((link) => isSafe(link.url));
  byId("others-section").hidden = safe.length === 0;
  byId("others").replaceChildren(
    ...safe.map(({ title, url, note }) => {
      const link = make("a", { href: url, target: "_blank", rel: "noopener" }, title ?? url);
      return make("li", {}, link, note ? make("p", {}, note) : null);
    }),
  );
}

function isSafe(url) {
  try {
    return ["http:", "https:", "qupath:", "napari:"].includes(new URL(url, document.baseURI).protocol);
  } catch {
    return false;
  }
}
