/* The rows of a table; of a long one, rows are made near the window, and taken away far from it. */
import { el } from "./dom.js";

/** Rows of a block, which are made together. */
const BLOCK = 50;
/** Rows of a table that is one block: the browser's own search finds all of them. */
const MOST_AT_ONCE_ROWS = 1000;
/** Height of a row in CSS pixels until one is seen. */
const ROW_PX = 103;

/** The bodies of a table. */
export class RowBlocks {
  constructor(table, columns, lineOf) {
    this.table = table;
    this.columns = columns;
    this.lineOf = lineOf;
    this.bodies = [];
    this.table.style.setProperty("--row-height", `${ROW_PX}px`);
    this.seen = new IntersectionObserver((changes) => {
      for (const { isIntersecting, target } of changes) {
        if (isIntersecting) this.show(target);
        else this.hide(target);
      }
    }, { rootMargin: "1500px" });
    window.addEventListener("beforeprint", () => this.bodies.forEach((body) => this.show(body)));
  }

  /** Show entries in their order. */
  fill(entries) {
    this.seen.disconnect();
    this.bodies.forEach((body) => body.remove());
    this.bodies = [];
    const size = entries.length > MOST_AT_ONCE_ROWS ? BLOCK : MOST_AT_ONCE_ROWS;
    for (let start = 0; start === 0 || start < entries.length; start += size) {
      const body = el("tbody");
      body.entries = entries.slice(start, start + size);
      this.bodies.push(body);
      if (start === 0) this.show(body);
      else body.append(this.place(body));
    }
    this.table.append(...this.bodies);
    if (this.bodies.length > 1) this.bodies.forEach((body) => this.seen.observe(body));
  }

  show(body) {
    if (body.shown) return;
    body.shown = true;
    body.replaceChildren(...body.entries.map(this.lineOf));
  }

  /** Put an empty row as high as its rows in a body's place. */
  hide(body) {
    const height = body.getBoundingClientRect().height;
    if (!body.shown || height === 0) return;
    body.shown = false;
    // Rows that were never seen are as high as those that were.
    this.table.style.setProperty("--row-height", `${height / body.entries.length}px`);
    body.replaceChildren(this.place(body, height));
  }

  place(body, height = null) {
    return el("tr", { class: "unseen-rows", "aria-hidden": "true" }, el("td", {
      colSpan: this.columns,
      style: { height: height === null ? `calc(${body.entries.length} * var(--row-height))` : `${height}px` },
    }));
  }
}
