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

/** An open slide: its part of the data, and its maps' values once they are read. */
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

  /** Return a map's values, or its levels if they have names. */
  async valuesOf(map) {
    if (!this.values.has(map.name)) {
      const values = map.levels_packed === undefined
        ? await unpacked(map.values, this.cells.length)
        : Float64Array.from(await inflated(map.levels_packed), (level) => (level === 0 ? NaN : level));
      this.values.set(map.name, values);
      this.sorted.set(map.name, values.filter((value) => !Number.isNaN(value)).sort());
    }
    return this.values.get(map.name);
  }

  /** Return the value below which a share of a map's cells lie; its values have to be read before. */
  quantile(map, share) {
    const sorted = this.sorted.get(map.name);
    if (sorted.length === 0) return NaN;
    return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
  }
}
