/** A map over the slide: its cells on their own canvas, drawn at their exact places. */

import { drawOutlines } from "./outlines.js";
import { cellsWithin, slideSize } from "./placement.js";

const OUTLINE = "rgba(110, 110, 130, 0.8)";

/** The layer of cells, the outlines of regions over it, and the outline of the slide. */
export class MapLayer {
  #cells = document.createElement("canvas");
  #place = null;
  #opacity = 1;
  #regions = [];

  /** @param view the SlideView to draw over */
  constructor(view) {
    this.view = view;
    this.canvas = document.createElement("canvas");
    this.canvas.className = "map-layer";
    this.canvas.setAttribute("aria-hidden", "true");
    view.viewer.canvas.append(this.canvas);
    view.onDraw(() => this.draw());
  }

  /** Show cells: `paint` fills a Uint32Array of RGBA pixels, one per cell. */
  setCells(place, paint) {
    this.#place = place;
    this.#cells.width = place.cols;
    this.#cells.height = place.rows;
    const context = this.#cells.getContext("2d");
    const image = context.createImageData(place.cols, place.rows);
    paint(new Uint32Array(image.data.buffer));
    context.putImageData(image, 0, 0);
    this.draw();
  }

  /** Show the outlines of regions, as `pathsOf` makes them; none to hide them. */
  setRegions(outlines) {
    this.#regions = outlines;
    this.draw();
  }

  clear() {
    this.#place = null;
    this.#regions = [];
    this.draw();
  }

  setOpacity(opacity) {
    this.#opacity = opacity;
    this.draw();
  }

  draw() {
    const density = window.devicePixelRatio || 1;
    const box = this.view.viewer.viewport.getContainerSize();
    const width = Math.round(box.x * density);
    const height = Math.round(box.y * density);
    if (this.canvas.width !== width) this.canvas.width = width;
    if (this.canvas.height !== height) this.canvas.height = height;
    const context = this.canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    if (!this.view.slide) return;
    const frame = this.#frame(density);
    this.#outline(context, frame);
    if (this.#place !== null && this.#opacity > 0) this.#drawCells(context, frame, { width, height });
    drawOutlines(context, this.#regions, frame, density);
  }

  /** Return the transform from µm to pixels of the canvas, { x, y, scale }: px = x + um * scale. */
  #frame(density) {
    const origin = this.view.pxFromUm(0, 0);
    const scale = density / this.view.umPerPx();
    return { x: origin.x * density, y: origin.y * density, scale };
  }

  #outline(context, frame) {
    const size = slideSize(this.view.slide);
    context.strokeStyle = OUTLINE;
    context.lineWidth = 1;
    context.strokeRect(frame.x - 0.5, frame.y - 0.5, size.x * frame.scale + 1, size.y * frame.scale + 1);
  }

  /**
   * Draw only the visible cells: zoomed in, a whole map would be millions of pixels wide, more than
   * canvases place exactly.
   */
  #drawCells(context, frame, canvas) {
    const { scale } = frame;
    const window = { x: -frame.x / scale, y: -frame.y / scale, width: canvas.width / scale, height: canvas.height / scale };
    const place = this.#place;
    const seen = cellsWithin(place, window);
    if (seen === null) return;
    const size = slideSize(this.view.slide);
    const [cols, rows] = [seen.col1 - seen.col0, seen.row1 - seen.row0];
    const x = frame.x + (place.um.x + seen.col0 * place.umCell.x) * scale;
    const y = frame.y + (place.um.y + seen.row0 * place.umCell.y) * scale;
    context.save();
    context.beginPath();
    context.rect(frame.x, frame.y, size.x * scale, size.y * scale);
    context.clip();
    context.globalAlpha = this.#opacity;
    const small = place.umCell.x * scale < 1;
    context.imageSmoothingEnabled = small;
    context.imageSmoothingQuality = "medium";
    context.drawImage(this.#cells, seen.col0, seen.row0, cols, rows, x, y, cols * place.umCell.x * scale, rows * place.umCell.y * scale);
    context.restore();
  }
}
