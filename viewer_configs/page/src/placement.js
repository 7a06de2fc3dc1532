/**
 * Places: the slide frame in µm, the pyramid's levels and tiles, and the map's cells.
 *
 * The origin is the outer corner of level-0 pixel (0, 0); x runs right, y down. Names carry their
 * frame: `um` micrometres on the slide, `px` pixels of a level, `g` cells of the grid. In the
 * viewport's frame (`v`) the slide is 1 wide, as in OpenSeadragon.
 */

/** Return the slide's outer size in µm: { x, y }. */
export function slideSize(slide) {
  return { x: slide.cols * slide.mpp.x, y: slide.rows * slide.mpp.y };
}

/** Return the levels of a pyramid, finest first: sizes are ceil halved, scales exactly 2^k. */
export function pyramidLevels(cols, rows, count) {
  return Array.from({ length: count }, (_, k) => ({
    factor: 2 ** k,
    cols: Math.ceil(cols / 2 ** k),
    rows: Math.ceil(rows / 2 ** k),
  }));
}

/**
 * Return a tile's place: `px`, its whole pixels; `shown`, the number of them on the slide; and `um`,
 * the rectangle that the shown part covers.
 *
 * The last pixel of a coarse level may hang over the slide's edge, by less than its own size. Only
 * its part on the slide is shown, so that no tile is squeezed.
 *
 * @param level one of `pyramidLevels`
 * @param base { cols, rows, um: { x, y } }: level 0, and the size of its pixels
 * @param tile { cols, rows }: the size of whole tiles
 */
export function tilePlace(level, base, tile, tileX, tileY) {
  const x = axisPlace(level.cols, level.factor, base.cols, base.um.x, tile.cols, tileX);
  const y = axisPlace(level.rows, level.factor, base.rows, base.um.y, tile.rows, tileY);
  return {
    px: { cols: x.px, rows: y.px },
    shown: { cols: x.shown, rows: y.shown },
    um: { x: x.um, y: y.um, width: x.umSize, height: y.umSize },
  };
}

function axisPlace(size, factor, baseSize, umPixel, tileSize, index) {
  const first = index * tileSize;
  const shown = Math.min(tileSize, baseSize / factor - first);
  return {
    px: Math.min(tileSize, size - first),
    shown,
    um: first * factor * umPixel,
    umSize: shown * factor * umPixel,
  };
}

/** Return the number of tiles of a level: { x, y }. */
export function tileCount(level, tile) {
  return { x: Math.ceil(level.cols / tile.cols), y: Math.ceil(level.rows / tile.rows) };
}

/** Return the grid's place in µm: the outer corner of cell (0, 0), a cell's size, and the shape. */
export function gridPlace(grid) {
  const { mpp } = grid;
  return {
    rows: grid.shape.rows,
    cols: grid.shape.cols,
    um: { x: grid.l0_origin.x * mpp.x, y: grid.l0_origin.y * mpp.y },
    umCell: { x: grid.l0_cell.x * mpp.x, y: grid.l0_cell.y * mpp.y },
  };
}

/** Return the cell at a place, { row, col }, or null off the grid. */
export function cellAt(place, umX, umY) {
  const col = Math.floor((umX - place.um.x) / place.umCell.x);
  const row = Math.floor((umY - place.um.y) / place.umCell.y);
  const inside = row >= 0 && col >= 0 && row < place.rows && col < place.cols;
  return inside ? { row, col } : null;
}

/**
 * Return the visible cells in a window, as the half-open ranges [col0, col1) and [row0, row1),
 * or null if there are none.
 */
export function cellsWithin(place, um) {
  const cols = axisCells(place.um.x, place.umCell.x, place.cols, um.x, um.x + um.width);
  const rows = axisCells(place.um.y, place.umCell.y, place.rows, um.y, um.y + um.height);
  if (cols[0] >= cols[1] || rows[0] >= rows[1]) return null;
  return { col0: cols[0], col1: cols[1], row0: rows[0], row1: rows[1] };
}

function axisCells(origin, cell, count, from, to) {
  const first = Math.floor((from - origin) / cell);
  const last = Math.ceil((to - origin) / cell);
  return [Math.max(0, first), Math.min(count, last)];
}

/** Return whether a place lies on the slide. */
export function onSlide(slide, umX, umY) {
  const size = slideSize(slide);
  return umX >= 0 && umY >= 0 && umX < size.x && umY < size.y;
}
