/** The slide's pyramid as OpenSeadragon's tiles, placed by µm, or a white tile without a pyramid. */

import OpenSeadragon from "openseadragon";

import { ChunkCache } from "./chunks.js";
import { isAbort } from "./fetching.js";
import { planeOf } from "./multiscale.js";
import { pyramidLevels, tileCount, tilePlace } from "./placement.js";

const CHUNK_BYTES = 64 * 2 ** 20;
const UNREADABLE = "#b9b9bf";

let sources = 0;

/**
 * Tiles of a pyramid whose levels may each be a fraction of a pixel larger than the slide.
 *
 * OpenSeadragon stretches a level over the whole image, and would squeeze such levels. Here every
 * tile is placed by the exact 2^k instead, and parts beyond the slide are cut off.
 *
 * In OpenSeadragon's frame the image is 1 wide, and its `dimensions` always have square pixels; the
 * levels' own pixels may be oblong.
 */
class PlacedTiles extends OpenSeadragon.TileSource {
  /**
   * @param plan { base: { cols, rows, um }, tile: { cols, rows }, levels }
   * @param paint (levelIndex, x, y, place, signal) => Promise<canvas context>
   * @param watch { during(promise), failed(error) }: called for each tile that is read
   */
  constructor(plan, paint, watch) {
    const { base, tile, levels } = plan;
    const height = (base.rows * base.um.y) / base.um.x;
    super({ width: base.cols, height, tileWidth: tile.cols, tileHeight: tile.rows, minLevel: 0, maxLevel: levels.length - 1 });
    sources += 1;
    this.serial = sources;
    this.plan = plan;
    this.paint = paint;
    this.watch = watch;
    this.stopping = new AbortController();
  }

  /** Stop all downloads, as when another slide is chosen. */
  stop() {
    this.stopping.abort();
  }

  levelIndex(level) {
    return this.maxLevel - level;
  }

  placeOf(level, x, y) {
    return tilePlace(this.plan.levels[this.levelIndex(level)], this.plan.base, this.plan.tile, x, y);
  }

  getLevelScale(level) {
    return 1 / this.plan.levels[this.levelIndex(level)].factor;
  }

  getNumTiles(level) {
    const count = tileCount(this.plan.levels[this.levelIndex(level)], this.plan.tile);
    return new OpenSeadragon.Point(count.x, count.y);
  }

  getTileAtPoint(level, point) {
    const { base, tile, levels } = this.plan;
    const { factor } = levels[this.levelIndex(level)];
    const umWidth = base.cols * base.um.x;
    const count = this.getNumTiles(level);
    const col = Math.floor((point.x * umWidth) / (factor * base.um.x * tile.cols));
    const row = Math.floor((point.y * umWidth) / (factor * base.um.y * tile.rows));
    return new OpenSeadragon.Point(clip(col, count.x - 1), clip(row, count.y - 1));
  }

  getTileBounds(level, x, y, isSource) {
    const place = this.placeOf(level, x, y);
    if (isSource) return new OpenSeadragon.Rect(0, 0, place.shown.cols, place.shown.rows);
    const umWidth = this.plan.base.cols * this.plan.base.um.x;
    const { um } = place;
    return new OpenSeadragon.Rect(um.x / umWidth, um.y / umWidth, um.width / umWidth, um.height / umWidth);
  }

  getTileUrl(level, x, y) {
    return `slide-${this.serial}/${level}/${x}_${y}`;
  }

  hasTransparency() {
    return false;
  }

  async downloadTileStart(job) {
    const { level, x, y } = job.tile;
    const place = this.placeOf(level, x, y);
    try {
      const painted = this.paint(this.levelIndex(level), x, y, place, this.stopping.signal);
      job.finish(await this.watch.during(painted), null, "context2d");
    } catch (error) {
      if (!isAbort(error)) this.watch.failed(error);
      job.finish(plainTile(place.px, UNREADABLE), null, "context2d");
    }
  }

  downloadTileAbort() {}
}

function clip(index, last) {
  return Math.min(last, Math.max(0, index));
}

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

/** Return one white tile for a slide without picture: { cols, rows, mpp }. */
export function blankTiles(slide) {
  const plan = {
    base: { cols: slide.cols, rows: slide.rows, um: slide.mpp },
    tile: { cols: slide.cols, rows: slide.rows },
    levels: [{ factor: 1, cols: slide.cols, rows: slide.rows }],
  };
  const watch = { during: (promise) => promise, failed: () => {} };
  return new PlacedTiles(plan, async () => plainTile({ cols: 1, rows: 1 }, "#ffffff"), watch);
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

function plainTile(size, colour) {
  const context = contextOf({ cols: Math.min(512, size.cols), rows: Math.min(512, size.rows) });
  context.fillStyle = colour;
  context.fillRect(0, 0, size.cols, size.rows);
  return context;
}

function contextOf(size) {
  const canvas = document.createElement("canvas");
  canvas.width = size.cols;
  canvas.height = size.rows;
  return canvas.getContext("2d");
}
