import assert from "node:assert/strict";
import test from "node:test";

import { NO_VIEW, formatView, parseView } from "../src/permalink.js";

test("a view survives the way through a link", () => {
  const view = {
    slide: "a b/ü&#=%.svs",
    map: "score-<b>x</b>",
    x: 1234.56,
    y: -7.25,
    zoom: 0.25,
    opacity: 0,
    from: -3.123456789,
    to: 1e-7,
    palette: "magma",
    fade: false,
    hidden: true,
    grey: true,
    outlines: false,
  };
  assert.deepEqual(parseView(formatView(view)), view);
});

test("what is not known is left out, and read as not known", () => {
  assert.equal(formatView(NO_VIEW), "#");
  assert.deepEqual(parseView(""), NO_VIEW);
  assert.deepEqual(parseView("#"), NO_VIEW);
});

test("junk is not known", () => {
  const junk = "#x=1&y=NaN&zoom=0&opacity=7&from=1e999&to=0x10&fade=yes&hidden=&map=&%E0%A4%A&__proto__=1&slide=%";
  const view = parseView(junk);
  assert.deepEqual(view, { ...NO_VIEW, opacity: 1, slide: "%" });
});

test("a place needs x, y and a positive zoom together", () => {
  assert.equal(parseView("#x=1&y=2").x, null);
  assert.equal(parseView("#x=1&y=2&zoom=-1").zoom, null);
  assert.deepEqual(parseView("#x=1&y=2&zoom=.5"), { ...NO_VIEW, x: 1, y: 2, zoom: 0.5 });
});
