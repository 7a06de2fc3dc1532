/* Controls of the map: chooser of map and class, opacity, thresholds, colour bar, legend. */
import { chooser, el, labelled } from "./dom.js";
import { count, counted, percent, tick } from "./numbers.js";
import { cssColour, drawBar, isNamed, paint } from "./painting.js";

const STEPS = 1000;
/** Kind of the map to show first; its class is the one drawn hot. */
const FIRST_KIND = "score";

/** Return the texts for the ends of a map's colours. */
function endsOf(map) {
  const { ends, middle } = map.range;
  if (ends.some(Boolean)) return ends;
  return middle === null || map.class === null ? ["low", "high"] : [`less ${map.class}`, `more ${map.class}`];
}

/** The controls of a slide's picture. */
export class Controls {
  constructor(slide, stage, onmap) {
    this.slide = slide;
    this.stage = stage;
    this.onmap = onmap;
    this.looks = new Map();
    this.element = el("div", { id: "controls" });
    this.ready = Promise.resolve();
  }

  /** Show a map by its name, or the first one. */
  choose(name) {
    const map = this.slide.map(name) ?? this.first();
    this.ready = this.changed(map);
    return this.ready;
  }

  first() {
    const { maps, true_class: hot } = this.slide.part;
    return maps.find((map) => map.kind === FIRST_KIND && map.class === hot) ?? maps[0] ?? null;
  }

  async changed(map) {
    this.map = map;
    this.onmap(map);
    if (map === null) {
      const reason = this.slide.reduced.length
        ? "The maps of this slide were left out to keep the report small."
        : "This slide has no maps.";
      this.element.replaceChildren(el("p", { class: "soft" }, reason));
      this.stage.setMap(null, null);
      return;
    }
    const values = await this.slide.valuesOf(map);
    if (this.slide.attention !== null) await this.slide.valuesOf(this.slide.attention);
    if (this.map !== map) return;
    this.values = values;
    if (!this.looks.has(map.name)) {
      this.looks.set(map.name, { opacity: map.opacity.alpha, fade: map.opacity.fades_with !== null, low: 0, high: STEPS });
    }
    this.build();
    this.apply();
  }

  /** Rebuild the controls for the current map. */
  build() {
    const { map } = this;
    const look = this.looks.get(map.name);
    const named = isNamed(map);
    this.opacityText = el("span", { class: "value" });
    this.lowText = el("span", { class: "value" });
    this.highText = el("span", { class: "value" });
    this.seenText = el("p", { class: "soft", id: "cells-shown" });
    this.bar = el("canvas", { id: "colour-bar", role: "img" });
    const slide = (id, value, oninput) => el("input", { type: "range", id, min: 0, max: STEPS, value, oninput });
    const fade = el("input", {
      type: "checkbox", id: "fade", checked: look.fade,
      onchange: () => { look.fade = fade.checked; this.apply(); },
    });
    this.element.replaceChildren(...[
      this.choosers(),
      labelled("Opacity", slide("opacity", look.opacity * STEPS, (event) => {
        look.opacity = event.target.value / STEPS;
        this.apply();
      }), this.opacityText),
      map === this.slide.attention || this.slide.attention === null ? null
        : el("label", { class: "tick" }, fade, "Fade where attention is low"),
      named ? this.legend() : this.scale(),
      named ? null : labelled("Hide below", slide("hide-below", look.low, (event) => {
        look.low = Number(event.target.value);
        this.apply();
      }), this.lowText),
      named ? null : labelled("Hide above", slide("hide-above", look.high, (event) => {
        look.high = Number(event.target.value);
        this.apply();
      }), this.highText),
      this.seenText,
      map.note ? el("p", { class: "soft" }, map.note) : null,
    ].filter(Boolean));
  }

  choosers() {
    const { maps } = this.slide.part;
    const kinds = new Map(maps.map(({ kind, kind_title: title }) => [kind, title]));
    const ofKind = (kind) => maps.filter((map) => map.kind === kind);
    const closest = (kind) => ofKind(kind).find((map) => map.class === (this.map.class ?? this.slide.part.true_class))
      ?? ofKind(kind)[0];
    const map = chooser([...kinds], this.map.kind, (kind) => this.choose(closest(kind).name));
    map.id = "map";
    const classes = ofKind(this.map.kind).map((other) => [other.name, other.class ?? other.title]);
    const ofClass = chooser(classes, this.map.name, (name) => this.choose(name));
    ofClass.id = "class";
    return el("div", { class: "pair" }, labelled("Map", map),
      classes.length > 1 || this.map.class !== null ? labelled("Class", ofClass) : null);
  }

  /** Return the colour bar with its numbers and their meaning. */
  scale() {
    const { map } = this;
    const { min, max } = map.values;
    const { lower, upper } = map.range;
    const middle = map.range.middle === null ? null : (map.range.middle - lower) / (upper - lower);
    const [against, speaks] = endsOf(map);
    const ends = against || speaks ? el("div", { class: "ends" }, el("span", {}, `← ${against}`), el("span", {}, `${speaks} →`)) : null;
    const text = (value) => tick(value, upper - lower);
    this.bar.setAttribute("aria-label", `Colours from ${text(lower)} to ${text(upper)}, and a histogram of the cells' values`);
    return el("div", { class: "scale" },
      el("p", { class: "quantity" }, map.quantity),
      this.bar,
      el("div", { class: "ticks" },
        el("span", {}, `${min < lower ? "≤ " : ""}${text(lower)}`),
        middle !== null && middle > 0.2 && middle < 0.8
          ? el("span", { class: "middle", style: { left: `${100 * middle}%` } }, text(map.range.middle)) : null,
        el("span", {}, `${max > upper ? "≥ " : ""}${text(upper)}`)),
      ends,
      el("p", { class: "soft" }, this.slide.sorted.get(map.name).length === 0 ? "This slide has no values."
        : `The colours cover the values of all slides; this slide has ${text(min)} to ${text(max)}.`));
  }

  /** Return the names of a map's levels with their shares of the tissue. */
  legend() {
    const counts = new Array(this.map.categories.length).fill(0);
    for (const level of this.values) if (!Number.isNaN(level)) counts[level - 1]++;
    return el("ul", { id: "legend" }, this.map.categories.map((name, index) => el("li", {},
      el("i", { style: { background: cssColour(this.map, index) } }), el("span", {}, name),
      el("span", { class: "value" }, percent(counts[index] / Math.max(1, this.values.length), 1)))));
  }

  /** Draw the map with the settings of the controls. */
  apply() {
    const { map, slide, stage } = this;
    const look = this.looks.get(map.name);
    const from = look.low === 0 ? -Infinity : slide.quantile(map, look.low / STEPS);
    const to = look.high === STEPS ? Infinity : slide.quantile(map, look.high / STEPS);
    const drawn = { ...look, from, to };
    const visible = paint(stage.painted, slide, map, this.values, drawn);
    stage.setMap(map, this.values);
    this.opacityText.textContent = percent(look.opacity);
    const span = map.range.upper - map.range.lower;
    this.lowText.textContent = look.low === 0 ? "nothing" : `${tick(from, span)}: the lowest ${percent(look.low / STEPS, 1)}`;
    this.highText.textContent = look.high === STEPS ? "nothing" : `${tick(to, span)}: the highest ${percent(1 - look.high / STEPS, 1)}`;
    this.seenText.textContent = `${count(visible)} of ${counted(this.values.length, "tissue cell")} shown`;
    if (!isNamed(map)) drawBar(this.bar, slide, map, drawn);
  }

  resized() {
    if (this.map && this.values) this.apply();
  }
}
