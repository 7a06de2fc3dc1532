/* Small pictures of the table's rows, and the printed pages of all slides: drawn one by one. */
import { el } from "./dom.js";
import { OpenSlide } from "./data.js";
import { pictureOf } from "./scene.js";
import { sheet, usualPane } from "./sheet.js";

/** Reports of more slides draw the pages of all slides only when they are to be printed. */
const MOST_AT_ONCE = 60;
const [THUMB_WIDTH, THUMB_HEIGHT] = [118, 88];

/** Return whether a row has data to draw here; those of a page of its own lie there. */
export function isDrawable(row) {
  return row.status !== "failed" && !row.damaged && row.folder !== null && !row.page;
}

/** The pictures of a run's slides. */
export class Pictures {
  constructor(run) {
    this.run = run;
    this.queue = Promise.resolve();
    this.thumbs = new Map();
    this.sheets = el("section", { id: "sheets" });
    this.pages = new Map(run.rows.filter(isDrawable).map((row) => [row, el("div", { class: "page" })]));
    this.sheets.append(...this.pages.values());
    this.seen = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        this.seen.unobserve(target);
        this.enqueue(target.row, false);
      }
    }, { rootMargin: "300px" });
  }

  /** Return the place of a row's pictures, drawn when it comes into view: slide, and its map. */
  thumb(row) {
    if (row.picture) return el("span", { class: "thumbs" }, el("img", { loading: "lazy", decoding: "async", src: row.picture, alt: "" }));
    const place = el("span", { class: "thumbs" });
    place.row = row;
    this.thumbs.set(row, place);
    if (isDrawable(row)) this.seen.observe(place);
    return place;
  }

  /** Draw the pages of all slides; more than a few only if the run is to be printed. */
  async prepare({ printing = false, onprogress = () => {} } = {}) {
    const rows = [...this.pages.keys()].filter((row) => this.pages.get(row).childElementCount === 0 && !this.pages.get(row).hidden);
    if (rows.length > MOST_AT_ONCE && !printing) return;
    for (const [index, row] of rows.entries()) {
      onprogress(index, rows.length);
      await this.enqueue(row, true);
    }
    document.body.classList.toggle("prepared", this.isPrepared);
  }

  /** Whether every page to print is drawn. */
  get isPrepared() {
    return [...this.pages.values()].every((page) => page.hidden || page.childElementCount > 0);
  }

  /** Print only the pages of some rows. */
  restrict(rows) {
    for (const [row, page] of this.pages) page.hidden = !rows.has(row);
  }

  enqueue(row, printed) {
    this.queue = this.queue.then(() => this.draw(row, printed)).catch((error) => this.fail(row, error));
    return this.queue;
  }

  async draw(row, printed) {
    const [thumb, page] = [this.thumbs.get(row), this.pages.get(row)];
    const wanted = printed && page.childElementCount === 0;
    if (thumb.childElementCount > 0 && !wanted) return;
    // The page stays responsive between two slides.
    await new Promise((done) => setTimeout(done));
    const slide = await OpenSlide.of(row);
    const pane = await usualPane(slide, slide.first());
    if (thumb.childElementCount === 0) this.drawThumbs(thumb, slide, pane);
    if (wanted) page.append(await imagesReady(sheet(this.run, row, slide, [pane])));
  }

  drawThumbs(place, slide, pane) {
    const size = { width: THUMB_WIDTH, height: THUMB_HEIGHT, ratio: Math.min(2, window.devicePixelRatio || 1), bar: false };
    const add = (scene, text) => {
      const { canvas, view } = pictureOf(slide, scene, size);
      canvas.style.width = `${view.width}px`;
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", text);
      canvas.title = text;
      place.append(canvas);
    };
    add({ map: null }, `Slide ${slide.row.slide}`);
    if (pane === null) place.append(el("span", { class: "soft" }, "no map"));
    else add({ ...pane, outlines: [] }, `${slide.row.slide} with ${pane.map.title}`);
  }

  fail(row, error) {
    const text = `no picture: ${error.message}`;
    this.thumbs.get(row)?.replaceChildren(el("span", { class: "soft" }, text));
    this.pages.get(row)?.replaceChildren(el("article", { class: "sheet" }, el("h2", {}, row.slide), el("p", {}, text)));
  }
}

/** Wait until an element's images can be drawn. */
export async function imagesReady(element) {
  await Promise.all([...element.querySelectorAll("img")].map((image) => image.decode()));
  return element;
}
