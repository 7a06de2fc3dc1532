/* Colours of maps: the picture of a map, a pixel a cell, and its colour bar. */

const decoded = new Map();

/** Return the red, green and blue of a map's 255 levels. */
export function coloursOf(map) {
  if (!decoded.has(map.colours)) {
    if (decoded.size > 64) decoded.clear();
    decoded.set(map.colours, Uint8Array.from(atob(map.colours), (each) => each.charCodeAt(0)));
  }
  return decoded.get(map.colours);
}

/** Return the index of a value's colour, 0 to 254. */
export function levelOf(map, value) {
  if (map.levels !== undefined) return value - 1;
  const place = (value - map.levels_lower) / (map.levels_upper - map.levels_lower);
  return Math.round(Math.min(1, Math.max(0, place)) * 254);
}

/** Return a colour as CSS has it. */
export function cssColour(map, level) {
  const colours = coloursOf(map);
  return `rgb(${colours[3 * level]} ${colours[3 * level + 1]} ${colours[3 * level + 2]})`;
}

/** Paint a map into a canvas of a pixel a cell, and return how many cells are seen. */
export function paint(canvas, slide, map, values, look) {
  const { rows, cols } = slide.part.grid.shape;
  canvas.width = cols;
  canvas.height = rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(cols, rows);
  const colours = coloursOf(map);
  const opacities = look.fade && slide.attention !== null ? attended(slide) : null;
  let seen = 0;
  for (let k = 0; k < values.length; k++) {
    const value = values[k];
    if (!(value >= look.from && value <= look.to)) continue;
    seen++;
    const level = 3 * levelOf(map, value);
    const at = 4 * slide.cells[k];
    image.data[at] = colours[level];
    image.data[at + 1] = colours[level + 1];
    image.data[at + 2] = colours[level + 2];
    image.data[at + 3] = Math.round(255 * look.opacity * (opacities === null ? 1 : opacities[k]));
  }
  context.putImageData(image, 0, 0);
  return seen;
}

/** Return where each cell's attention lies between the ends of its colours, 0 to 1. */
function attended(slide) {
  if (slide.attended === undefined) {
    const { lower, upper } = slide.attention;
    slide.attended = slide.values.get(slide.attention.name).map((value) => (
      Number.isNaN(value) ? 0 : Math.min(1, Math.max(0, (value - lower) / (upper - lower)))
    ));
  }
  return slide.attended;
}

/** Draw how many cells have which value, over the map's colours from end to end. */
export function drawBar(canvas, slide, map, look) {
  const box = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(box.width * ratio));
  const height = Math.max(1, Math.round(box.height * ratio));
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const bar = Math.round(16 * ratio);
  const span = map.upper - map.lower;
  for (let x = 0; x < width; x++) {
    context.fillStyle = cssColour(map, levelOf(map, map.lower + ((x + 0.5) / width) * span));
    context.fillRect(x, height - bar, 1, bar);
  }
  const bins = histogram(slide.sorted.get(map.name), map, 60);
  const most = Math.max(1, ...bins);
  const style = getComputedStyle(canvas);
  bins.forEach((n, index) => {
    const middle = map.lower + ((index + 0.5) / bins.length) * span;
    const inside = middle >= look.from && middle <= look.to;
    context.fillStyle = style.getPropertyValue(inside ? "--soft" : "--line");
    // By the square root, so that few cells are seen beside many.
    const tall = n === 0 ? 0 : Math.max(1, Math.sqrt(n / most) * (height - bar - 3));
    const left = Math.round((index / bins.length) * width);
    const right = Math.round(((index + 1) / bins.length) * width);
    context.fillRect(left, height - bar - 2 - tall, Math.max(1, right - left - ratio), tall);
  });
  for (const value of [look.from, look.to, map.middle]) {
    if (value === null || !(value > map.lower && value < map.upper)) continue;
    const x = Math.round(((value - map.lower) / span) * width);
    context.fillStyle = style.getPropertyValue("--text");
    const top = value === map.middle ? height - bar - 3 : 0;
    context.fillRect(x - 1, top, Math.max(1, Math.round(1.5 * ratio)), height - top);
  }
}

/** Return how many values are in each of some bins between the ends of the colours. */
function histogram(sorted, map, n) {
  const bins = new Array(n).fill(0);
  for (const value of sorted) {
    const place = (value - map.lower) / (map.upper - map.lower);
    bins[Math.min(n - 1, Math.max(0, Math.floor(place * n)))]++;
  }
  return bins;
}
