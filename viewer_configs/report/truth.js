/* Compares the predictions of all slides with the ground truth of the table of slides. */
import { card, el } from "./dom.js";
import { counted, number, percent, probability } from "./numbers.js";
import { about } from "./terms.js";
import { ended } from "./trust.js";

/** Return the card of a run's agreement with the ground truth, null without labels. */
export function truthCard({ agreement: found, classes }) {
  if (!found) return null;
  return card("Against the ground truth", about("auroc"), about("truth"),
    found.left_out ? el("p", {}, `Not compared: ${ended(found.left_out)}`) : null,
    found.values ? valuesText(found) : null,
    found.classes ? classesText(found) : null,
    found.confusion && found.n > 0 ? confusionTable(found, classes) : null,
    apartText(found));
}

function valuesText({ n, values }) {
  return el("p", {}, "Of ", counted(n, "slide"), ": correlation r ", el("b", {}, number(values.r)), ", mean absolute error ", el("b", {}, number(values.mae)), ".");
}

function classesText({ n, right, classes }) {
  const known = classes.filter((entry) => entry.auroc !== null);
  const right_ = right === null ? "" : `${right} of ${counted(n, "slide")} predicted right${n > 0 ? ` (${percent(right / n)})` : ""}. `;
  if (known.length === 0) return el("p", {}, right_, "No AUROC: the ground truth has only one class.");
  // Of two classes, either has the same area.
  const some = classes.length === 2 ? known.slice(0, 1) : known;
  return el("p", {}, right_, some.map((entry, index) => [index ? "; " : "",
    `AUROC of ${entry.class} `, el("b", {}, probability(entry.auroc)), ` (${counted(entry.positives, "slide")} of it, ${entry.negatives} of ${classes.length === 2 ? classes.find((other) => other !== entry).class : "others"})`]), ".",
  classes.length > 2 && known.length < classes.length ? ` No AUROC of classes that no slide has, or all: ${classes.filter((entry) => entry.auroc === null).map((entry) => entry.class).join(", ")}.` : "");
}

function confusionTable({ confusion }, classes) {
  const most = Math.max(1, ...confusion.flat());
  return el("div", { class: "scroll" }, el("table", { id: "confusion" },
    el("caption", {}, "Slides by ground truth (rows) and prediction (columns)"),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Ground truth"), classes.map((name) => el("th", { scope: "col", class: "number" }, name)))),
    el("tbody", {}, classes.map((truth, row) => el("tr", {}, el("th", { scope: "row" }, truth), classes.map((_, col) => el("td", {
      class: `number${row === col ? " right" : ""}`, style: { "--share": `${Math.round(55 * (confusion[row][col] / most))}%` },
    }, String(confusion[row][col]))))))));
}

function apartText({ others = {}, others_are_negative: negative, unpredicted }) {
  const named = Object.entries(others).map(([label, n]) => `${label} (${n})`).join(", ");
  const n = Object.values(others).reduce((sum, value) => sum + value, 0);
  const texts = [
    n && negative ? `These labels count as not of the class: ${named}.` : "",
    n && !negative ? `${counted(n, "slide")} counted apart, as the model cannot predict the label: ${named}.` : "",
    unpredicted ? `${counted(unpredicted, "slide")} with ground truth without a prediction.` : "",
  ].filter(Boolean);
  return texts.length ? el("p", { class: "soft", id: "apart" }, texts.join(" ")) : null;
}
