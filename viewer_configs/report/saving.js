/* Saves the picture as a PNG with its caption, key, scale bar and "for research". */
import { predictionText, truthText } from "./trust.js";
import { quantityOf, ticksOf } from "./legend.js";
import { barHeight, cssColour, drawBarIn, fades, isNamed } from "./painting.js";
import { drawScaleBar, drawScene, outlineStyle } from "./scene.js";
import { RESEARCH } from "./terms.js";

const RATIO = 2;
const [EDGE, LINE, LEAST_WIDTH] = [16, 20, 420];
const FONT = "system-ui, 'Segoe UI', Roboto, 'Noto Sans', 'DejaVu Sans', sans-serif";

/** Return the picture of stages side by side, with all that one needs to read it, as a canvas. */
export function savedPicture(slide, panes) {
  const columns = panes.map((pane) => ({ ...pane, lines: 0 }));
  const { view } = columns[0].stage;
  const width = Math.max(LEAST_WIDTH, Math.round(view.width));
  const height = Math.round(view.height);
  const keys = columns.map((column) => keyHeight(slide, column));
  const outlined = columns[0].stage.outlines.length > 0;
  const foot = 3 * LINE + (outlined ? LINE : 0);
  const canvas = document.createElement("canvas");
  canvas.width = (columns.length * (width + EDGE) + EDGE) * RATIO;
  canvas.height = (EDGE + 2 * LINE + 8 + height + 10 + Math.max(...keys) + foot + EDGE) * RATIO;
  const context = canvas.getContext("2d");
  context.scale(RATIO, RATIO);
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  const whole = columns.length * (width + EDGE) - EDGE;
  write(context, slide.row.slide, EDGE, EDGE + 14, whole, "600 17px");
  columns.forEach((column, index) => {
    const left = EDGE + index * (width + EDGE);
    write(context, column.pane?.map.title ?? "", left, EDGE + LINE + 14, width, "15px");
    const top = EDGE + 2 * LINE + 8;
    context.drawImage(scenePicture(slide, column.stage, height), left, top, Math.round(view.width), height);
    if (column.pane) drawKey(context, slide, column.pane, { left, top: top + height + 10, width });
  });
  const bottom = canvas.height / RATIO - EDGE - foot + 14;
  if (outlined) drawOutlines(context, slide.part, EDGE, bottom);
  const from = bottom + (outlined ? LINE : 0);
  write(context, `${predictionText(slide.part)}. ${truthText(slide.row)}.`, EDGE, from, whole);
  write(context, `Drawn hot: ${slide.part.true_class}`, EDGE, from + LINE, whole);
  write(context, RESEARCH, EDGE, from + 2 * LINE, whole, "600 13px");
  return canvas;
}

/** Save the picture of stages as a file of the browser's downloads. */
export async function savePicture(slide, panes) {
  const canvas = savedPicture(slide, panes);
  const blob = await new Promise((done) => { canvas.toBlob(done, "image/png"); });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  const names = panes.map(({ pane }) => pane?.map.name ?? "slide").join("+");
  link.download = `${slide.part.slide.name}.${names}.png`.replace(/[^\p{L}\p{N}.+−-]+/gu, "_");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function scenePicture(slide, stage, height) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.round(stage.view.width) * RATIO;
  canvas.height = height * RATIO;
  const context = canvas.getContext("2d");
  drawScene(context, stage.view, slide, { ...stage, cross: null }, RATIO);
  drawScaleBar(context, stage.view);
  return canvas;
}

/** Write a text that is shortened where it is too long for its place. */
function write(context, text, x, y, width, font = "13px") {
  context.font = `${font} ${FONT}`;
  context.fillStyle = "#1b1b1f";
  context.textAlign = "left";
  let short = text;
  while (short.length > 1 && context.measureText(short).width > width) short = `${short.slice(0, -2)}…`;
  context.fillText(short, x, y);
}

function keyHeight(slide, { pane }) {
  if (!pane) return 0;
  if (isNamed(pane.map)) return pane.map.categories.length * LINE;
  return LINE + barHeight(slide, pane.map, pane.look) + LINE + (fades(slide, pane.map, pane.look) ? LINE : 0) + 8;
}

function drawKey(context, slide, { map, look }, { left, top, width }) {
  if (isNamed(map)) {
    map.categories.forEach((name, index) => {
      context.fillStyle = cssColour(map, index);
      context.fillRect(left, top + index * LINE, 14, 14);
      write(context, name, left + 22, top + index * LINE + 12, width - 22);
    });
    return;
  }
  write(context, quantityOf(map), left, top + 13, width);
  const height = barHeight(slide, map, look);
  const bar = document.createElement("canvas");
  [bar.width, bar.height] = [width * RATIO, height * RATIO];
  drawBarIn(bar.getContext("2d"), slide, map, look, { width: bar.width, height: bar.height, ratio: RATIO });
  context.drawImage(bar, left, top + LINE, width, height);
  const below = top + LINE + height + 15;
  for (const [text, place] of ticksOf(slide, map)) {
    context.font = `13px ${FONT}`;
    context.fillStyle = "#1b1b1f";
    context.textAlign = place === 0 ? "left" : place === 1 ? "right" : "center";
    context.fillText(text, left + place * width, below);
  }
  if (fades(slide, map, look)) write(context, "Fades where attention is low: full colour at the top of the bar, none at its foot.", left, below + LINE, width);
}

function drawOutlines(context, part, left, y) {
  let x = left;
  for (const kind of ["hot", "cold"]) {
    const { colour, dash } = outlineStyle(part, kind);
    context.save();
    context.strokeStyle = colour;
    context.lineWidth = 3;
    context.setLineDash(dash);
    context.beginPath();
    context.moveTo(x, y - 4);
    context.lineTo(x + 30, y - 4);
    context.stroke();
    context.restore();
    const text = `${kind} region: evidence ${kind === "hot" ? "for" : "against"} ${part.regions.class}`;
    write(context, text, x + 38, y, 400);
    x += 38 + Math.min(400, context.measureText(text).width) + 24;
  }
}
