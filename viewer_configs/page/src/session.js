/** One slide while it is shown: its manifest, its picture and its values, read until it is left. */

import { fetchJson } from "./fetching.js";
import { ReadError, checkedManifest, layersOf } from "./manifest.js";
import { openMultiscale } from "./multiscale.js";
import { gridPlace } from "./placement.js";
import { SlideValues } from "./values.js";

/** A slide being shown. */
export class SlideSession {
  #stopping = new AbortController();
  #values = null;

  /** @param entry the slide in the run's list */
  constructor(entry) {
    this.entry = entry;
    this.manifest = null;
    this.layers = [];
    this.place = null;
  }

  /** Read the manifest, which all else needs. */
  async open() {
    this.manifest = checkedManifest(await fetchJson(`${this.entry.files}maps.json`, this.signal));
    this.layers = layersOf(this.manifest);
    this.place = gridPlace(this.manifest.grid);
  }

  get signal() {
    return this.#stopping.signal;
  }

  get left() {
    return this.signal.aborted;
  }

  /** Stop reading: another slide is shown. */
  leave() {
    this.#stopping.abort();
  }

  /** Return the picture, or null if the run wrote none. */
  async image() {
    const { image } = this.manifest;
    return image ? openMultiscale(this.#url(image), this.signal) : null;
  }

  /** Return a channel's values, or those of the attention for a map without values. */
  async channel(index) {
    if (!this.manifest.values) throw new ReadError("maps.json names no values");
    this.#values ??= SlideValues.open(this.#url(this.manifest.values), this.place, this.signal);
    try {
      return await (await this.#values).channel(index ?? 0, this.signal);
    } catch (error) {
      this.#values = null;
      throw error;
    }
  }

  /** Return the range of attention over which maps fade. */
  attentionRange() {
    const map = this.manifest.maps.find(({ name }) => name === "attention");
    return map ? { lower: map.lower, upper: map.upper } : { lower: 0, upper: 0 };
  }

  #url(name) {
    return this.entry.files + name.split("/").map(encodeURIComponent).join("/");
  }
}
