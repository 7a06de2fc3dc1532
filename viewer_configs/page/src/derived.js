/** Maps that have no channel of their own, derived from others: the winning class, its margin, artefacts. */

/**
 * Return which of some channels is the highest in each cell: Float32Array, counted from 1, the first
 * of equal ones; NaN where one of them is not a number.
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

/** Return a channel less the highest of its rivals in each cell: Float32Array. */
export function minusHighestOf(own, rivals) {
  return own.map((value, cell) => value - Math.max(...rivals.map((rival) => rival[cell])));
}

/** Return a label's numbers where there is tissue: Float32Array, NaN elsewhere. */
export function onTissue(label, attention) {
  return attention.map((value, cell) => (Number.isNaN(value) ? Number.NaN : label[cell]));
}
