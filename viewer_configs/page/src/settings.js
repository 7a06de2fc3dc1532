/**
 * The user's choices of how maps are drawn: opacity, palette and fading for each kind of layer, and
 * thresholds for each map, as the maps of a kind may have different values.
 */

const STYLE = ["opacity", "palette", "fade"];
const THRESHOLD = ["from", "to"];

/** The choices in this session. */
export class Settings {
  #styles = new Map();
  #thresholds = new Map();

  /** Return a map's look, { opacity, palette, fade, from, to }, with the map's defaults. */
  look(kind, map) {
    const own = { opacity: map.opacity.alpha ?? 0.5, palette: null, fade: Boolean(map.opacity.fades_with), from: null, to: null };
    return { ...own, ...this.#styles.get(kind), ...this.#thresholds.get(map.name) };
  }

  /** Change parts of a map's look. */
  change(kind, map, changes) {
    this.#styles.set(kind, { ...this.#styles.get(kind), ...picked(changes, STYLE) });
    this.#thresholds.set(map.name, { ...this.#thresholds.get(map.name), ...picked(changes, THRESHOLD) });
  }

  /** Restore a map's default look. */
  reset(kind, map) {
    this.#styles.delete(kind);
    this.#thresholds.delete(map.name);
  }
}

function picked(changes, names) {
  return Object.fromEntries(names.filter((name) => name in changes).map((name) => [name, changes[name]]));
}
