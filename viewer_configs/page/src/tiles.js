/** An OME-Zarr pyramid as OpenSeadragon's tiles. */

import { ChunkCache } from "./chunks.js";
import { planeOf } from "./multiscale.js";
import { PlacedTiles, contextOf } from "./placedtiles.js";
import { pyramidLevels } from "./placement.js";

const CHUNK_BYTES = 64 * 2 ** 20;

/** Return tiles of an opened multiscale image. */
export function pyramidTiles(image, watch) {
  const { arrays, axes, um } = image;
  const base = { ...planeOf(arrays[0].shape, axes), um };
  const plan = {
    base,
    tile: planeOf(arrays[0].chunks, axes),
    levels: pyramidLevels(base.cols, base.rows, usableLevels(image, base)),
  };
  const cache = new ChunkCache(CHUNK_BYTES);
  const paint = async (level, x, y, place, signal) => {
    const planes = await planesOf(arrays[level], axes, cache, { x, y }, signal);
    return rgbTile(planes, place.px);
  };
  return new PlacedTiles(plan, paint, watch);
}

/** Return the number of leading levels with the expected sizes and chunks. */
function usableLevels(image, base) {
  const { arrays, axes } = image;
  const chunk = planeOf(arrays[0].chunks, axes);
  const levels = pyramidLevels(base.cols, base.rows, arrays.length);
  const odd = levels.findIndex((level, index) => {
    const size = planeOf(arrays[index].shape, axes);
    const tile = planeOf(arrays[index].chunks, axes);
    const chunked = tile.cols === chunk.cols && tile.rows === chunk.rows;
    return size.cols !== level.cols || size.rows !== level.rows || !chunked;
  });
  return odd < 0 ? arrays.length : Math.max(1, odd);
}

async function planesOf(array, axes, cache, tile, signal) {
  const channels = axes.c < 0 ? 1 : Math.min(3, array.shape[axes.c]);
  const depth = axes.c < 0 ? 1 : array.chunks[axes.c];
  const chunks = new Map();
  for (let channel = 0; channel < channels; channel += depth) {
    const key = array.shape.map(() => 0);
    key[axes.x] = tile.x;
    key[axes.y] = tile.y;
    if (axes.c >= 0) key[axes.c] = channel / depth;
    chunks.set(channel / depth, cache.get(array, key, signal));
  }
  await Promise.all(chunks.values());
  return Promise.all(
    Array.from({ length: channels }, async (_, channel) => {
      const { data, stride } = await chunks.get(Math.floor(channel / depth));
      const offset = axes.c < 0 ? 0 : (channel % depth) * stride[axes.c];
      return { data, offset, x: stride[axes.x], y: stride[axes.y] };
    }),
  );
}

function rgbTile(planes, size) {
  const context = contextOf(size);
  const image = context.createImageData(size.cols, size.rows);
  const [red, green, blue] = planes.length >= 3 ? planes : [planes[0], planes[0], planes[0]];
  const out = image.data;
  for (let row = 0, at = 0; row < size.rows; row += 1) {
    let [r, g, b] = [red.offset + row * red.y, green.offset + row * green.y, blue.offset + row * blue.y];
    for (let col = 0; col < size.cols; col += 1, at += 4) {
      out[at] = red.data[r];
      out[at + 1] = green.data[g];
      out[at + 2] = blue.data[b];
      out[at + 3] = 255;
      r += red.x;
      g += green.x;
      b += blue.x;
    }
  }
  context.putImageData(image, 0, 0);
  return context;
}
