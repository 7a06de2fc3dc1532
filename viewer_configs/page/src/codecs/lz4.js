/**
 * LZ4 blocks, decoding only; see https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
 *
 * As a Zarr codec, a block is led by its decoded size, as numcodecs writes it.
 */

const MIN_MATCH = 4;

/** Decode a block into `out`, and fail unless it fills it exactly. */
export function decodeLz4(block, out) {
  let from = 0;
  let to = 0;
  const longer = (length) => {
    if (length < 15) return length;
    let [total, more] = [length, 255];
    while (more === 255) {
      more = block[from];
      from += 1;
      total += more;
    }
    return total;
  };
  while (from < block.length) {
    const token = block[from];
    from += 1;
    const literals = longer(token >> 4);
    if (!(from + literals <= block.length && to + literals <= out.length)) throw new Error("damaged LZ4 data");
    out.set(block.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    if (from >= block.length) break;
    const offset = block[from] | (block[from + 1] << 8);
    from += 2;
    to = copyMatch(out, to, offset, longer(token & 15) + MIN_MATCH);
  }
  if (to !== out.length) throw new Error("damaged LZ4 data");
}

/** Copy the bytes `offset` before, which may overlap the copy. Returns the end of the copy. */
function copyMatch(out, to, offset, length) {
  const end = to + length;
  if (!(offset > 0 && offset <= to && end <= out.length)) throw new Error("damaged LZ4 data");
  if (offset >= length) out.copyWithin(to, to - offset, end - offset);
  else for (let at = to; at < end; at += 1) out[at] = out[at - offset];
  return end;
}

/** The codec, for zarrita. */
export default class Lz4 {
  kind = "bytes_to_bytes";

  static fromConfig() {
    return new Lz4();
  }

  decode(data) {
    const size = new DataView(data.buffer, data.byteOffset, data.byteLength).getUint32(0, true);
    const out = new Uint8Array(size);
    decodeLz4(data.subarray(4), out);
    return out;
  }
}
