/** The panel's controls of the map: they show a state and report the user's changes. */

import { drawColourBar } from "./colourbar.js";
import { byId, fillSelect, make } from "./dom.js";
import { choicesOf, isFlat, isSorted } from "./manifest.js";
import { fieldNumber, figure } from "./numbers.js";
import { colourScale } from "./painting.js";

const OWN = "";
const SLIDER_STEPS = 400;

/** The controls of the map. */
export class Controls {
  #range = { lower: 0, upper: 1 };

  /**
   * @param palettes { name: colours }
   * @param wants { layer(kind), map(name), look(changes), shown(flag) }, called on changes
   */
  constructor(palettes, wants) {
    this.palettes = palettes;
    this.wants = wants;
    this.#listen();
  }

  #listen() {
    const { wants } = this;
    on("layer", "change", ({ target }) => wants.layer(target.value));
    on("class", "change", ({ target }) => wants.map(target.value));
    on("palette", "change", ({ target }) => wants.look({ palette: target.value === OWN ? null : target.value }));
    on("opacity", "input", ({ target }) => wants.look({ opacity: Number(target.value) / 100 }));
    on("fade", "change", ({ target }) => wants.look({ fade: target.checked }));
    on("shown", "change", ({ target }) => wants.shown(target.checked));
    on("threshold-reset", "click", () => wants.look({ from: null, to: null }));
    for (const end of ["from", "to"]) {
      on(end, "input", ({ target }) => wants.look({ [end]: this.#limit(end, target.valueAsNumber) }));
      on(`${end}-number`, "change", ({ target }) => wants.look({ [end]: this.#limit(end, target.valueAsNumber) }));
    }
  }

  /** Return a limit, null where it would hide nothing. */
  #limit(end, value) {
    if (!Number.isFinite(value)) return null;
    const tolerance = (this.#range.upper - this.#range.lower) * 1e-6;
    const idle = end === "from" ? value <= this.#range.lower + tolerance : value >= this.#range.upper - tolerance;
    return idle ? null : Number(value.toPrecision(6));
  }

  /** Hide the controls, as there is no map. */
  showNothing() {
    byId("map-section").hidden = true;
  }

  /**
   * Show a state.
   *
   * @param state { layers, layer, entry, look, hidden, range }: the layers to choose from, the chosen
   *   layer and its map, the map's look, and the range of its values
   */
  show(state) {
    const { layers, layer, entry, look, hidden } = state;
    const { map } = entry;
    byId("map-section").hidden = false;
    fillSelect(byId("layer"), layers.map(({ kind, title }) => [kind, title]), layer.kind);
    const choices = choicesOf(layer);
    byId("class-field").hidden = choices.length === 0;
    fillSelect(byId("class"), choices, map.name);
    byId("shown").checked = !hidden;
    byId("opacity").value = Math.round(look.opacity * 100);
    byId("opacity-text").textContent = `${Math.round(look.opacity * 100)} %`;
    byId("fade-field").hidden = !map.opacity.fades_with;
    byId("fade").checked = look.fade;
    this.#showValues(map, look, state.range);
  }

  #showValues(map, look, range) {
    const [flat, sorted] = [isFlat(map), isSorted(map)];
    for (const id of ["bar-field", "palette-field", "threshold"]) byId(id).hidden = flat || sorted;
    byId("tissue-key").hidden = !flat;
    byId("legend-field").hidden = !sorted;
    if (sorted) showLegend(map);
    if (flat) byId("tissue-colour").style.background = map.colours?.[0] ?? "";
    if (flat || sorted) return;
    const palette = look.palette === null ? null : this.palettes[look.palette];
    const names = Object.keys(this.palettes).map((name) => [name, name]);
    fillSelect(byId("palette"), [[OWN, `${map.colour_map ?? "own"} (the map’s own)`], ...names], look.palette ?? OWN);
    drawColourBar(byId("bar"), byId("bar-numbers"), map, { scale: colourScale(map, palette), from: look.from, to: look.to });
    byId("bar-quantity").textContent = map.quantity ?? map.title ?? map.name;
    byId("bar-note").textContent = map.note ?? "";
    byId("bar").setAttribute("aria-label", `Colour bar from ${figure(map.range.lower)} to ${figure(map.range.upper)}`);
    this.#showThreshold(look, range);
  }

  #showThreshold(look, range) {
    this.#range = range;
    const { lower, upper } = range;
    this.#showEnd("from", look.from, lower);
    this.#showEnd("to", look.to, upper);
    const inverted = look.from !== null && look.to !== null && look.from > look.to;
    byId("threshold-note").textContent = inverted ? "from is above to: the values between are hidden" : "";
    byId("threshold-reset").disabled = look.from === null && look.to === null;
  }

  #showEnd(end, limit, idle) {
    const { lower, upper } = this.#range;
    const slider = byId(end);
    slider.min = lower;
    slider.max = upper;
    slider.step = upper > lower ? (upper - lower) / SLIDER_STEPS : 1;
    if (document.activeElement !== slider || limit === null) slider.value = limit ?? idle;
    slider.setAttribute("aria-valuetext", figure(limit ?? idle));
    byId(`${end}-number`).value = fieldNumber(limit ?? idle, upper - lower);
  }
}

function showLegend(map) {
  const entries = map.categories.map((name, index) => {
    const swatch = make("span", { className: "swatch" });
    swatch.style.background = map.colours?.[index] ?? "";
    return make("li", {}, swatch, name);
  });
  byId("legend").replaceChildren(...entries);
  byId("legend-quantity").textContent = map.quantity ?? map.title ?? map.name;
  byId("legend-note").textContent = map.note ?? "";
}

function on(id, type, handler) {
  byId(id).addEventListener(type, handler);
}
