/** The maps' values: one channel at a time, as floats on the model's grid. */

import { ReadError } from "./manifest.js";
import { openMultiscale, planeOf } from "./multiscale.js";

const KEPT_CHANNELS = 4;

/** A slide's values; the last few channels used stay in memory. */
export class SlideValues {
  #channels = new Map();
  #image;

  constructor(image) {
    this.#image = image;
  }

  /** Open a slide's values; throws if they are not on the manifest's grid. */
  static async open(url, shape, signal) {
    const image = await openMultiscale(url, signal);
    const { cols, rows } = planeOf(image.arrays[0].shape, image.axes);
    if (cols !== shape.cols || rows !== shape.rows) {
      throw new ReadError(`they have ${rows} × ${cols} cells, and maps.json tells of ${shape.rows} × ${shape.cols}`);
    }
    return new SlideValues(image);
  }

  /** Return a channel's values: Float32Array (rows * cols), NaN where there is no tissue. */
  channel(index, signal) {
    const known = this.#channels.get(index);
    const promise = known ?? this.#read(index, signal);
    this.#channels.delete(index);
    this.#channels.set(index, promise);
    promise.catch(() => this.#channels.delete(index));
    for (const old of [...this.#channels.keys()].slice(0, -KEPT_CHANNELS)) this.#channels.delete(old);
    return promise;
  }

  async #read(index, signal) {
    const array = this.#image.arrays[0];
    const { axes } = this.#image;
    const channels = axes.c < 0 ? 1 : array.shape[axes.c];
    if (!(index >= 0 && index < channels)) throw new ReadError(`they have no channel ${index}`);
    const size = planeOf(array.shape, axes);
    const values = new Float32Array(size.rows * size.cols);
    const chunk = planeOf(array.chunks, axes);
    const reads = [];
    for (let row = 0; row < size.rows; row += chunk.rows) {
      for (let col = 0; col < size.cols; col += chunk.cols) {
        reads.push(this.#copyChunk(index, { row, col }, { size, chunk, values }, signal));
      }
    }
    await Promise.all(reads);
    return values;
  }

  async #copyChunk(index, at, { size, chunk, values }, signal) {
    const array = this.#image.arrays[0];
    const { axes } = this.#image;
    const depth = axes.c < 0 ? 1 : array.chunks[axes.c];
    const key = array.shape.map(() => 0);
    key[axes.y] = at.row / chunk.rows;
    key[axes.x] = at.col / chunk.cols;
    if (axes.c >= 0) key[axes.c] = Math.floor(index / depth);
    const { data, stride } = await array.getChunk(key, { signal });
    const first = axes.c < 0 ? 0 : (index % depth) * stride[axes.c];
    const rows = Math.min(chunk.rows, size.rows - at.row);
    const cols = Math.min(chunk.cols, size.cols - at.col);
    for (let row = 0; row < rows; row += 1) {
      const from = first + row * stride[axes.y];
      const to = (at.row + row) * size.cols + at.col;
      for (let col = 0; col < cols; col += 1) values[to + col] = data[from + col * stride[axes.x]];
    }
  }
}
