/* Controls of a picture: its map, a map to subtract, opacity, thresholds, and the map's key. */
import { chooser, el, labelled } from "./dom.js";
import { comparable, difference } from "./differences.js";
import { barLegend, namesLegend, nothingToMeasure } from "./legend.js";
import { count, counted, percent, tick } from "./numbers.js";
import { barHeight, drawBar, isNamed, paint, usualLook } from "./painting.js";
import { about } from "./terms.js";

const STEPS = 1000;

/** The controls of a slide's picture; `suffix` keeps the ids of a second one apart. */
export class Controls {
  constructor(slide, stage, onmap, suffix = "") {
    this.slide = slide;
    this.stage = stage;
    this.onmap = onmap;
    this.suffix = suffix;
    this.looks = new Map();
    this.base = null;
    this.minus = null;
    this.element = el("div", { class: "controls", id: `controls${suffix}` });
    this.ready = Promise.resolve();
  }

  /** Show a map by its name, or the first one. */
  choose(name) {
    this.base = this.slide.map(name) ?? this.slide.first();
    if (this.minus !== null && !comparable(this.slide, this.base).includes(this.minus)) this.minus = null;
    this.onmap(this.base);
    return this.change();
  }

  /** Subtract a map from the chosen one, or nothing if it is null. */
  subtract(map) {
    this.minus = map;
    return this.change();
  }

  change() {
    this.ready = this.changed();
    return this.ready;
  }

  async changed() {
    const { base, minus, slide } = this;
    if (base === null) {
      const reason = slide.reduced.length
        ? "The maps of this slide were left out to keep the report small."
        : "This slide has no maps.";
      this.map = null;
      this.element.replaceChildren(el("p", { class: "soft" }, reason));
      this.stage.setMap(null, null);
      return;
    }
    const map = minus === null ? base : await difference(slide, base, minus);
    const values = await slide.ready(map);
    if (this.base !== base || this.minus !== minus) return;
    this.map = map;
    this.values = values;
    if (!this.looks.has(map.name)) this.looks.set(map.name, { ...usualLook(map), low: 0, high: STEPS });
    this.build();
    this.apply();
  }

  /** Return the current map as it is drawn, for other pictures of it. */
  get pane() {
    if (!this.map) return null;
    return { map: this.map, values: this.values, look: this.drawn(), painted: this.stage.painted };
  }

  /** Rebuild the controls for the current map. */
  build() {
    const { map, suffix } = this;
    const look = this.looks.get(map.name);
    const named = isNamed(map);
    this.opacityText = el("span", { class: "value" });
    this.lowText = el("span", { class: "value" });
    this.highText = el("span", { class: "value" });
    this.seenText = el("p", { class: "soft", id: `cells-shown${suffix}` });
    this.bar = el("canvas", { class: "colour-bar", id: `colour-bar${suffix}`, role: "img" });
    this.key = el("div");
    const slide = (id, value, oninput) => el("input", { type: "range", id: `${id}${suffix}`, min: 0, max: STEPS, value, oninput });
    const fade = el("input", {
      type: "checkbox", id: `fade${suffix}`, checked: look.fade,
      onchange: () => { look.fade = fade.checked; this.rekey(); this.apply(); },
    });
    const threshold = (id, text, name, place) => (named ? null : labelled(text, slide(id, look[name], (event) => {
      look[name] = Number(event.target.value);
      this.apply();
    }), place));
    this.element.replaceChildren(...[
      this.choosers(),
      this.minusChooser(),
      about(map.kind),
      this.key,
      labelled("Opacity", slide("opacity", look.opacity * STEPS, (event) => {
        look.opacity = event.target.value / STEPS;
        this.apply();
      }), this.opacityText),
      map === this.slide.attention || this.slide.attention === null ? null
        : el("label", { class: "tick" }, fade, "Fade where attention is low"),
      threshold("hide-below", "Hide below", "low", this.lowText),
      threshold("hide-above", "Hide above", "high", this.highText),
      this.seenText,
      map.note ? el("p", { class: "warning" }, `This map ${map.note}.`) : null,
    ].filter(Boolean));
    this.rekey();
  }

  /** Rebuild the key of the map's colours. */
  rekey() {
    const { map } = this;
    const look = this.drawn();
    this.bar.style.height = `${barHeight(this.slide, map, look)}px`;
    const key = isNamed(map) ? namesLegend(map, this.values) : barLegend(this.slide, map, look, this.bar);
    if (isNamed(map)) key.id = `legend${this.suffix}`;
    this.key.replaceChildren(key);
  }

  choosers() {
    const { maps } = this.slide.part;
    const { base } = this;
    const kinds = new Map(maps.map(({ kind, kind_title: title }) => [kind, title]));
    const ofKind = (kind) => maps.filter((map) => map.kind === kind);
    const closest = (kind) => ofKind(kind).find((map) => map.class === (base.class ?? this.slide.part.true_class))
      ?? ofKind(kind)[0];
    const map = chooser([...kinds], base.kind, (kind) => this.choose(closest(kind).name));
    map.id = `map${this.suffix}`;
    const classes = ofKind(base.kind).map((other) => [other.name, other.class ?? other.title]);
    const ofClass = chooser(classes, base.name, (name) => this.choose(name));
    ofClass.id = `class${this.suffix}`;
    return el("div", { class: "pair" }, labelled("Map", map),
      classes.length > 1 || base.class !== null ? labelled("Class", ofClass) : null);
  }

  minusChooser() {
    if (this.minus === null) return null;
    const pairs = comparable(this.slide, this.base).map((map) => [map.name, map.title]);
    const made = chooser(pairs, this.minus.name, (name) => this.subtract(this.slide.map(name)));
    made.id = `minus${this.suffix}`;
    return labelled("less the map", made);
  }

  /** Return the look of the current map with its thresholds as values. */
  drawn() {
    const { map, slide } = this;
    const look = this.looks.get(map.name);
    return {
      ...look,
      from: look.low === 0 ? -Infinity : slide.quantile(map, look.low / STEPS),
      to: look.high === STEPS ? Infinity : slide.quantile(map, look.high / STEPS),
    };
  }

  /** Draw the map with the settings of the controls. */
  apply() {
    const { map, slide, stage } = this;
    const look = this.drawn();
    const visible = paint(stage.painted, slide, map, this.values, look);
    stage.setMap(map, this.values);
    this.opacityText.textContent = percent(look.opacity);
    this.seenText.textContent = `${count(visible)} of ${counted(this.values.length, "tissue cell")} shown`;
    if (isNamed(map)) return;
    const span = map.range.upper - map.range.lower;
    this.lowText.textContent = look.low === 0 ? "nothing" : `${tick(look.from, span)}: the lowest ${percent(look.low / STEPS)}`;
    this.highText.textContent = look.high === STEPS ? "nothing" : `${tick(look.to, span)}: the highest ${percent(1 - look.high / STEPS)}`;
    if (!nothingToMeasure(slide, map)) drawBar(this.bar, slide, map, look);
  }

  resized() {
    if (this.map && this.values) this.apply();
  }
}
