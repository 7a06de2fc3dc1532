/** A shared slide's data: its manifest and values from scripts, its picture from JPEG tiles. */

import { PlacedTiles, contextOf } from "../../page/src/placedtiles.js";
import { pyramidLevels } from "../../page/src/placement.js";
import { loadData, loadPicture } from "./loading.js";
import { bitsOf, spread } from "./packed.js";

const KEPT_CHANNELS = 4;

/** The files of one slide. */
export class SharedStore {
  #facts = null;
  #channels = new Map();

  /** @param entry the slide in the list */
  constructor(entry) {
    this.entry = entry;
  }

  async manifest(signal) {
    this.#facts = await loadData(`${this.entry.folder}/slide`, signal);
    return this.#facts.manifest;
  }

  async tiles(manifest, watch) {
    const { picture } = this.#facts;
    const plan = planOf(picture);
    const paint = (level, x, y, place, signal) => this.#tile(level, x, y, place, signal);
    return new PlacedTiles(plan, paint, watch);
  }

  /** Return a channel of the values, or a label; the last few stay in memory. */
  channel(name, place, index, signal) {
    const key = `${name}-${index}`;
    const promise = this.#channels.get(key) ?? this.#read(key, place, signal);
    this.#channels.delete(key);
    this.#channels.set(key, promise);
    promise.catch(() => this.#channels.delete(key));
    for (const old of [...this.#channels.keys()].slice(0, -KEPT_CHANNELS)) this.#channels.delete(old);
    return promise;
  }

  /** Return the slide's regions as GeoJSON, by their name in the manifest. */
  regionsFile(name, signal) {
    return loadData(`${this.entry.folder}/${name}`, signal);
  }

  async #read(key, place, signal) {
    const text = await loadData(`${this.entry.folder}/${key}`, signal);
    return spread(text, bitsOf(this.#facts.cells), place.rows * place.cols);
  }

  async #tile(level, x, y, place, signal) {
    const picture = await loadPicture(`${this.entry.files}tiles/${level}/${x}_${y}.jpg`, signal);
    const context = contextOf(place.px);
    context.drawImage(picture, 0, 0);
    return context;
  }
}

/** Return the plan of the picture's tiles, for PlacedTiles. */
export function planOf({ rows, cols, um, tile, tiles }) {
  const levels = pyramidLevels(cols, rows, tiles.length).map((level, index) => {
    if (tiles[index] === null) return level;
    const across = Math.ceil(level.cols / tile);
    const there = bitsOf(tiles[index]);
    return { ...level, has: (x, y) => there(y * across + x) };
  });
  return { base: { cols, rows, um }, tile: { cols: tile, rows: tile }, levels };
}
