/** A slide's files on a server: its manifest, its values and its picture in OME-Zarr. */

import { fetchJson } from "./fetching.js";
import { openMultiscale } from "./multiscale.js";
import { pyramidTiles } from "./tiles.js";
import { SlideValues } from "./values.js";

/** The files of one slide; opened stores are kept. */
export class ZarrStore {
  #opened = new Map();

  /** @param files the address of the slide's folder, with a slash at its end */
  constructor(files) {
    this.files = files;
  }

  /** Return the content of maps.json. */
  manifest(signal) {
    return fetchJson(`${this.files}maps.json`, signal);
  }

  /** Return the tiles of the slide's picture, or null if the run wrote none; for `watch` see PlacedTiles. */
  async tiles({ image }, watch, signal) {
    return image ? pyramidTiles(await openMultiscale(this.#url(image), signal), watch) : null;
  }

  /**
   * Return a channel of a store of values.
   *
   * @param name the store, as the manifest names it
   * @param place the grid that its cells must be on
   */
  async channel(name, place, index, signal) {
    if (!this.#opened.has(name)) this.#opened.set(name, SlideValues.open(this.#url(name), place, signal));
    try {
      return await (await this.#opened.get(name)).channel(index, signal);
    } catch (error) {
      this.#opened.delete(name);
      throw error;
    }
  }

  /** Return the content of a file of regions. */
  regionsFile(name, signal) {
    return fetchJson(this.#url(name), signal);
  }

  #url(name) {
    return this.files + name.split("/").map(encodeURIComponent).join("/");
  }
}
