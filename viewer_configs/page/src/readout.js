/** The value and place under the pointer, or in the middle of the view without one. */

import { byId, debounced } from "./dom.js";
import { categoryOf, isFlat, isSorted, unitBeside } from "./manifest.js";
import { figure, micrometres, scaleBar } from "./numbers.js";
import { cellAt, onSlide } from "./placement.js";

const SPEAK_AFTER = 700;
const SCALE_ROOM = 130;

/** The readout and the scale bar. */
export class Readout {
  #source = null;
  #pointer = null;
  #tapped = null;
  #speak = debounced(() => this.#say(), SPEAK_AFTER);

  constructor(view) {
    this.view = view;
    const { element } = view;
    for (const type of ["pointermove", "pointerdown"]) {
      element.addEventListener(type, (event) => this.#point(event), { capture: true });
    }
    element.addEventListener("pointerleave", () => this.#leave());
    view.onDraw(() => this.update());
  }

  /** @param source { slide, place, values, map } of the current map; `values` null if not known */
  show(source) {
    if (source?.slide !== this.#source?.slide) this.#tapped = null;
    this.#source = source;
    this.update();
  }

  /** Read at the middle of the view, as after moving by keys. */
  useCentre() {
    this.#pointer = null;
    this.#tapped = null;
    this.update();
  }

  #point(event) {
    const box = this.view.element.getBoundingClientRect();
    const px = { x: event.clientX - box.left, y: event.clientY - box.top };
    const touch = event.pointerType === "touch";
    this.#pointer = touch ? null : px;
    this.#tapped = touch && this.view.slide ? this.view.umFromPx(px.x, px.y) : null;
    this.update();
  }

  #leave() {
    this.#pointer = null;
    this.update();
  }

  #um() {
    if (this.#pointer) return this.view.umFromPx(this.#pointer.x, this.#pointer.y);
    if (this.#tapped) return this.#tapped;
    const size = this.view.viewer.viewport.getContainerSize();
    return this.view.umFromPx(size.x / 2, size.y / 2);
  }

  update() {
    byId("stage").dataset.readout = this.#pointer || this.#tapped ? "pointer" : "centre";
    this.#showScale();
    const known = Boolean(this.#source && this.view.slide);
    byId("readout").hidden = !known;
    if (!known) return undefined;
    const um = this.#um();
    const { map, slide } = this.#source;
    const label = map ? (map.quantity ?? map.title ?? map.name) : "Value";
    const x = `${micrometres(um.x)} µm`;
    const y = `${micrometres(um.y)} µm`;
    return this.#write(label, onSlide(slide, um.x, um.y) ? this.#valueText(um) : "off the slide", x, y);
  }

  #valueText(um) {
    const { values, place, map } = this.#source;
    if (!values) return "–";
    const cell = cellAt(place, um.x, um.y);
    const value = cell ? values[cell.row * place.cols + cell.col] : Number.NaN;
    if (!Number.isFinite(value)) return "no tissue";
    if (isSorted(map)) return categoryOf(map, value);
    return isFlat(map) ? "tissue" : `${figure(value)}${unitBeside(map)}`;
  }

  #write(label, value, x, y) {
    byId("value-label").textContent = label;
    byId("value").textContent = value;
    byId("place-x").textContent = x;
    byId("place-y").textContent = y;
    this.#speak();
  }

  #say() {
    const text = (id) => byId(id).textContent;
    const spoken = `${text("value-label")} ${text("value")}, x ${text("place-x")}, y ${text("place-y")}`;
    if (byId("spoken").textContent !== spoken) byId("spoken").textContent = spoken;
  }

  #showScale() {
    byId("scale-bar").hidden = !this.view.slide;
    if (!this.view.slide) return;
    const bar = scaleBar(this.view.umPerPx(), SCALE_ROOM);
    byId("scale-text").textContent = bar.text;
    byId("scale-line").style.width = `${bar.px}px`;
    byId("scale-bar").setAttribute("aria-label", `Scale bar: ${bar.text}`);
  }
}
