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
  const opacities = look.fade && slide.attention !== null ? attended(slide, map) : null;
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

/** Draw the map's colours from end to end, with a histogram of the cells' values above. */
export function drawBar(canvas, slide, map, look) {
  const box = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  const width = Math.max(1, Math.round(box.width * ratio));
  const height = Math.max(1, Math.round(box.height * ratio));
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const bar = Math.round(16 * ratio);
  const { lower, upper } = map.range;
  const span = upper - lower;
  for (let x = 0; x < width; x++) {
    context.fillStyle = cssColour(map, levelOf(map, lower + ((x + 0.5) / width) * span));
    context.fillRect(x, height - bar, 1, bar);
  }
  const bins = histogram(slide.sorted.get(map.name), map.range, 60);
  const highest = Math.max(1, ...bins);
  const style = getComputedStyle(canvas);
  bins.forEach((n, index) => {
    const middle = lower + ((index + 0.5) / bins.length) * span;
    const inside = middle >= look.from && middle <= look.to;
    context.fillStyle = style.getPropertyValue(inside ? "--soft" : "--line");
    // The square root keeps bins of few cells visible beside bins of many.
    const tall = n === 0 ? 0 : Math.max(1, Math.sqrt(n / highest) * (height - bar - 3));
    const left = Math.round((index / bins.length) * width);
    const right = Math.round(((index + 1) / bins.length) * width);
    context.fillRect(left, height - bar - 2 - tall, Math.max(1, right - left - ratio), tall);
  });
  for (const value of [look.from, look.to, map.range.middle]) {
    if (value === null || !(value > lower && value < upper)) continue;
    const x = Math.round(((value - lower) / span) * width);
    context.fillStyle = style.getPropertyValue("--text");
    const top = value === map.range.middle ? height - bar - 3 : 0;
    context.fillRect(x - 1, top, Math.max(1, Math.round(1.5 * ratio)), height - top);
  }
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
