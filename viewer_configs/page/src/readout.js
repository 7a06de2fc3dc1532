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

  /** @param source { slide, place, raw, map } of the current map; `raw`, its raw values, null if not known */
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
    const raw = onSlide(slide, um.x, um.y) ? this.#rawAt(um) : null;
    this.#writeRaw(map?.raw, raw);
    return this.#write(label, raw === null ? "off the slide" : this.#valueText(raw), x, y);
  }

  /** Return the raw value at a place; NaN where there is none, undefined while it is not known. */
  #rawAt(um) {
    const { raw, place } = this.#source;
    if (!raw) return undefined;
    const cell = cellAt(place, um.x, um.y);
    return cell ? raw[cell.row * place.cols + cell.col] : Number.NaN;
  }

  #valueText(raw) {
    const { map } = this.#source;
    if (raw === undefined) return "–";
    if (!Number.isFinite(raw)) return "no tissue";
    if (isSorted(map)) return categoryOf(map, raw);
    return isFlat(map) ? "tissue" : `${figure(map.factor * raw)}${unitBeside(map)}`;
  }

  #writeRaw(about, raw) {
    byId("raw-row").hidden = !(about && Number.isFinite(raw));
    if (byId("raw-row").hidden) return;
    byId("raw-label").textContent = about.quantity;
    byId("raw").textContent = `${figure(raw)}${unitBeside(about)}`;
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
