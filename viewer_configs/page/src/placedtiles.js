/** OpenSeadragon's tiles placed by µm, whatever paints them, or a white tile without a picture. */

import OpenSeadragon from "openseadragon";

import { isAbort } from "./fetching.js";
import { tileCount, tilePlace } from "./placement.js";

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
export class PlacedTiles extends OpenSeadragon.TileSource {
  /**
   * @param plan { base: { cols, rows, um }, tile: { cols, rows }, levels }; a level that lacks tiles has
   *   `has(x, y)`, and a coarser level is seen where it has none
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

  tileExists(level, x, y) {
    if (!super.tileExists(level, x, y)) return false;
    return this.plan.levels[this.levelIndex(level)].has?.(x, y) ?? true;
  }

  /** The width of the whole picture in µm. */
  get umWidth() {
    return this.plan.base.cols * this.plan.base.um.x;
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

function plainTile(size, colour) {
  const context = contextOf({ cols: Math.min(512, size.cols), rows: Math.min(512, size.rows) });
  context.fillStyle = colour;
  context.fillRect(0, 0, size.cols, size.rows);
  return context;
}

/** Return the drawing context of a new canvas of a size: { cols, rows }. */
export function contextOf(size) {
  const canvas = document.createElement("canvas");
  canvas.width = size.cols;
  canvas.height = size.rows;
  return canvas.getContext("2d");
}
