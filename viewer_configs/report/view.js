/* The visible part of the slide: places in µm to places on the screen and back.

   A grid's cell (row, col) begins at its origin + (row, col) cells, in level-0 pixels from the
   slide's outer corner; µm are level-0 pixels times their size, y and x apart. */

/** The visible part of a slide. */
export class View {
  constructor(width, height) {
    this.width = width;
    this.height = height;
    this.left = 0;
    this.top = 0;
    this.umPerPx = 1;
  }

  toScreen(x, y) {
    return [(x - this.left) / this.umPerPx, (y - this.top) / this.umPerPx];
  }

  toUm(px, py) {
    return [this.left + px * this.umPerPx, this.top + py * this.umPerPx];
  }

  /** Show a rectangle in µm, in the middle, with a margin. */
  fit(box, margin = 1.04) {
    this.umPerPx = Math.max(box.width / this.width, box.height / this.height, 1e-6) * margin;
    this.centre(box.x + box.width / 2, box.y + box.height / 2);
  }

  /** Bring a place in µm to the middle. */
  centre(x, y) {
    this.left = x - (this.width / 2) * this.umPerPx;
    this.top = y - (this.height / 2) * this.umPerPx;
  }

  /** Enlarge around a place on the screen. */
  zoom(factor, px, py, least, greatest) {
    const [x, y] = this.toUm(px, py);
    this.umPerPx = Math.min(greatest, Math.max(least, this.umPerPx / factor));
    this.left = x - px * this.umPerPx;
    this.top = y - py * this.umPerPx;
  }

  /** Keep part of a box in view. */
  hold(box) {
    const [w, h] = [this.width * this.umPerPx, this.height * this.umPerPx];
    this.left = held(this.left, w, box.x, box.width);
    this.top = held(this.top, h, box.y, box.height);
  }
}

function held(start, size, boxStart, boxSize) {
  const slack = 0.1 * size;
  if (size >= boxSize) return boxStart + boxSize / 2 - size / 2;
  return Math.min(boxStart + boxSize - size + slack, Math.max(boxStart - slack, start));
}

/** Return a slide's whole extent in µm. */
export function slideBox(part) {
  const { rows, cols, mpp } = part.slide;
  return { x: 0, y: 0, width: cols * mpp.x, height: rows * mpp.y };
}

/** Return a lattice's box in µm. */
export function latticeBox(shape, l0Cell, l0Origin, mpp) {
  return {
    x: l0Origin.x * mpp.x,
    y: l0Origin.y * mpp.y,
    width: shape.cols * l0Cell.x * mpp.x,
    height: shape.rows * l0Cell.y * mpp.y,
  };
}

/** Return the cell of a map at a place in µm, { row, col }, or null. */
export function cellUnder(part, map, x, y) {
  const { shape, l0_cell: cell } = part.grid;
  const { mpp } = part.slide;
  const row = Math.floor((y / mpp.y - map.l0_origin.y) / cell.y);
  const col = Math.floor((x / mpp.x - map.l0_origin.x) / cell.x);
  const inside = row >= 0 && col >= 0 && row < shape.rows && col < shape.cols;
  return inside ? { row, col } : null;
}
