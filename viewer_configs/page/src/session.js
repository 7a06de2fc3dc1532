/** The open slide: its manifest, its picture and its values, read until another slide is chosen. */

import { highestOf, minusHighestOf, onTissue } from "./derived.js";
import { ReadError, checkedManifest, layersOf } from "./manifest.js";
import { gridPlace } from "./placement.js";
import { regionsOf } from "./regions.js";

/** The open slide. */
export class SlideSession {
  #stopping = new AbortController();
  #store;

  /**
   * @param entry the slide in the run's list
   * @param store the slide's data: a ZarrStore, or another with the same methods
   */
  constructor(entry, store) {
    this.entry = entry;
    this.#store = store;
    this.manifest = null;
    this.layers = [];
    this.place = null;
  }

  /** Read the manifest, which the other reads need. */
  async open() {
    this.manifest = checkedManifest(await this.#store.manifest(this.signal));
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

  /** Return the tiles of the slide's picture, or null if there is none; for `watch` see PlacedTiles. */
  tiles(watch) {
    return this.#store.tiles(this.manifest, watch, this.signal);
  }

  /** Return a channel's values; for a map without a channel those of the first, which covers all tissue. */
  async channel(index) {
    if (!this.manifest.values) throw new ReadError("maps.json names no values");
    return this.#store.channel(this.manifest.values, this.place, index ?? 0, this.signal);
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

  /** Whether the page can outline regions of the slide: a shared folder has them elsewhere, and outlines them itself. */
  get hasRegions() {
    return Boolean(this.manifest.regions_geojson && this.#store.regionsFile);
  }

  /** Return the slide's hot and cold regions; it has to have them. */
  async regions() {
    const { slide, regions_geojson: name } = this.manifest;
    return regionsOf(await this.#store.regionsFile(name, this.signal), slide.mpp);
  }

  #labelled(name) {
    return this.#store.channel(name, this.place, 0, this.signal);
  }
}
