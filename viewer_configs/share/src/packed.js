/** Packed numbers: bits and float32 in base64, the values of cells that have any. */

/** Return the bytes in a base64 text. */
export function bytesOf(text) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let index = 0; index < raw.length; index += 1) bytes[index] = raw.charCodeAt(index);
  return bytes;
}

/** Return a function that tells whether a bit, counted from 0, is set. */
export function bitsOf(text) {
  const bytes = bytesOf(text);
  return (index) => ((bytes[index >> 3] >> (7 - (index & 7))) & 1) === 1;
}

/** Return values in all cells, Float32Array: those of the cells that `known` has, else NaN. */
export function spread(text, known, count) {
  const packed = new Float32Array(bytesOf(text).buffer);
  const values = new Float32Array(count).fill(Number.NaN);
  for (let cell = 0, next = 0; cell < count; cell += 1) {
    if (known(cell)) {
      values[cell] = packed[next];
      next += 1;
    }
  }
  return values;
}
