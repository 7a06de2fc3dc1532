/** The open slide: its manifest, its picture and its values, read until another slide is chosen. */

import { highestOf, minusHighestOf, onTissue } from "./derived.js";
import { fetchJson } from "./fetching.js";
import { ReadError, checkedManifest, layersOf } from "./manifest.js";
import { openMultiscale } from "./multiscale.js";
import { gridPlace } from "./placement.js";
import { regionsOf } from "./regions.js";
import { SlideValues } from "./values.js";

/** The open slide. */
export class SlideSession {
  #stopping = new AbortController();
  #values = null;
  #labels = null;

  /** @param entry the slide in the run's list */
  constructor(entry) {
    this.entry = entry;
    this.manifest = null;
    this.layers = [];
    this.place = null;
  }

  /** Read the manifest, which the other reads need. */
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

  /** Return the slide's picture, or null if the run wrote none. */
  async image() {
    const { image } = this.manifest;
    return image ? openMultiscale(this.#url(image), this.signal) : null;
  }

  /** Return a channel's values; for a map without a channel those of the first, which covers all tissue. */
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

  /** Return a map's raw values, which its factor makes the drawn ones: of its channel, or derived from others. */
  async valuesOf(map) {
    if (!map.derived) return this.channel(map.channel);
    const { highest_of: all, minus_highest_of: rivals, channel, label } = map.derived;
    const channels = (indices) => Promise.all(indices.map((index) => this.channel(index)));
    if (all) return highestOf(await channels(all));
    if (rivals) {
      const [own, ...others] = await channels([channel, ...rivals]);
      return minusHighestOf(own, others);
    }
    if (label) return onTissue(await this.#labelled(label), await this.channel(0));
    throw new ReadError("maps.json derives them from others in a way that this page does not know");
  }

  /** Return the values of the channel that a map fades with, or null if it does not fade. */
  async fadingOf(map) {
    const fading = map.opacity.fades_with;
    return fading ? this.channel(fading.channel) : null;
  }

  /** Return the slide's hot and cold regions; the file has to be there. */
  async regions() {
    const { slide, regions_geojson: name } = this.manifest;
    return regionsOf(await fetchJson(this.#url(name), this.signal), slide.mpp);
  }

  async #labelled(name) {
    this.#labels ??= SlideValues.open(this.#url(name), this.place, this.signal);
    try {
      return await (await this.#labels).channel(0, this.signal);
    } catch (error) {
      this.#labels = null;
      throw error;
    }
  }

  #url(name) {
    return this.entry.files + name.split("/").map(encodeURIComponent).join("/");
  }
}
