/* Draws a slide with a map, outlines of regions and marks into a canvas. */
import { length, roundLength } from "./numbers.js";
import { latticeBox, View } from "./view.js";

/** Hot and cold outlines differ in colour and in dashes, also for colour-blind eyes. */
const OUTLINES = { hot: { colour: "#d55e00", dash: [] }, cold: { colour: "#0072b2", dash: [7, 4] } };
/** Pixels by which an outline shades the inside of its region, so that holes are seen as holes. */
const SHADE_PX = 5;

/** Return the colour and dashes of an outline: { colour, dash }. */
export function outlineStyle(part, kind) {
  return { ...OUTLINES[kind], ...part.outlines?.[kind] };
}

/** Draw a scene as far as a view shows it; `ratio` is the canvas's pixels per pixel of the view. */
export function drawScene(context, view, slide, { map, painted, outlines = [], mark = null, cross = null }, ratio = 1) {
  const { part } = slide;
  const { mpp } = part.slide;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, view.width, view.height);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  const { rows, cols, l0_pixel: pixel } = part.thumbnail;
  place(context, view, slide.thumbnail, latticeBox({ rows, cols }, pixel, { x: 0, y: 0 }, mpp));
  if (map !== null) {
    context.imageSmoothingEnabled = false;
    place(context, view, painted, latticeBox(part.grid.shape, part.grid.l0_cell, map.l0_origin, mpp));
  }
  for (const outline of outlines) trace(context, view, part, outline);
  if (mark !== null) frameBox(context, view, mark);
  if (cross !== null) drawCross(context, view, cross);
}

/** Draw a picture in its box in µm. */
function place(context, view, picture, box) {
  const [x, y] = view.toScreen(box.x, box.y);
  context.drawImage(picture, x, y, box.width / view.umPerPx, box.height / view.umPerPx);
}

/** Draw a region's outline on white, so that it is visible on any colour; holes are no regions. */
function trace(context, view, part, { rings, kind, chosen }) {
  const { mpp } = part.slide;
  const path = new Path2D();
  for (const ring of rings) {
    for (let i = 0; i < ring.length; i += 2) {
      const [x, y] = view.toScreen(ring[i] * mpp.x, ring[i + 1] * mpp.y);
      if (i === 0) path.moveTo(x, y);
      else path.lineTo(x, y);
    }
    path.closePath();
  }
  const { colour, dash } = outlineStyle(part, kind);
  const wide = chosen ? 3 : 1.75;
  context.save();
  context.lineJoin = "round";
  context.save();
  context.clip(path, "evenodd");
  context.globalAlpha = chosen ? 0.5 : 0.3;
  context.strokeStyle = colour;
  context.lineWidth = 2 * SHADE_PX;
  context.stroke(path);
  context.restore();
  context.strokeStyle = "#fff";
  context.lineWidth = wide + 2.25;
  context.stroke(path);
  context.setLineDash(dash);
  context.strokeStyle = colour;
  context.lineWidth = wide;
  context.stroke(path);
  context.restore();
}

function frameBox(context, view, box) {
  const [x, y] = view.toScreen(box.x, box.y);
  const [w, h] = [box.width / view.umPerPx, box.height / view.umPerPx];
  for (const [colour, wide] of [["#fff", 5], ["#111", 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = wide;
    context.strokeRect(x, y, w, h);
  }
}

function drawCross(context, view, cross) {
  const [x, y] = view.toScreen(cross.x, cross.y);
  for (const [colour, wide] of [["#fff", 4], ["#111", 1.5]]) {
    context.strokeStyle = colour;
    context.lineWidth = wide;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 3 * dx, y + 3 * dy);
      context.lineTo(x + 11 * dx, y + 11 * dy);
    }
    context.stroke();
  }
}

/** Return the scale bar that fits a view: { um, px, text }. */
export function scaleBar(view) {
  const um = roundLength(Math.min(160, view.width * 0.3) * view.umPerPx);
  return { um, px: um / view.umPerPx, text: length(um) };
}

/** Draw the scale bar of a view on its lower right corner. */
export function drawScaleBar(context, view) {
  const { px, text } = scaleBar(view);
  const [right, bottom] = [view.width - 10, view.height - 10];
  context.font = "600 13px system-ui, sans-serif";
  const wide = Math.max(px, context.measureText(text).width) + 18;
  context.fillStyle = "rgb(255 255 255 / 0.9)";
  context.fillRect(right - wide, bottom - 34, wide, 34);
  context.fillStyle = "#111";
  context.textAlign = "center";
  context.fillText(text, right - wide / 2, bottom - 19);
  context.fillRect(right - wide / 2 - px / 2, bottom - 12, px, 4);
}

/** Return a picture of a slide's non-empty part within a size: a canvas and its view. */
export function pictureOf(slide, scene, { width, height, ratio = 1, bar = true }) {
  const home = slide.home();
  const scale = Math.min(width / home.width, height / home.height);
  const view = new View(Math.max(1, home.width * scale), Math.max(1, home.height * scale));
  view.fit(home, 1);
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(view.width * ratio));
  canvas.height = Math.max(1, Math.round(view.height * ratio));
  const context = canvas.getContext("2d");
  drawScene(context, view, slide, scene, ratio);
  if (bar) drawScaleBar(context, view);
  return { canvas, view };
}
