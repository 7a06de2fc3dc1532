/** The panel's controls of the map: they show a state and report the user's changes. */

import { byId, fillSelect } from "./dom.js";
import { explain } from "./explanations.js";
import { showBar, showKinds, showRegions } from "./legends.js";
import { choicesOf, isFlat, isSorted } from "./manifest.js";
import { fieldNumber, figure } from "./numbers.js";

const OWN = "";
const SLIDER_STEPS = 400;

/** The controls of the map. */
export class Controls {
  #range = { lower: 0, upper: 1 };

  /**
   * @param palettes { name: colours }
   * @param wants { layer(kind), map(name), look(changes), shown(flag), grey(flag), outlines(flag) },
   *   called on changes
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
    for (const id of ["shown", "grey", "outlines"]) on(id, "change", ({ target }) => wants[id](target.checked));
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
   * @param state { layers, layer, entry, look, hidden, range, fader }: the layers to choose from, the
   *   chosen layer and its map, the map's look, the range of its values, and the map that it fades
   *   with, null if that is not drawn
   */
  show(state) {
    const { layers, layer, entry, look, hidden } = state;
    const { map } = entry;
    byId("map-section").hidden = false;
    fillSelect(byId("layer"), layers.map(({ kind, title }) => [kind, title]), layer.kind);
    const choices = choicesOf(layer);
    byId("class-field").hidden = choices.length === 0;
    fillSelect(byId("class"), choices, map.name);
    explain("layer-term", layer.kind);
    byId("shown").checked = !hidden;
    byId("opacity").value = Math.round(look.opacity * 100);
    byId("opacity-text").textContent = `${Math.round(look.opacity * 100)} %`;
    byId("fade-field").hidden = !map.opacity.fades_with;
    byId("fade").checked = look.fade;
    this.#showValues(map, look, state);
  }

  #showValues(map, look, { range, fader }) {
    const [flat, sorted] = [isFlat(map), isSorted(map)];
    for (const id of ["bar-field", "palette-field", "threshold"]) byId(id).hidden = flat || sorted;
    byId("tissue-key").hidden = !flat;
    byId("legend-field").hidden = !sorted;
    if (sorted) showKinds(map);
    if (flat) byId("tissue-colour").style.background = map.colours?.[0] ?? "";
    if (flat || sorted) return;
    const palette = look.palette === null ? null : this.palettes[look.palette];
    const names = Object.keys(this.palettes).map((name) => [name, name]);
    fillSelect(byId("palette"), [[OWN, `${map.colour_map ?? "own"} (the map’s own)`], ...names], look.palette ?? OWN);
    showBar(map, look, palette, fader);
    this.#showThreshold(look, range);
  }

  /**
   * Show whether the slide is grey, and whether its regions are outlined.
   *
   * @param state { grey, outlines, regions, hotClass }, regions { counts, styles } once they are read
   */
  showSlide({ grey, outlines, regions, hotClass }) {
    byId("grey").checked = grey;
    byId("outlines").checked = outlines;
    byId("regions-legend").hidden = !outlines || regions === null;
    if (outlines && regions !== null) showRegions(regions, hotClass);
  }

  /** Offer the outlines of regions where a slide has any. */
  offerOutlines(flag) {
    byId("outlines-field").hidden = !flag;
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

function on(id, type, handler) {
  byId(id).addEventListener(type, handler);
}
