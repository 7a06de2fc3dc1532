/**
 * From values to colours, without a canvas: the colour of a value, whether a threshold hides it, the
 * opacity of a cell, and whole maps as RGBA pixels.
 */

/** Return a colour "#rrggbb" as one number, opaque, in the byte order of canvas pixels. */
export function pixelOf(hex) {
  const match = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(hex);
  if (!match) return 0;
  const [red, green, blue] = match.slice(1).map((part) => Number.parseInt(part, 16));
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

/**
 * Return a map's colour scale: { pixels, lower, upper }, the first colour at `lower` and the last at
 * `upper`.
 *
 * A palette other than the map's own has its middle at the middle of a diverging map, and so reaches
 * equally far to both sides. Kinds have a colour each, for any palette.
 *
 * @param map an entry of the manifest
 * @param palette a list of colours, or null for the map's own
 */
export function colourScale(map, palette) {
  if (map.categories?.length) return scale(map.colours.slice(0, map.categories.length), 1, map.categories.length);
  if (palette === null) return scale(map.colours, map.levels.lower, map.levels.upper);
  const { lower, upper, middle } = map.range;
  if (middle === null || middle === undefined) return scale(palette, lower, upper);
  const reach = Math.max(upper - middle, middle - lower);
  return scale(palette, middle - reach, middle + reach);
}

function scale(colours, lower, upper) {
  return { pixels: Uint32Array.from(colours, pixelOf), lower, upper };
}

/** Return the pixel of a value; values off the scale have the colour of its end. */
export function pixelAt(scaleOfMap, value) {
  const { pixels, lower, upper } = scaleOfMap;
  const last = pixels.length - 1;
  const span = upper - lower;
  const position = span > 0 ? (value - lower) / span : 0.5;
  return pixels[Math.min(last, Math.max(0, Math.round(position * last)))];
}

/**
 * Return whether a threshold shows a value: from..to, both included, null for no limit. If `from` is
 * above `to`, the values between them are hidden instead.
 */
export function isShown(value, from, to) {
  const above = from === null || value >= from;
  const below = to === null || value <= to;
  return from !== null && to !== null && from > to ? above || below : above && below;
}

/** Return the opacity for a value: its place between lower and upper, within 0..1. */
export function fadeOf(value, range) {
  if (Number.isNaN(value)) return 0;
  const span = range.upper - range.lower;
  if (!(span > 0)) return 1;
  return Math.min(1, Math.max(0, (value - range.lower) / span));
}

/**
 * Paint a map, one pixel per cell, into `out` (Uint32Array, rows * cols).
 *
 * @param values Float32Array (rows * cols), NaN where there is no tissue
 * @param look { scale, from, to, fade }, `fade` null or { values, range } of the channel that cells fade with
 */
export function paintCells(values, look, out) {
  const { scale: colours, from, to, fade } = look;
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index];
    const hidden = Number.isNaN(value) || !isShown(value, from, to);
    out[index] = hidden ? 0 : faded(pixelAt(colours, value), fade, index);
  }
}

function faded(pixel, fade, index) {
  if (fade === null) return pixel;
  const alpha = Math.round(255 * fadeOf(fade.values[index], fade.range));
  return ((pixel & 0xffffff) | (alpha << 24)) >>> 0;
}

/** Paint every cell of tissue in one colour. */
export function paintTissue(attention, pixel, out) {
  for (let index = 0; index < attention.length; index += 1) {
    out[index] = Number.isFinite(attention[index]) ? pixel : 0;
  }
}
