import assert from "node:assert/strict";
import test from "node:test";

import { cellAt, cellsWithin, gridPlace, onSlide, pyramidLevels, slideSize, tileCount, tilePlace } from "../src/placement.js";

const BASE = { cols: 2221, rows: 1003, um: { x: 0.5, y: 0.25 } };
const TILE = { cols: 512, rows: 512 };

test("levels are ceil halved, as halving one after another gives", () => {
  let [cols, rows] = [BASE.cols, BASE.rows];
  for (const level of pyramidLevels(BASE.cols, BASE.rows, 9)) {
    assert.deepEqual([level.cols, level.rows], [cols, rows]);
    [cols, rows] = [Math.ceil(cols / 2), Math.ceil(rows / 2)];
  }
});

test("every shown pixel of every level is 2^k pixels of level 0 large", () => {
  for (const level of pyramidLevels(BASE.cols, BASE.rows, 9)) {
    const count = tileCount(level, TILE);
    for (let x = 0; x < count.x; x += 1) {
      for (let y = 0; y < count.y; y += 1) {
        const { um, shown } = tilePlace(level, BASE, TILE, x, y);
        assert.ok(Math.abs(um.width / shown.cols - level.factor * BASE.um.x) < 1e-12);
        assert.ok(Math.abs(um.height / shown.rows - level.factor * BASE.um.y) < 1e-12);
        assert.equal(um.x, x * 512 * level.factor * BASE.um.x);
      }
    }
  }
});

test("the tiles of every level end at the slide's edge, within their own pixels", () => {
  for (const level of pyramidLevels(BASE.cols, BASE.rows, 9)) {
    const count = tileCount(level, TILE);
    const { px, shown, um } = tilePlace(level, BASE, TILE, count.x - 1, count.y - 1);
    assert.ok(Math.abs(um.x + um.width - BASE.cols * BASE.um.x) < 1e-9);
    assert.ok(Math.abs(um.y + um.height - BASE.rows * BASE.um.y) < 1e-9);
    assert.ok(shown.cols <= px.cols && shown.cols > px.cols - 1);
    assert.ok(shown.rows <= px.rows && shown.rows > px.rows - 1);
  }
});

const GRID = gridPlace({
  shape: { rows: 3, cols: 4 },
  l0_cell: { y: 10, x: 20 },
  l0_origin: { y: -5, x: -10 },
  mpp: { y: 0.5, x: 0.25 },
});

test("the grid's place is in micrometres, each axis by its own pixels", () => {
  assert.deepEqual(GRID, { rows: 3, cols: 4, um: { x: -2.5, y: -2.5 }, umCell: { x: 5, y: 5 } });
});

test("a cell holds its upper left edges, not its lower right ones", () => {
  assert.deepEqual(cellAt(GRID, -2.5, -2.5), { row: 0, col: 0 });
  assert.deepEqual(cellAt(GRID, 2.5, 2.499), { row: 0, col: 1 });
  assert.equal(cellAt(GRID, 17.5, 0), null);
  assert.equal(cellAt(GRID, -2.6, 0), null);
});

test("only cells within the window are drawn", () => {
  const all = { col0: 0, col1: 4, row0: 0, row1: 3 };
  assert.deepEqual(cellsWithin(GRID, { x: -100, y: -100, width: 1000, height: 1000 }), all);
  assert.deepEqual(cellsWithin(GRID, { x: 3, y: 3, width: 1, height: 1 }), { col0: 1, col1: 2, row0: 1, row1: 2 });
  assert.equal(cellsWithin(GRID, { x: 100, y: 0, width: 5, height: 5 }), null);
});

test("the slide's size and inside are in micrometres", () => {
  const slide = { rows: 100, cols: 200, mpp: { y: 0.5, x: 0.25 } };
  assert.deepEqual(slideSize(slide), { x: 50, y: 50 });
  assert.equal(onSlide(slide, 0, 0), true);
  assert.equal(onSlide(slide, 50, 0), false);
});
