/** The outlines of hot and cold regions over the slide. */

import { make } from "../../page/src/dom.js";

/** Colours that differ to colour-blind eyes too; cold outlines are dashed besides. */
const LINES = {
  hot: { colour: "#e66100", dash: [] },
  cold: { colour: "#1a5fd6", dash: [9, 6] },
};
const CASING = "rgba(255, 255, 255, 0.9)";
const WIDTH = 2.25;

/** Draws outlines on their own canvas, and has the controls to show them. */
export class RegionLayer {
  #regions = [];
  #slide = null;

  /** @param view the SlideView to draw over */
  constructor(view) {
    this.view = view;
    this.canvas = make("canvas", { className: "map-layer", "aria-hidden": "true" });
    view.viewer.canvas.append(this.canvas);
    this.box = make("input", { type: "checkbox", id: "regions", checked: true });
    this.legend = make("ul", { className: "region-legend" });
    this.element = make("div", { id: "regions-field", hidden: true }, make("div", { className: "check" }, this.box, make("label", { htmlFor: "regions" }, "Outline regions")), this.legend);
    this.box.addEventListener("change", () => this.draw());
    view.onDraw(() => this.draw());
  }

  /**
   * Show a slide's regions.
   *
   * @param regions [{ name, kind, criterion, rings }]
   * @param slide the manifest's slide, whose `mpp` scales the rings
   */
  show(regions, slide) {
    this.#regions = regions;
    this.#slide = slide;
    this.element.hidden = regions.length === 0;
    this.legend.replaceChildren(...legendOf(regions));
    this.draw();
  }

  draw() {
    const density = window.devicePixelRatio || 1;
    const box = this.view.viewer.viewport.getContainerSize();
    this.canvas.width = Math.round(box.x * density);
    this.canvas.height = Math.round(box.y * density);
    this.legend.hidden = !this.box.checked;
    if (!this.box.checked || !this.view.slide || this.#regions.length === 0) return;
    const origin = this.view.pxFromUm(0, 0);
    const scale = 1 / this.view.umPerPx();
    const { mpp } = this.#slide;
    const context = this.canvas.getContext("2d");
    context.setTransform(density, 0, 0, density, 0, 0);
    context.lineJoin = "round";
    const at = (x, y) => [origin.x + x * mpp.x * scale, origin.y + y * mpp.y * scale];
    for (const { kind, rings } of this.#regions) {
      const path = pathOf(rings, at);
      stroke(context, path, CASING, WIDTH + 2.5, []);
      stroke(context, path, LINES[kind].colour, WIDTH, LINES[kind].dash);
    }
  }
}

function pathOf(rings, at) {
  const path = new Path2D();
  for (const ring of rings) {
    for (let index = 0; index + 1 < ring.length; index += 2) {
      const place = at(ring[index], ring[index + 1]);
      if (index === 0) path.moveTo(...place);
      else path.lineTo(...place);
    }
    path.closePath();
  }
  return path;
}

function stroke(context, path, colour, width, dash) {
  context.setLineDash(dash);
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.stroke(path);
}

function legendOf(regions) {
  return Object.keys(LINES).flatMap((kind) => {
    const some = regions.filter((region) => region.kind === kind);
    if (some.length === 0) return [];
    const line = make("span", { className: `region-line ${kind}` });
    const count = some.length === 1 ? `1 ${kind} region` : `${some.length} ${kind} regions`;
    return [make("li", {}, line, make("span", {}, `${count}: cells with ${some[0].criterion}`))];
  });
}
