/* Draws perturbation curves: a class's probability while a map's hottest cells are removed. */
import { svg } from "./dom.js";

/** [map, colour, dashes] as in the preview; the colour blind can distinguish them. */
export const LINES = [
  ["contribution", "#0072b2", ""], ["score", "#009e73", ""], ["attention", "#d55e00", ""],
  ["random", "#767676", "6 4"],
];
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT] = [520, 280, 46, 42, 10, 24];

/** Return the drawing of a class's curves. */
export function drawnCurves(result) {
  const x = (share) => LEFT + share * (WIDTH - LEFT - RIGHT);
  const y = (value) => TOP + (1 - value) * (HEIGHT - TOP - BOTTOM);
  const parts = [];
  for (const tick of [0, 0.25, 0.5, 0.75, 1]) {
    parts.push(
      svg("line", { class: "grid", x1: x(0), x2: x(1), y1: y(tick), y2: y(tick) }),
      svg("text", { x: x(0) - 6, y: y(tick) + 4, "text-anchor": "end" }, String(tick)),
      svg("text", { x: x(tick), y: y(0) + 16, "text-anchor": "middle" }, `${100 * tick} %`),
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
    svg("text", { x: (x(0) + x(1)) / 2, y: HEIGHT - 6, "text-anchor": "middle" }, "share of the cells removed, hottest first"),
    svg("text", { transform: `translate(11 ${(y(0) + y(1)) / 2}) rotate(-90)`, "text-anchor": "middle" }, "probability left"),
  );
  return svg("svg", { class: "curves", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Probability of ${result.class} while cells are removed` }, ...parts);
}
