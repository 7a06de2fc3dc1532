/** The run's slides as links, with a filter, and the prediction for the open slide. */

import { byId, make } from "./dom.js";
import { percent } from "./numbers.js";
import { formatView } from "./permalink.js";

/** The list of slides. */
export class SlideList {
  #items;

  constructor(slides) {
    this.#items = slides.map((slide) => ({ slide, item: itemOf(slide) }));
    byId("slides").replaceChildren(...this.#items.map(({ item }) => item));
    byId("filter").addEventListener("input", () => this.#filter());
    this.#filter();
  }

  #filter() {
    const wanted = byId("filter").value.trim().toLowerCase();
    for (const { slide, item } of this.#items) {
      const text = `${slide.name} ${slide.folder} ${slide.true_class ?? ""}`.toLowerCase();
      item.hidden = !text.includes(wanted);
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

function itemOf(slide) {
  const top = likeliest(slide.prediction);
  const prediction = top === null ? null : make("span", { className: "said", title: top.className }, make("span", {}, top.className), amount(top.probability, slide.target));
  const link = make("a", { href: formatView({ slide: slide.folder }), title: slide.name }, thumbnailOf(slide), make("span", { className: "name" }, slide.name), prediction);
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

/** Return a prediction as a text: a probability in percent, a value or a risk with its unit. */
function amount(number, target) {
  if (hasClasses(target) || !Number.isFinite(number)) return percent(number);
  return `${Number(number.toPrecision(3))}${target.unit ? ` ${target.unit}` : ""}`;
}

/** Show a slide's prediction, and the class or other output drawn hot; null if not known. */
export function showPrediction(prediction, trueClass, target = null) {
  const rows = Object.entries(prediction ?? {}).sort((one, other) => (other[1] ?? -1) - (one[1] ?? -1));
  byId("prediction").tBodies[0].replaceChildren(...rows.map(([name, probability]) => rowOf(name, probability, trueClass, target)));
  byId("prediction-section").hidden = rows.length === 0 && !trueClass;
  byId("true-class").textContent = trueClass ? `True class: ${trueClass}` : "";
}

function rowOf(name, probability, trueClass, target) {
  const meter = make("span", { className: "meter" }, make("span"));
  meter.hidden = !hasClasses(target);
  meter.firstChild.style.width = `${100 * Math.min(1, Math.max(0, probability ?? 0))}%`;
  const isTrue = name === trueClass;
  const label = make("th", { scope: "row", title: name }, name);
  return make("tr", { className: isTrue ? "true" : "" }, label, make("td", { className: "bar" }, meter), make("td", { className: "number" }, amount(probability, target)));
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
