/* Colours of maps: the picture of a map, one pixel per cell, and its colour bar. */

const decoded = new Map();

/** Return the red, green and blue of a map's 255 levels. */
export function coloursOf(map) {
  if (!decoded.has(map.colours)) {
    if (decoded.size > 64) decoded.clear();
    decoded.set(map.colours, Uint8Array.from(atob(map.colours), (character) => character.charCodeAt(0)));
  }
  return decoded.get(map.colours);
}

/** Return whether a map sorts cells into categories, which have names. */
export function isNamed(map) {
  return map.categories.length > 0;
}

/** Return how a map is drawn at first: opacity, fading, and the values that are shown. */
export function usualLook(map) {
  return { opacity: map.opacity.alpha, fade: map.opacity.fades_with !== null, from: -Infinity, to: Infinity };
}

/** Return whether a map's colours fade with the slide's attention. */
export function fades(slide, map, look) {
  return look.fade && slide.attention !== null && map !== slide.attention;
}

/** Return the index of a value's colour, 0 to 254. */
export function levelOf(map, value) {
  if (isNamed(map)) return value - 1;
  const { lower, upper } = map.levels;
  const place = (value - lower) / (upper - lower);
  return Math.round(Math.min(1, Math.max(0, place)) * 254);
}

/** Return a colour in CSS. */
export function cssColour(map, level) {
  const colours = coloursOf(map);
  return `rgb(${colours[3 * level]} ${colours[3 * level + 1]} ${colours[3 * level + 2]})`;
}

/** Paint a map into a canvas, one pixel per cell, and return the number of visible cells. */
export function paint(canvas, slide, map, values, look) {
  const { rows, cols } = slide.part.grid.shape;
  canvas.width = cols;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(cols, rows);
  const colours = coloursOf(map);
  const opacities = fades(slide, map, look) ? attended(slide, map) : null;
  let visible = 0;
  for (let k = 0; k < values.length; k++) {
    const value = values[k];
    if (!(value >= look.from && value <= look.to)) continue;
    visible++;
    const level = 3 * levelOf(map, value);
    const at = 4 * slide.cells[k];
    image.data[at] = colours[level];
    image.data[at + 1] = colours[level + 1];
    image.data[at + 2] = colours[level + 2];
    image.data[at + 3] = Math.round(255 * look.opacity * (opacities === null ? 1 : opacities[k]));
  }
  context.putImageData(image, 0, 0);
  return visible;
}

/** Return each cell's opacity, 0 to 1: its attention's place in the range over which a map fades. */
function attended(slide, map) {
  // A map that does not fade by itself does so on demand, over the range of attention's colours.
  const { lower, upper } = map.opacity.fades_with ?? slide.attention.range;
  return slide.values.get(slide.attention.name).map((value) => (
    Number.isNaN(value) ? 0 : Math.min(1, Math.max(0, (value - lower) / (upper - lower)))
  ));
}

/** Colours of a bar's histogram and marks on white paper. */
const PAPER = { soft: "#5c5c66", line: "#d8d8dd", text: "#1b1b1f" };
const [BAR, BAR_OF_FADING, HISTOGRAM] = [16, 34, 40];

/** Return the height of a bar with its histogram, in CSS pixels. */
export function barHeight(slide, map, look) {
  return HISTOGRAM + (fades(slide, map, look) ? BAR_OF_FADING : BAR);
}

/** Return the colours of a bar by the style of the page. */
export function styleOf(element) {
  const style = getComputedStyle(element);
  return { soft: style.getPropertyValue("--soft"), line: style.getPropertyValue("--line"), text: style.getPropertyValue("--text") };
}

/** Draw a bar into a canvas by its place on the screen. */
export function drawBar(canvas, slide, map, look) {
  const box = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(box.width * ratio));
  canvas.height = Math.max(1, Math.round(box.height * ratio));
  drawBarIn(canvas.getContext("2d"), slide, map, look, { width: canvas.width, height: canvas.height, ratio, style: styleOf(canvas) });
}

/** Draw the map's colours from end to end, with a histogram of the cells' values above.

    A map that fades has a bar of two dimensions: opaque at its top, where attention is high, and
    the tissue alone at its foot. */
export function drawBarIn(context, slide, map, look, { width, height, ratio = 1, style = PAPER }) {
  const fading = fades(slide, map, look);
  const bar = Math.round((fading ? BAR_OF_FADING : BAR) * ratio);
  const { lower, upper } = map.range;
  const span = upper - lower;
  context.imageSmoothingEnabled = false;
  context.drawImage(strip(slide, map, fading ? look.opacity : null), 0, height - bar, width, bar);
  const bins = histogram(slide.sorted.get(map.name), map.range, 60);
  const highest = Math.max(1, ...bins);
  bins.forEach((n, index) => {
    const middle = lower + ((index + 0.5) / bins.length) * span;
    const inside = middle >= look.from && middle <= look.to;
    context.fillStyle = inside ? style.soft : style.line;
    // The square root keeps bins of few cells visible beside bins of many.
    const tall = n === 0 ? 0 : Math.max(1, Math.sqrt(n / highest) * (height - bar - 3));
    const left = Math.round((index / bins.length) * width);
    const right = Math.round(((index + 1) / bins.length) * width);
    context.fillRect(left, height - bar - 2 - tall, Math.max(1, right - left - ratio), tall);
  });
  for (const value of [look.from, look.to, map.range.middle]) {
    if (value === null || !(value > lower && value < upper)) continue;
    const x = Math.round(((value - lower) / span) * width);
    context.fillStyle = style.text;
    const top = value === map.range.middle ? height - bar - 3 : 0;
    context.fillRect(x - 1, top, Math.max(1, Math.round(1.5 * ratio)), height - top);
  }
}

const [STRIP_WIDTH, STRIP_HEIGHT] = [510, 64];

/** Return the colours of a bar as a picture; with an opacity, they fade on the tissue's colour. */
function strip(slide, map, opacity) {
  const rows = opacity === null ? 1 : STRIP_HEIGHT;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [STRIP_WIDTH, rows];
  const image = new ImageData(STRIP_WIDTH, rows);
  const [colours, tissue] = [coloursOf(map), opacity === null ? [0, 0, 0] : slide.tissueColour()];
  const { lower, upper } = map.range;
  for (let x = 0; x < STRIP_WIDTH; x++) {
    const level = 3 * levelOf(map, lower + ((x + 0.5) / STRIP_WIDTH) * (upper - lower));
    for (let y = 0; y < rows; y++) {
      const share = opacity === null ? 1 : opacity * (1 - y / (rows - 1));
      const at = 4 * (y * STRIP_WIDTH + x);
      for (let i = 0; i < 3; i++) image.data[at + i] = share * colours[level + i] + (1 - share) * tissue[i];
      image.data[at + 3] = 255;
    }
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** Return the number of values in each of `n` bins between the ends of the colours. */
function histogram(sorted, { lower, upper }, n) {
  const bins = new Array(n).fill(0);
  for (const value of sorted) {
    const place = (value - lower) / (upper - lower);
    bins[Math.min(n - 1, Math.max(0, Math.floor(place * n)))]++;
  }
  return bins;
}
