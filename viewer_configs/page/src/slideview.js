/** The viewer of the slide: OpenSeadragon with exact places, in µm instead of its own frame. */

import OpenSeadragon from "openseadragon";

import { slideSize } from "./placement.js";

const CACHED_TILES = 96;
const LOADS_AT_ONCE = 8;
const DROPPED = "Ignoring tile";

/**
 * Draws tiles at their exact places.
 *
 * OpenSeadragon widens each tile by a screen pixel to hide the seams between them, which moves the
 * tile's content. Here tiles keep their size, and `snapTile` hides the seams.
 */
class ExactDrawer extends OpenSeadragon.CanvasDrawer {
  minimumOverlapRequired() {
    return false;
  }
}

/** Move a tile's edges, which its neighbours share, to whole screen pixels. */
function snapTile({ context, tile }) {
  const density = OpenSeadragon.pixelDensityRatio;
  const x = snapped(tile.position.x * density, tile.size.x * density);
  const y = snapped(tile.position.y * density, tile.size.y * density);
  context.translate(x.shift, y.shift);
  context.scale(x.factor, y.factor);
}

function snapped(start, size) {
  const first = Math.round(start);
  const factor = (Math.round(start + size) - first) / size;
  return { shift: first - start * factor, factor };
}

/** Suppress warnings of tiles that arrive after their slide was closed: they are no fault. */
function quietDroppedTiles() {
  const { console: loud } = OpenSeadragon;
  OpenSeadragon.console = Object.create(loud, {
    warn: {
      value: (message, ...rest) => {
        if (!String(message).startsWith(DROPPED)) loud.warn(message, ...rest);
      },
    },
  });
}

/** The slide's view; `onDraw` handlers run after each frame, `onMove` ones when the view is left at rest. */
export class SlideView {
  #slide = null;
  #source = null;

  constructor(element, navigatorElement) {
    quietDroppedTiles();
    this.element = element;
    this.viewer = new OpenSeadragon.Viewer({
      element,
      drawer: ExactDrawer,
      showNavigationControl: false,
      showNavigator: true,
      navigatorElement,
      keyboardNavEnabled: false,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
      smoothTileEdgesMinZoom: Infinity,
      subPixelRoundingForTransparency: OpenSeadragon.SUBPIXEL_ROUNDING_OCCURRENCES.NEVER,
      maxZoomPixelRatio: 16,
      minZoomImageRatio: 0.5,
      visibilityRatio: 0.2,
      maxImageCacheCount: CACHED_TILES,
      imageLoaderLimit: LOADS_AT_ONCE,
      maxTilesPerFrame: 4,
      animationTime: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 0.6,
      blendTime: 0,
      crossOriginPolicy: false,
    });
    for (const viewer of [this.viewer, this.viewer.navigator]) viewer.addHandler("tile-drawing", snapTile);
    this.viewer.canvas.setAttribute("aria-label", "Slide. Arrow keys move it, plus and minus zoom.");
    this.viewer.canvas.setAttribute("role", "application");
  }

  onDraw(handler) {
    this.viewer.addHandler("update-viewport", handler);
    this.viewer.addHandler("open", handler);
    this.viewer.addHandler("resize", () => requestAnimationFrame(handler));
  }

  onRest(handler) {
    for (const name of ["animation-finish", "resize", "pan", "zoom"]) this.viewer.addHandler(name, handler);
  }

  /** Show all of a slide; resolves when its tiles are added. */
  show(slide, source, umImageWidth) {
    this.close();
    this.#slide = slide;
    this.#source = source;
    return new Promise((resolve) => {
      const width = umImageWidth / slideSize(slide).x;
      const success = () => {
        this.viewer.viewport.goHome(true);
        resolve();
      };
      this.viewer.addTiledImage({ tileSource: source, x: 0, y: 0, width, success, error: resolve });
    });
  }

  close() {
    this.#source?.stop();
    this.#source = null;
    this.#slide = null;
    this.viewer.world.removeAll();
  }

  get slide() {
    return this.#slide;
  }

  /** Whether all tiles of the present view are drawn. */
  get complete() {
    const item = this.viewer.world.getItemAt(0);
    return item ? item.getFullyLoaded() : true;
  }

  get #umPerUnit() {
    return slideSize(this.#slide).x;
  }

  /** Return a place of the slide in CSS pixels of the viewer's element. */
  pxFromUm(umX, umY) {
    const unit = this.#umPerUnit;
    return this.viewer.viewport.pixelFromPoint(new OpenSeadragon.Point(umX / unit, umY / unit), true);
  }

  /** Return the place in µm under a CSS pixel of the viewer's element. */
  umFromPx(pxX, pxY) {
    const unit = this.#umPerUnit;
    const point = this.viewer.viewport.pointFromPixel(new OpenSeadragon.Point(pxX, pxY), true);
    return { x: point.x * unit, y: point.y * unit };
  }

  screenFromUm(umX, umY) {
    const box = this.viewer.element.getBoundingClientRect();
    const px = this.pxFromUm(umX, umY);
    return { x: px.x + box.left, y: px.y + box.top };
  }

  umFromScreen(clientX, clientY) {
    const box = this.viewer.element.getBoundingClientRect();
    return this.umFromPx(clientX - box.left, clientY - box.top);
  }

  /** Return the µm per CSS pixel, now or at the end of the animation. */
  umPerPx(current = true) {
    const { viewport } = this.viewer;
    return (viewport.getBounds(current).width * this.#umPerUnit) / viewport.getContainerSize().x;
  }

  /** Return the middle of the view and its scale, as it will be at rest: { x, y, zoom }. */
  place() {
    const centre = this.viewer.viewport.getCenter(false);
    return { x: centre.x * this.#umPerUnit, y: centre.y * this.#umPerUnit, zoom: this.umPerPx(false) };
  }

  /** Show a place, or the nearest one that is not far off the slide. */
  goTo({ x, y, zoom }) {
    const { viewport } = this.viewer;
    const unit = this.#umPerUnit;
    const size = slideSize(this.#slide);
    viewport.zoomTo(unit / (viewport.getContainerSize().x * zoom), null, true);
    viewport.panTo(new OpenSeadragon.Point(near(x, size.x) / unit, near(y, size.y) / unit), true);
    viewport.applyConstraints(true);
  }

  home(immediately = false) {
    if (this.#slide) this.viewer.viewport.goHome(immediately);
  }

  zoomBy(factor) {
    if (!this.#slide) return;
    this.viewer.viewport.zoomBy(factor);
    this.viewer.viewport.applyConstraints();
  }

  /** Move the view by a part of its width and height. */
  panBy(partX, partY) {
    if (!this.#slide) return;
    const { viewport } = this.viewer;
    const bounds = viewport.getBounds(false);
    viewport.panBy(new OpenSeadragon.Point(bounds.width * partX, bounds.height * partY));
    viewport.applyConstraints();
  }

  /** Show the slide in grey, so that a map's colours stand out, or in its own colours. */
  setGrey(grey) {
    for (const viewer of [this.viewer, this.viewer.navigator]) {
      viewer.drawer.canvas.style.filter = grey ? "grayscale(1)" : "";
    }
  }

}

function near(um, size) {
  return Math.min(1.5 * size, Math.max(-0.5 * size, um));
}
