/** Maps without a channel of their own, derived from others: winning class, margin, artefacts. */

/**
 * Return the number of the highest channel in each cell: Float32Array, counted from 1, the first
 * among equals; NaN where a channel is not a number.
 */
export function highestOf(channels) {
  return channels[0].map((_, cell) => {
    let highest = 0;
    for (let index = 0; index < channels.length; index += 1) {
      const value = channels[index][cell];
      if (!Number.isFinite(value)) return Number.NaN;
      if (value > channels[highest][cell]) highest = index;
    }
    return highest + 1;
  });
}

/** Return values times a map's factor, as it draws them; the values themselves where that is 1. */
export function drawnOf(raw, factor) {
  return factor === 1 ? raw : raw.map((value) => value * factor);
}

/** Return a channel minus the highest of its rivals in each cell: Float32Array. */
export function minusHighestOf(own, rivals) {
  return own.map((value, cell) => value - Math.max(...rivals.map((rival) => rival[cell])));
}

/** Return a label's numbers where there is tissue: Float32Array, NaN elsewhere. */
export function onTissue(label, attention) {
  return attention.map((value, cell) => (Number.isNaN(value) ? Number.NaN : label[cell]));
}

/** Return the range that covers a map's drawn values and its colours. */
export function rangeOf(values, map) {
  let lower = map.range.lower ?? Infinity;
  let upper = map.range.upper ?? -Infinity;
  for (const value of values) {
    if (value < lower) lower = value;
    if (value > upper) upper = value;
  }
  return Number.isFinite(lower) && Number.isFinite(upper) ? { lower, upper } : { lower: 0, upper: 1 };
}
