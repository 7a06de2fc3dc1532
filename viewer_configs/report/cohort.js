/* The table of all slides: sorted by any column, filtered by text, class, warnings and errors. */
import { chooser, el, labelled } from "./dom.js";
import { counted, number, percent, predictedText, probability } from "./numbers.js";
import { hashOf } from "./slide.js";
import { TERMS } from "./terms.js";
import { warningsOf } from "./trust.js";
import { RowBlocks } from "./rows.js";
import { truthCard } from "./truth.js";

const isWarned = (row) => warningsOf(row).length > 0;
const explained = (key) => TERMS[key][1];

/** Columns of the run's table; `rows` decide whether predictions are probabilities, values or risks. */
function columns(run, pictures) {
  const isValue = run.rows.some((row) => ["regression", "survival"].includes(row.task));
  const hot = run.true_class;
  return [
    { key: "pictures", title: "Slide and map", of: () => null, cell: (row) => el("a", { class: "thumb-link", href: hashOf(row), tabindex: -1, "aria-hidden": "true" }, pictures.thumb(row)) },
    { key: "slide", title: "Slide", of: (row) => row.slide.toLowerCase(), cell: (row) => nameCell(row) },
    { key: "label", title: "Ground truth", about: explained("truth"), of: (row) => row.label ?? null, cell: (row) => [row.label ?? "", row.right === false ? el("span", { class: "wrong" }, " ≠ prediction") : ""] },
    { key: "predicted", title: "Prediction", of: (row) => row.predicted ?? null, cell: (row) => predictionCell(row, run) },
    { key: "probability", title: isValue ? hot : `P(${hot})`, about: isValue ? `Predicted ${hot}` : `Probability of ${hot}, the class drawn hot`, of: (row) => row.probability, cell: (row) => predictedText(row.probability, row.task) },
    { key: "tissue", title: "Tissue, mm²", of: (row) => row.tissue_mm2, cell: (row) => number(row.tissue_mm2) },
    { key: "gap", title: "Difference", about: `Largest difference between the tile-by-tile prediction and the map's. ${explained("consistency")}`, of: (row) => row.gap, cell: (row) => predictedText(row.gap, row.task) },
    { key: "aupc", title: "AUPC", about: `Of the map of contributions or, without these, of leave-one-out. ${explained("aupc")}`, of: (row) => row.aupc, cell: (row) => predictedText(row.aupc, row.task) },
    { key: "random", title: "Random", about: "AUPC of random orders, which the map should be below", of: (row) => row.aupc_random, cell: (row) => predictedText(row.aupc_random, row.task) },
    { key: "artefacts", title: "Artefacts", about: `Share of the tissue. ${explained("artefacts")}`, of: (row) => row.artefacts, cell: (row) => percent(row.artefacts) },
    { key: "warnings", title: "Warnings", of: (row) => warningsOf(row).length + (row.status === "failed" || row.damaged ? 1e6 : 0), cell: (row) => warningCell(row) },
  ];
}

const NUMBERS = new Set(["probability", "tissue", "gap", "aupc", "random", "artefacts"]);
const ALWAYS = new Set(["pictures", "warnings"]);

/** Return whether a column has anything to show. */
function isUsed(column, rows) {
  return ALWAYS.has(column.key) || rows.some((row) => (row.status === "failed" && column.key !== "label") || (column.of(row) !== null && column.of(row) !== undefined));
}

function nameCell(row) {
  const stem = row.slide.replace(/\.[^.]*$/, "");
  const name = row.folder && row.folder !== stem && row.folder !== row.slide ? row.folder : null;
  return [el("a", { href: hashOf(row) }, row.slide), name ? el("span", { class: "soft" }, ` ${name}`) : ""];
}

function predictionCell(row, run) {
  if (row.status === "failed" || row.damaged) return el("span", { class: "status failed" }, row.damaged ? "damaged" : "failed");
  const values = Object.entries(row.prediction ?? {}).filter(([, value]) => value !== null);
  if (!row.predicted && values.length) return el("span", {}, values.map(([name, value]) => `${name} ${predictedText(value, row.task)}`).join(", "));
  if (!row.predicted) return el("span", { class: "soft" }, "no prediction");
  const parts = run.classes.map((name) => el("i", {
    style: { "flex-grow": String(row.prediction[name] ?? 0), background: run.class_colours[name] },
  }));
  const text = run.classes.map((name) => `${name} ${probability(row.prediction[name])}`).join(", ");
  return [el("span", { class: "stack", role: "img", "aria-label": text, title: text }, parts), el("span", {}, row.predicted)];
}

function warningCell(row) {
  const texts = warningsOf(row);
  if (texts.length === 0) return el("span", { class: "soft" }, "none");
  const more = texts.length > 1 ? ` (+ ${texts.length - 1})` : "";
  return el("span", { class: "warned", title: texts.join("\n") }, `⚠ ${texts[0]}${more}`);
}

/** Sort rows by a column; rows without a value come last in both directions. */
function sorted(rows, column, down) {
  const missing = (value) => value === null || value === undefined || Number.isNaN(value);
  const compare = new Intl.Collator(undefined, { numeric: true }).compare;
  return [...rows].sort((a, b) => {
    const [first, second] = [column.of(a.row), column.of(b.row)];
    if (missing(first) || missing(second)) return missing(first) - missing(second);
    const order = typeof first === "number" ? first - second : compare(first, second);
    return down ? -order : order;
  });
}

/** The table of all slides. */
export class Cohort {
  constructor(run, pictures) {
    this.run = run;
    this.pictures = pictures;
    this.columns = columns(run, pictures).filter((column) => isUsed(column, run.rows));
    this.filter = { text: "", name: "", warned: false, wrong: false };
    this.order = { key: null, down: false };
    this.lines = run.rows.map((row) => ({ row, text: `${row.slide} ${row.folder ?? ""} ${row.label ?? ""} ${row.message} ${row.predicted ?? ""} ${row.status}`.toLowerCase(), line: null, matches: true }));
    this.table = el("table", { id: "slides" }, this.head());
    this.blocks = new RowBlocks(this.table, this.columns.length, (entry) => { entry.line ??= this.line(entry.row); return entry.line; });
    this.shown = el("p", { id: "shown", role: "status" });
    this.element = el("div", {}, this.summary(), truthCard(run), this.tools(), el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of slides" }, this.table),
      el("p", { class: "soft", id: "unprepared" }, "The pages of single slides are added by the button “Print or save as PDF”."));
    this.recall();
    this.apply();
  }

  line(row) {
    const cells = this.columns.map((column) => el(column.key === "slide" ? "th" : "td", { scope: column.key === "slide" ? "row" : null, class: `${NUMBERS.has(column.key) ? "number " : ""}is-${column.key}`, "data-title": column.title }, column.cell(row)));
    return el("tr", { onclick: (event) => {
      if (event.target.closest("a") === null && window.getSelection().isCollapsed) window.location.assign(hashOf(row));
    } }, cells);
  }

  head() {
    const heads = this.columns.map((column) => {
      if (column.key === "pictures") return el("th", { scope: "col", class: "is-pictures" }, column.title);
      const button = el("button", { type: "button", title: column.about ?? "", onclick: () => this.sortBy(column.key) }, column.title, el("span", { class: "arrow", "aria-hidden": "true" }));
      return el("th", { scope: "col", class: `${NUMBERS.has(column.key) ? "number " : ""}is-${column.key}`, "data-key": column.key }, button);
    });
    this.heads = heads;
    return el("thead", {}, el("tr", {}, heads));
  }

  summary() {
    const { rows, classes } = this.run;
    const failed = rows.filter((row) => row.status === "failed").length;
    const warnings = rows.filter((row) => row.status !== "failed" && isWarned(row)).length;
    const wrong = rows.filter((row) => row.right === false).length;
    const predicted = classes.map((name) => [name, rows.filter((row) => row.predicted === name).length]).filter(([, n]) => n > 0);
    return el("div", { id: "summary" },
      el("p", {}, el("b", {}, counted(rows.length, "slide")), failed ? `, ${failed} failed` : "", warnings ? `, ${warnings} with warnings` : ", no warnings", wrong ? `, ${wrong} predicted otherwise than the ground truth` : "",
        predicted.length ? ". Predicted: " : ".", predicted.map(([name, n], i) => [i ? ", " : "", el("i", { class: "dot", style: { background: this.run.class_colours[name] } }), `${name} ${n}`]), predicted.length ? "." : ""),
      rows.some((row) => row.page) ? el("p", { class: "soft", id: "own-pages" }, "Each slide has a page of its own, in the folder “report” beside this file.") : null);
  }

  tools() {
    const { filter } = this;
    const text = el("input", { type: "search", id: "filter-text", placeholder: "name, class or message", autocomplete: "off", oninput: () => { filter.text = text.value.toLowerCase(); this.apply(); } });
    const name = chooser([["", "all"], ...this.run.classes.map((label) => [label, label])], "", (value) => { filter.name = value; this.apply(); });
    name.id = "filter-class";
    const tick = (id, key, label) => {
      const box = el("input", { type: "checkbox", id, onchange: () => { filter[key] = box.checked; this.apply(); } });
      return el("label", { class: "tick" }, box, label);
    };
    const order = chooser([["", "the run's order"], ...this.columns.filter((column) => column.key !== "pictures").map((column) => [column.key, column.title])], "", (key) => { if (key) this.sortBy(key); });
    order.id = "sort-by";
    const hasClasses = this.run.rows.some((row) => row.predicted);
    const hasTruth = this.run.rows.some((row) => row.right !== null && row.right !== undefined);
    return el("div", { id: "tools" }, labelled("Find", text), hasClasses ? labelled("Predicted", name) : null,
      el("div", { class: "narrow-only" }, labelled("Sort by", order)),
      tick("filter-warnings", "warned", "Only with warnings"), hasTruth ? tick("filter-wrong", "wrong", "Only wrong") : null,
      this.printButton(), this.shown);
  }

  printButton() {
    const button = el("button", { type: "button", id: "print-all", onclick: async () => {
      button.disabled = true;
      await this.pictures.prepare({ printing: true, onprogress: (index, n) => { button.textContent = `Drawing page ${index + 1} of ${n}…`; } });
      button.textContent = PRINT;
      button.disabled = false;
      window.print();
    } }, PRINT);
    return button;
  }

  sortBy(key) {
    const column = this.columns.find((other) => other.key === key);
    this.order = { key, down: this.order.key === key ? !this.order.down : NUMBERS.has(key) || key === "warnings" };
    for (const head of this.heads) {
      const own = head.dataset.key === key;
      if (own) head.setAttribute("aria-sort", this.order.down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    }
    this.lines = sorted(this.lines, column, this.order.down);
    this.fill();
  }

  apply() {
    const { text, name, warned, wrong } = this.filter;
    const rows = new Set();
    for (const entry of this.lines) {
      const { row } = entry;
      const matches = entry.text.includes(text) && (!name || row.predicted === name) && (!warned || isWarned(row)) && (!wrong || row.right === false);
      entry.matches = matches;
      if (matches) rows.add(row);
    }
    this.shown.textContent = rows.size === this.lines.length ? "" : `${rows.size} of ${this.lines.length} shown`;
    this.pictures.restrict(rows);
    this.fill();
  }

  /** Show the lines that match, and note sorting and filters for the way back to the table. */
  fill() {
    this.blocks.fill(this.lines.filter((entry) => entry.matches));
    if (this.run.rows.some((row) => row.page)) window.history.replaceState({ filter: this.filter, order: this.order }, "");
  }

  /** Take up sorting and filters as they were when a slide's own page was opened. */
  recall() {
    const { filter, order } = window.history.state ?? {};
    if (!filter || !order) return;
    Object.assign(this.filter, filter);
    const set = (id, key, value) => { const control = this.element.querySelector(id); if (control) control[key] = value; };
    set("#filter-text", "value", filter.text);
    set("#filter-class", "value", filter.name);
    set("#filter-warnings", "checked", filter.warned);
    set("#filter-wrong", "checked", filter.wrong);
    if (!this.columns.some((column) => column.key === order.key)) return;
    this.order = { key: order.key, down: !order.down };
    this.sortBy(order.key);
  }

  /** Return the rows before and after a row in the sorted and filtered table. */
  neighbours(row) {
    const rows = this.lines.filter((entry) => entry.matches || entry.row === row).map((entry) => entry.row);
    const at = rows.indexOf(row);
    return { before: rows[at - 1], after: rows[at + 1] };
  }
}

const PRINT = "Print or save as PDF";
