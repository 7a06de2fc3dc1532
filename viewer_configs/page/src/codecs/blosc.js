/**
 * Blosc 1 as a Zarr codec, decoding only.
 *
 * The WebAssembly codec of numcodecs makes functions out of text, which this page's security policy
 * forbids; and most of its 600 kB are encoders. A Blosc buffer is blocks, each of them one or more
 * streams of an inner codec, whose bytes or bits are shuffled; see
 * https://github.com/Blosc/c-blosc/blob/main/README_CHUNK_FORMAT.rst
 */

import { decodeLz4 } from "./lz4.js";

const HEADER = 16;
const MOST_SPLITS = 16;
const LEAST_SPLIT = 128;
const INNER = ["blosclz", "lz4", "snappy", "zlib", "zstd"];

/** The codec, for zarrita. */
export default class Blosc {
  kind = "bytes_to_bytes";

  static fromConfig() {
    return new Blosc();
  }

  decode(data) {
    return decodeBlosc(data);
  }
}

/** Return the bytes that a buffer holds. */
export async function decodeBlosc(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const header = headerOf(data, view);
  if (header.stored) return data.slice(HEADER, HEADER + header.size);
  const out = new Uint8Array(header.size);
  const inner = await innerDecoder(header.codec);
  for (let block = 0; block * header.blockSize < header.size; block += 1) {
    const whole = out.subarray(block * header.blockSize, (block + 1) * header.blockSize);
    const at = view.getInt32(HEADER + 4 * block, true);
    const bytes = await decodeBlock(data, view, at, whole.length, header, inner);
    unshuffle(bytes, whole, header);
  }
  return out;
}

function headerOf(data, view) {
  if (data.length < HEADER) throw new Error("damaged Blosc data");
  const flags = data[2];
  const header = {
    typeSize: data[3],
    size: view.getUint32(4, true),
    blockSize: view.getUint32(8, true),
    byBytes: (flags & 1) !== 0,
    stored: (flags & 2) !== 0,
    byBits: (flags & 4) !== 0,
    maySplit: (flags & 16) === 0,
    codec: INNER[flags >> 5],
  };
  const sane = view.getUint32(12, true) <= data.length && (header.blockSize > 0 || header.size === 0);
  if (!sane || (header.stored && data.length < HEADER + header.size)) throw new Error("damaged Blosc data");
  return header;
}

async function innerDecoder(codec) {
  if (codec === "lz4") return decodeLz4;
  if (codec === "zstd") return (await import("./inner-zstd.js")).decodeZstd;
  if (codec === "zlib") return decodeZlib;
  throw new Error(`Blosc with ${codec ?? "an unknown codec"} cannot be read here`);
}

async function decodeZlib(stream, out) {
  const inflated = new Response(new Blob([stream]).stream().pipeThrough(new DecompressionStream("deflate")));
  const bytes = new Uint8Array(await inflated.arrayBuffer());
  if (bytes.length !== out.length) throw new Error("damaged zlib data");
  out.set(bytes);
}

/** Return a block's bytes, still shuffled: the streams at `at`, one after another. */
async function decodeBlock(data, view, at, size, header, inner) {
  const { typeSize, blockSize, maySplit } = header;
  const splits = maySplit && size === blockSize && typeSize <= MOST_SPLITS && blockSize / typeSize >= LEAST_SPLIT;
  const count = splits ? typeSize : 1;
  const part = size / count;
  const bytes = new Uint8Array(size);
  let from = at;
  for (let stream = 0; stream < count; stream += 1) {
    const length = view.getInt32(from, true);
    from += 4;
    if (!(length >= 0 && from + length <= data.length)) throw new Error("damaged Blosc data");
    const encoded = data.subarray(from, from + length);
    const out = bytes.subarray(stream * part, (stream + 1) * part);
    if (length === part) out.set(encoded);
    else await inner(encoded, out);
    from += length;
  }
  return bytes;
}

function unshuffle(bytes, out, { typeSize, byBytes, byBits }) {
  const count = Math.floor(bytes.length / typeSize);
  if (byBytes && typeSize > 1) {
    unshuffleBytes(bytes, out, typeSize, count);
    out.set(bytes.subarray(count * typeSize), count * typeSize);
  } else if (byBits && count % 8 === 0) {
    unshuffleBits(bytes, out, typeSize, count);
    out.set(bytes.subarray(count * typeSize), count * typeSize);
  } else {
    out.set(bytes);
  }
}

function unshuffleBytes(bytes, out, typeSize, count) {
  for (let byte = 0; byte < typeSize; byte += 1) {
    for (let item = 0, to = byte; item < count; item += 1, to += typeSize) out[to] = bytes[byte * count + item];
  }
}

/** Blocks whose items do not make up whole bytes of bits are not shuffled. Row r of the shuffled bits holds bit r of all items, eight items a byte. */
function unshuffleBits(bytes, out, typeSize, count) {
  const rowBytes = count / 8;
  for (let row = 0; row < 8 * typeSize; row += 1) {
    for (let item = 0; item < count; item += 1) {
      const bit = (bytes[row * rowBytes + (item >> 3)] >> (item & 7)) & 1;
      out[item * typeSize + (row >> 3)] |= bit << (row & 7);
    }
  }
}
