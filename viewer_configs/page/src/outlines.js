/** The outlines of regions, drawn over slide and map: outsides thick, holes thin. */

const CASING = "#ffffff";
const WIDTH = { outside: 2.5, hole: 1.25 };
const CASING_WIDTH = 2;

/** Return regions ready to draw: their outsides and holes as paths in µm, by kind. */
export function pathsOf(regions, styles) {
  return Object.entries(styles).map(([kind, style]) => {
    const paths = { outside: new Path2D(), hole: new Path2D() };
    for (const region of regions.filter((each) => each.kind === kind)) {
      region.rings.forEach((ring, index) => addRing(paths[index === 0 ? "outside" : "hole"], ring));
    }
    return { style, paths };
  });
}

function addRing(path, ring) {
  ring.forEach(([x, y], index) => (index === 0 ? path.moveTo(x, y) : path.lineTo(x, y)));
  path.closePath();
}

/**
 * Draw outlines.
 *
 * @param frame the transform from µm to pixels of the canvas: { x, y, scale }
 * @param density pixels of the canvas per CSS pixel
 */
export function drawOutlines(context, outlines, frame, density) {
  const toCanvas = new DOMMatrix([frame.scale, 0, 0, frame.scale, frame.x, frame.y]);
  context.save();
  context.lineJoin = "round";
  for (const { style, paths } of outlines) {
    for (const part of ["outside", "hole"]) {
      const path = new Path2D();
      path.addPath(paths[part], toCanvas);
      // A solid casing beneath the dashes: the line is seen on dark cells and on light ones.
      stroke(context, path, { colour: CASING, dash: [], width: WIDTH[part] + CASING_WIDTH }, density);
      stroke(context, path, { ...style, width: WIDTH[part] }, density);
    }
  }
  context.restore();
}

function stroke(context, path, { colour, dash, width }, density) {
  context.strokeStyle = colour;
  context.lineWidth = width * density;
  context.setLineDash(dash.map((length) => length * density));
  context.stroke(path);
}
