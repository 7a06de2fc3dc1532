/* Reads the data in the page; a slide's data are read when it is opened. */

/** Return a block of data. */
export function block(id) {
  const element = document.getElementById(id);
  return element === null ? null : JSON.parse(element.textContent);
}

async function inflated(text) {
  const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Return the indices of the tissue cells in reading order. */
async function cellsOf(text, rows, cols, n) {
  const packed = await inflated(text);
  const cells = new Int32Array(n);
  const stride = Math.ceil(cols / 8);
  let k = 0;
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      if (packed[row * stride + (col >> 3)] & (128 >> (col & 7))) cells[k++] = row * cols + col;
    }
  }
  return cells;
}

/** Return the values of a map's tissue cells; NaN where a cell has no value. */
async function unpacked(packed, n) {
  const parts = await inflated(packed.codes);
  const values = new Float64Array(n);
  const { min, max, steps } = packed;
  let code = 0;
  for (let k = 0; k < n; k++) {
    const folded = parts[k] | (parts[n + k] << 8);
    code = (code + ((folded >> 1) ^ -(folded & 1))) & 65535;
    if (code === 0) values[k] = NaN;
    else if (code === 1) values[k] = -Infinity;
    else if (code === 65535) values[k] = Infinity;
    else {
      const place = (code - 2) / steps;
      values[k] = min * (1 - place) + max * place;
    }
  }
  return values;
}

/** Kinds of the map to show first, of the class drawn hot; else it is the first map. */
const FIRST_KINDS = ["score", "prediction", "value"];

/** An open slide: its part of the data, and its maps' drawn values once they are read. */
export class OpenSlide {
  constructor(row, data) {
    this.row = row;
    this.part = data.part;
    this.provenance = data.provenance;
    this.reduced = data.reduced;
    this.values = new Map();
    this.sorted = new Map();
  }

  /** Return a slide of the run; it throws if the data are damaged. */
  static async of(row) {
    const opened = new OpenSlide(row, block(`slide-${row.id}`));
    const { part } = opened;
    const { rows, cols } = part.grid.shape;
    opened.cells = await cellsOf(part.tissue, rows, cols, part.tissue_cells);
    opened.cellAt = new Int32Array(rows * cols).fill(-1);
    opened.cells.forEach((flat, k) => { opened.cellAt[flat] = k; });
    opened.thumbnail = new Image();
    opened.thumbnail.src = part.thumbnail.jpeg;
    await opened.thumbnail.decode();
    opened.attention = part.maps.find((map) => map.kind === "attention") ?? null;
    return opened;
  }

  /** Return a map by its name. */
  map(name) {
    return this.part.maps.find((map) => map.name === name) ?? null;
  }

  /** Return the map to show first, null without maps. */
  first() {
    const { maps, true_class: hot } = this.part;
    const wanted = FIRST_KINDS.map((kind) => maps.find((map) => map.kind === kind && map.class === hot));
    return wanted.find((map) => map !== undefined) ?? maps[0] ?? null;
  }

  /** Return a map's drawn values, or its levels if they have names. */
  async valuesOf(map) {
    if (!this.values.has(map.name)) {
      const values = map.levels_packed === undefined
        ? await unpacked(map.values, this.cells.length)
        : Float64Array.from(await inflated(map.levels_packed), (level) => (level === 0 ? NaN : level));
      this.keep(map, values);
    }
    return this.values.get(map.name);
  }

  keep(map, values) {
    this.values.set(map.name, values);
    this.sorted.set(map.name, values.filter((value) => !Number.isNaN(value)).sort());
  }

  /** Read a map's values, and those of the attention, with which it may fade. */
  async ready(map) {
    const values = await this.valuesOf(map);
    if (this.attention !== null) await this.valuesOf(this.attention);
    return values;
  }

  /** Return the value below which a share of a map's cells lie; its values have to be read before. */
  quantile(map, share) {
    const sorted = this.sorted.get(map.name);
    if (sorted.length === 0) return NaN;
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  }

  /** Return the box in µm that is shown at first: the slide's non-empty part by its scanner. */
  home() {
    const { bounds, mpp } = this.part.slide;
    return { x: bounds.col * mpp.x, y: bounds.row * mpp.y, width: bounds.cols * mpp.x, height: bounds.rows * mpp.y };
  }

  /** Return the mean colour of the tissue: that on which faded colours are seen. */
  tissueColour() {
    this.tissue ??= meanColour(this);
    return this.tissue;
  }
}

function meanColour(slide) {
  const { grid, thumbnail } = slide.part;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [thumbnail.cols, thumbnail.rows];
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(slide.thumbnail, 0, 0);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const sums = [0, 0, 0];
  let n = 0;
  for (let k = 0; k < slide.cells.length; k += Math.ceil(slide.cells.length / 2000)) {
    const [row, col] = [Math.floor(slide.cells[k] / grid.shape.cols), slide.cells[k] % grid.shape.cols];
    const y = Math.floor((grid.l0_origin.y + (row + 0.5) * grid.l0_cell.y) / thumbnail.l0_pixel.y);
    const x = Math.floor((grid.l0_origin.x + (col + 0.5) * grid.l0_cell.x) / thumbnail.l0_pixel.x);
    if (y < 0 || x < 0 || y >= canvas.height || x >= canvas.width) continue;
    for (let i = 0; i < 3; i++) sums[i] += data[4 * (y * canvas.width + x) + i];
    n++;
  }
  return n === 0 ? [230, 200, 215] : sums.map((sum) => Math.round(sum / n));
}
