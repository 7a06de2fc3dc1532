/* The picture: the slide with a map over it, outlines, a scale bar, and the value under the mouse. */
import { el } from "./dom.js";
import { decimals, number, storedText } from "./numbers.js";
import { isNamed } from "./painting.js";
import { drawScene, scaleBar } from "./scene.js";
import { cellUnder, View } from "./view.js";

const KEYS = "Drag to move, wheel or + and − to zoom, 0 for the whole slide, arrow keys to move "
  + "the cross and read the value there.";
const FEWEST_PX_PER_CELL = 48;

/** The picture of a slide. A second stage shows the same place beside a first one, its peer. */
export class Stage {
  constructor(slide, { peer = null, buttons = [] } = {}) {
    this.slide = slide;
    this.peer = peer;
    this.map = null;
    this.values = new Float64Array(0);
    this.painted = document.createElement("canvas");
    this.outlines = [];
    this.mark = null;
    this.cross = null;
    this.pointers = new Map();
    /** Called when the map or the marks change, but not when the view moves. */
    this.onchange = peer === null ? () => {} : () => peer.onchange();
    const id = (name) => (peer === null ? name : `${name}-2`);
    this.canvas = el("canvas", { class: "picture", id: id("picture"), tabindex: 0, role: "img", "aria-label": KEYS });
    this.readout = el("output", { class: "readout", id: id("readout"), "aria-live": "off" });
    this.told = el("p", { class: "unseen", "aria-live": "polite" });
    this.bar = el("div", { class: "scale-bar", id: id("scale-bar") }, el("i"), el("span"));
    this.title = el("p", { class: "map-title" });
    const button = ([text, label, work]) => el("button", { type: "button", title: label, "aria-label": label, onclick: work }, text);
    const zoom = [
      ["+", "Zoom in", () => this.zoom(1.5)],
      ["−", "Zoom out", () => this.zoom(1 / 1.5)],
      ["⤢", "Show the whole slide", () => this.fit()],
    ];
    this.element = el("div", { class: "stage", id: id("stage") },
      el("div", { class: "sight" }, this.canvas, this.title,
        el("div", { class: "zoom-buttons", id: id("zoom-buttons") }, [...zoom, ...buttons].map(button)), this.bar),
      this.readout, this.told);
    this.view = peer === null ? new View(1, 1) : peer.view;
    if (peer !== null) peer.peer = this;
    this.home = slide.home();
    // The slide's proportions, within the limits of the style.
    this.canvas.style.aspectRatio = String(this.home.width / this.home.height);
    this.listen();
    this.resizer = new ResizeObserver(() => this.resized());
    this.resizer.observe(this.canvas);
    this.tell(null);
  }

  close() {
    this.resizer.disconnect();
    if (this.peer !== null) this.peer.peer = null;
  }

  resized() {
    const box = this.canvas.getBoundingClientRect();
    if (box.width < 1 || box.height < 1) return;
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(box.width * ratio);
    this.canvas.height = Math.round(box.height * ratio);
    const first = this.view.width === 1;
    const [x, y] = this.view.toUm(this.view.width / 2, this.view.height / 2);
    this.view.width = box.width;
    this.view.height = box.height;
    if (first || this.view.isHome) this.fit();
    else this.view.centre(x, y);
    this.draw();
  }

  fit() {
    this.view.fit(this.home);
    this.view.isHome = true;
    this.moved();
  }

  zoom(factor, px = this.view.width / 2, py = this.view.height / 2) {
    const cell = this.slide.part.grid;
    const least = (cell.l0_cell.x * cell.mpp.x) / FEWEST_PX_PER_CELL;
    const greatest = Math.max(this.home.width / this.view.width, this.home.height / this.view.height) * 1.04;
    this.view.zoom(factor, px, py, Math.min(least, greatest), greatest);
    this.view.isHome = this.view.umPerPx >= greatest * 0.999;
    this.moved();
  }

  /** Bring a box in µm into view, with its surroundings. */
  show(box, around = 3) {
    const least = this.slide.part.grid.l0_cell.x * this.slide.part.grid.mpp.x * 14;
    const size = Math.max(box.width * around, box.height * around, least);
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    this.view.fit({ x: x - size / 2, y: y - size / 2, width: size, height: size }, 1);
    this.view.isHome = false;
    this.zoom(1);
    this.element.scrollIntoView({ block: "nearest" });
  }

  moved() {
    this.view.hold(this.home);
    for (const stage of [this, this.peer]) {
      if (stage === null) continue;
      // One finger scrolls the page, unless the slide can be moved.
      stage.canvas.style.touchAction = this.view.isHome ? "pan-y" : "none";
      stage.draw();
    }
  }

  /** Show a map with its values; `this.painted` holds its picture. */
  setMap(map, values) {
    this.map = map;
    this.values = values;
    this.title.textContent = map === null ? "" : map.title;
    this.onchange();
    this.draw();
  }

  /** Show outlines and a mark, on the peer too. */
  setMarks({ outlines = this.outlines, mark = this.mark }) {
    for (const stage of [this, this.peer]) {
      if (stage === null) continue;
      [stage.outlines, stage.mark] = [outlines, mark];
      stage.draw();
    }
    this.onchange();
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.drawNow());
  }

  drawNow() {
    drawScene(this.canvas.getContext("2d"), this.view, this.slide, this, this.canvas.width / this.view.width);
    const { px, text } = scaleBar(this.view);
    this.bar.firstChild.style.width = `${px}px`;
    this.bar.lastChild.textContent = text;
  }

  // --- The value under the mouse -------------------------------------------------------------

  /** Show the value at a place in µm, or how to read one; also on the peer. */
  tell(place) {
    const lines = this.tellHere(place);
    this.peer?.tellHere(place);
    return lines.join(", ");
  }

  tellHere(place) {
    const lines = (place === null ? ["Point at the slide or tap it to read a value."] : this.at(place)).filter(Boolean);
    this.readout.replaceChildren(...lines.map((line, index) => el(index ? "span" : "b", {}, line)));
    return lines;
  }

  at({ x, y }) {
    const { part } = this.slide;
    const { mpp, rows, cols } = part.slide;
    const [l0x, l0y] = [x / mpp.x, y / mpp.y];
    const places = [
      `x ${decimals(x, 1)} µm, y ${decimals(y, 1)} µm`,
      `level-0 pixel ${Math.floor(l0x)}, ${Math.floor(l0y)}`,
    ];
    if (l0x < 0 || l0y < 0 || l0x >= cols || l0y >= rows) return ["off the slide", ...places];
    if (this.map === null) return ["no map", ...places];
    const cell = cellUnder(part, this.map, x, y);
    const k = cell === null ? -1 : this.slide.cellAt[cell.row * part.grid.shape.cols + cell.col];
    if (k === -1) return ["no tissue here", ...places];
    const where = part.joined > 1 ? `mean of ${part.joined} × ${part.joined} cells` : `cell ${cell.row}, ${cell.col}`;
    return [this.valueText(this.values[k]), this.moreOf(k), ...places, where];
  }

  /** Return a value with its quantity. */
  valueText(value) {
    const { map } = this;
    if (Number.isNaN(value)) return `${map.title}: ${isNamed(map) ? "none" : "no value"}`;
    if (isNamed(map)) return map.categories[value - 1] ?? `${map.title}: no name`;
    // Most quantities name their unit themselves.
    const unit = map.unit && !map.quantity.includes(map.unit) ? ` ${map.unit}` : "";
    return `${map.quantity} ${storedText(value, map)}${unit}`;
  }

  /** Return the raw value of a cell whose drawn value is another, or both values of a difference. */
  moreOf(k) {
    const { map, slide } = this;
    if (Number.isNaN(this.values[k])) return null;
    if (map.parts) return map.parts.map((part) => `${part.title} ${storedText(slide.values.get(part.name)[k], part)}`).join(", ");
    if (!map.raw || !(map.factor > 0)) return null;
    return `raw: ${map.raw.quantity} ${number(this.values[k] / map.factor)}${map.raw.unit && !map.raw.quantity.includes(map.raw.unit) ? ` ${map.raw.unit}` : ""}`;
  }

  listen() {
    const { canvas } = this;
    const local = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode === 1 ? 0.05 : 0.0015)), ...local(event));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      this.pointers.set(event.pointerId, local(event));
      this.pressed = { at: local(event), moved: false };
      if (event.pointerType === "mouse") canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      this.dragged(event.pointerId, local(event));
      if (event.pointerType === "mouse" || this.pointers.size === 1) this.point(local(event));
    });
    const up = (event) => {
      const tapped = this.pressed !== undefined && !this.pressed.moved;
      if (event.type === "pointerup" && tapped) this.point(local(event), event.pointerType !== "mouse");
      this.pointers.delete(event.pointerId);
    };
    canvas.addEventListener("pointerup", up);
    canvas.addEventListener("pointercancel", up);
    canvas.addEventListener("pointerleave", (event) => {
      if (event.pointerType !== "mouse" || this.cross !== null) return;
      this.tell(null);
      this.peer?.setCross(null);
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => { this.setCross(null); this.peer?.setCross(null); });
  }

  point([px, py], keep = false) {
    const [x, y] = this.view.toUm(px, py);
    this.setCross(keep ? { x, y } : null);
    this.peer?.setCross({ x, y });
    this.tell({ x, y });
  }

  setCross(place) {
    if (this.cross === place) return;
    this.cross = place;
    this.draw();
  }

  dragged(id, now) {
    const before = this.pointers.get(id);
    if (before === undefined) return;
    const start = this.pressed.at;
    if (Math.hypot(now[0] - start[0], now[1] - start[1]) > 4) this.pressed.moved = true;
    const others = [...this.pointers].filter(([other]) => other !== id);
    this.pointers.set(id, now);
    if (!this.pressed.moved) return;
    if (others.length === 1) {
      const [, fixed] = others[0];
      const far = (place) => Math.hypot(place[0] - fixed[0], place[1] - fixed[1]);
      this.zoom(far(now) / Math.max(1, far(before)), (now[0] + fixed[0]) / 2, (now[1] + fixed[1]) / 2);
    } else if (!this.view.isHome) {
      this.view.left -= (now[0] - before[0]) * this.view.umPerPx;
      this.view.top -= (now[1] - before[1]) * this.view.umPerPx;
      this.moved();
    }
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "+" || event.key === "=") this.zoom(1.5);
    else if (event.key === "-") this.zoom(1 / 1.5);
    else if (event.key === "0") this.fit();
    else if (event.key in steps) this.step(steps[event.key], event.shiftKey ? 10 : 1);
    else return;
    event.preventDefault();
  }

  /** Move the cross by some cells, and the view with it. */
  step([dx, dy], times) {
    const { l0_cell: cell, mpp } = this.slide.part.grid;
    const [x, y] = this.view.toUm(this.view.width / 2, this.view.height / 2);
    const from = this.cross ?? { x, y };
    const { rows, cols } = this.slide.part.slide;
    this.setCross({
      x: Math.min(cols * mpp.x, Math.max(0, from.x + dx * times * cell.x * mpp.x)),
      y: Math.min(rows * mpp.y, Math.max(0, from.y + dy * times * cell.y * mpp.y)),
    });
    this.peer?.setCross(this.cross);
    const [px, py] = this.view.toScreen(this.cross.x, this.cross.y);
    const margin = 24;
    if (px < margin || py < margin || px > this.view.width - margin || py > this.view.height - margin) {
      this.view.centre(this.cross.x, this.cross.y);
      this.moved();
    }
    this.told.textContent = this.tell(this.cross);
  }
}
