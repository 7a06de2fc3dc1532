/* The picture: the slide with a map over it, outlines, a scale bar, and the value under the mouse. */
import { el } from "./dom.js";
import { decimals, length, number, roundLength } from "./numbers.js";
import { isNamed } from "./painting.js";
import { cellUnder, latticeBox, View } from "./view.js";

const KEYS = "Drag to move, wheel or + and − to zoom, 0 for the whole slide, arrow keys to move "
  + "the cross and read the value there.";
const FEWEST_PX_PER_CELL = 48;

/** The picture of a slide. */
export class Stage {
  constructor(slide) {
    this.slide = slide;
    this.map = null;
    this.painted = document.createElement("canvas");
    this.outlines = [];
    this.mark = null;
    this.cross = null;
    this.pointers = new Map();
    this.canvas = el("canvas", { id: "picture", tabindex: 0, role: "img", "aria-label": KEYS });
    this.readout = el("output", { id: "readout", "aria-live": "off" });
    this.told = el("p", { class: "unseen", "aria-live": "polite" });
    this.bar = el("div", { id: "scale-bar" }, el("i"), el("span"));
    const button = (text, label, work) => el("button", { type: "button", title: label, "aria-label": label, onclick: work }, text);
    const buttons = el("div", { id: "zoom-buttons" },
      button("+", "Zoom in", () => this.zoom(1.5)),
      button("−", "Zoom out", () => this.zoom(1 / 1.5)),
      button("⤢", "Show the whole slide", () => this.fit()));
    this.element = el("div", { id: "stage" },
      el("div", { id: "sight" }, this.canvas, buttons, this.bar), this.readout, this.told);
    this.view = new View(1, 1);
    this.home = this.homeBox();
    // The slide's proportions, within the limits of the style.
    this.canvas.style.aspectRatio = String(this.home.width / this.home.height);
    this.listen();
    this.resizer = new ResizeObserver(() => this.resized());
    this.resizer.observe(this.canvas);
    this.tell(null);
  }

  /** Return the box that is shown at first: the slide's non-empty part according to its scanner. */
  homeBox() {
    const { bounds, mpp } = this.slide.part.slide;
    return { x: bounds.col * mpp.x, y: bounds.row * mpp.y, width: bounds.cols * mpp.x, height: bounds.rows * mpp.y };
  }

  close() {
    this.resizer.disconnect();
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
    if (first || this.isHome) this.fit();
    else this.view.centre(x, y);
    this.draw();
  }

  fit() {
    this.view.fit(this.home);
    this.isHome = true;
    this.moved();
  }

  zoom(factor, px = this.view.width / 2, py = this.view.height / 2) {
    const cell = this.slide.part.grid;
    const least = (cell.l0_cell.x * cell.mpp.x) / FEWEST_PX_PER_CELL;
    const greatest = Math.max(this.home.width / this.view.width, this.home.height / this.view.height) * 1.04;
    this.view.zoom(factor, px, py, Math.min(least, greatest), greatest);
    this.isHome = this.view.umPerPx >= greatest * 0.999;
    this.moved();
  }

  /** Bring a box in µm into view, with its surroundings. */
  show(box, around = 3) {
    const least = this.slide.part.grid.l0_cell.x * this.slide.part.grid.mpp.x * 14;
    const size = Math.max(box.width * around, box.height * around, least);
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    this.view.fit({ x: x - size / 2, y: y - size / 2, width: size, height: size }, 1);
    this.isHome = false;
    this.zoom(1);
    this.element.scrollIntoView({ block: "nearest" });
  }

  moved() {
    this.view.hold(this.home);
    // One finger scrolls the page, unless the slide can be moved.
    this.canvas.style.touchAction = this.isHome ? "pan-y" : "none";
    this.draw();
  }

  /** Show a map with its values; `this.painted` holds its picture. */
  setMap(map, values) {
    this.map = map;
    this.values = values;
    this.draw();
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.drawNow());
  }

  drawNow() {
    const { part, thumbnail } = this.slide;
    const context = this.canvas.getContext("2d");
    const ratio = this.canvas.width / this.view.width;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.view.width, this.view.height);
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    const { mpp } = part.slide;
    const { rows, cols, l0_pixel: pixel } = part.thumbnail;
    this.place(context, thumbnail, latticeBox({ rows, cols }, pixel, { x: 0, y: 0 }, mpp));
    if (this.map !== null) {
      context.imageSmoothingEnabled = false;
      this.place(context, this.painted,
        latticeBox(part.grid.shape, part.grid.l0_cell, this.map.l0_origin, mpp));
    }
    for (const outline of this.outlines) this.trace(context, outline);
    if (this.mark !== null) this.frameBox(context, this.mark);
    if (this.cross !== null) this.drawCross(context);
    this.drawBar();
  }

  /** Draw a picture in its box in µm. */
  place(context, picture, box) {
    const [x, y] = this.view.toScreen(box.x, box.y);
    context.drawImage(picture, x, y, box.width / this.view.umPerPx, box.height / this.view.umPerPx);
  }

  /** Draw a region's outline: dark on light, so that it is visible on any colour. */
  trace(context, { rings, kind, chosen }) {
    const { mpp } = this.slide.part.slide;
    context.beginPath();
    for (const ring of rings) {
      for (let i = 0; i < ring.length; i += 2) {
        const [x, y] = this.view.toScreen(ring[i] * mpp.x, ring[i + 1] * mpp.y);
        if (i === 0) context.moveTo(x, y);
        else context.lineTo(x, y);
      }
      context.closePath();
    }
    context.lineJoin = "round";
    const wide = chosen ? 2 : 1;
    context.setLineDash([]);
    context.strokeStyle = "#fff";
    context.lineWidth = wide + 2;
    context.stroke();
    context.setLineDash(kind === "cold" ? [5, 4] : []);
    context.strokeStyle = "#111";
    context.lineWidth = wide + (chosen ? 0.5 : 0);
    context.stroke();
    context.setLineDash([]);
  }

  frameBox(context, box) {
    const [x, y] = this.view.toScreen(box.x, box.y);
    const [w, h] = [box.width / this.view.umPerPx, box.height / this.view.umPerPx];
    for (const [colour, wide] of [["#fff", 5], ["#111", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = wide;
      context.strokeRect(x, y, w, h);
    }
  }

  drawCross(context) {
    const [x, y] = this.view.toScreen(this.cross.x, this.cross.y);
    for (const [colour, wide] of [["#fff", 4], ["#111", 1.5]]) {
      context.strokeStyle = colour;
      context.lineWidth = wide;
      context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        context.moveTo(x + 3 * dx, y + 3 * dy);
        context.lineTo(x + 11 * dx, y + 11 * dy);
      }
      context.stroke();
    }
  }

  drawBar() {
    const um = roundLength(Math.min(160, this.view.width * 0.3) * this.view.umPerPx);
    this.bar.firstChild.style.width = `${um / this.view.umPerPx}px`;
    this.bar.lastChild.textContent = length(um);
  }

  // --- The value under the mouse -------------------------------------------------------------

  /** Show the value at a place in µm, or how to read one. */
  tell(place) {
    const lines = place === null ? ["Point at the slide or tap it to read a value."] : this.at(place);
    this.readout.replaceChildren(...lines.filter(Boolean).map((line, index) => el(index ? "span" : "b", {}, line)));
    return lines.filter(Boolean).join(", ");
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
    return [this.valueText(this.values[k]), ...places,
      part.joined > 1 ? `mean of ${part.joined} × ${part.joined} cells` : `cell ${cell.row}, ${cell.col}`];
  }

  /** Return a value with its quantity. */
  valueText(value) {
    const { map } = this;
    if (Number.isNaN(value)) return `${map.title}: ${isNamed(map) ? "none" : "no value"}`;
    if (isNamed(map)) return map.categories[value - 1] ?? `${map.title}: no name`;
    // Most quantities name their unit themselves.
    const unit = map.unit && !map.quantity.includes(map.unit) ? ` ${map.unit}` : "";
    return `${map.quantity} ${number(value)}${unit}`;
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
      if (event.pointerType === "mouse" && this.cross === null) this.tell(null);
    });
    canvas.addEventListener("keydown", (event) => this.key(event));
    canvas.addEventListener("blur", () => this.setCross(null));
  }

  point([px, py], keep = false) {
    const [x, y] = this.view.toUm(px, py);
    this.setCross(keep ? { x, y } : null);
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
    } else if (!this.isHome) {
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
    const [px, py] = this.view.toScreen(this.cross.x, this.cross.y);
    const margin = 24;
    if (px < margin || py < margin || px > this.view.width - margin || py > this.view.height - margin) {
      this.view.centre(this.cross.x, this.cross.y);
      this.moved();
    }
    this.told.textContent = this.tell(this.cross);
  }
}
