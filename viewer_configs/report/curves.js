/* Draws perturbation curves: a prediction while a map's hottest cells or tiles are removed. */
import { svg } from "./dom.js";
import { number } from "./numbers.js";

/** [map, colour, dashes] as in the preview; the colour blind can distinguish them. */
export const LINES = [
  ["contribution", "#0072b2", ""], ["leave-one-out", "#56b4e9", ""], ["score", "#009e73", ""],
  ["prediction", "#009e73", ""], ["attention", "#d55e00", ""], ["class-attention", "#d55e00", ""],
  ["as-stamp", "#cc79a7", ""], ["as-clam", "#cc79a7", ""], ["random", "#767676", "6 4"],
];
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [520, 280, 62, 42, 10, 28];

/** Return the drawing of a class's curves; the axis of values has the ends of the section. */
export function drawnCurves(result, { ends = [0, 1], unit = "cell" } = {}) {
  const [low, high] = ends;
  const isProbability = low === 0 && high === 1;
  const x = (share) => LEFT + share * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + (1 - (value - low) / (high - low)) * (HEIGHT - TOP - BOTTOM);
  const parts = [];
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    const value = low + tick * (high - low);
    parts.push(
      svg("line", { class: "grid", x1: x(0), x2: x(1), y1: y(value), y2: y(value) }),
      svg("text", { x: x(0) - 6, y: y(value) + 4, "text-anchor": "end" }, number(value)),
      svg("text", { x: x(tick), y: y(low) + 16, "text-anchor": "middle" }, `${100 * tick} %`),
    );
  }
  for (const [name, colour, dashes] of LINES) {
    if (result.curves[name] === undefined) continue;
    const points = result.removed.map((share, i) => `${x(share).toFixed(1)},${y(result.curves[name][i]).toFixed(1)}`);
    parts.push(points.length > 1
      ? svg("polyline", { points: points.join(" "), fill: "none", stroke: colour, "stroke-width": 2, "stroke-dasharray": dashes })
      : svg("circle", { cx: points[0].split(",")[0], cy: points[0].split(",")[1], r: 4, fill: colour }));
  }
  parts.push(
    svg("text", { x: (x(0) + x(1)) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, `share of the ${unit}s removed, hottest first`),
    svg("text", { transform: `translate(13 ${(y(low) + y(high)) / 2}) rotate(-90)`, "text-anchor": "middle" }, isProbability ? "probability left" : `${result.class} left`),
  );
  return svg("svg", { class: "curves", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${isProbability ? "Probability of " : ""}${result.class} while ${unit}s are removed` }, ...parts);
}
