/* Explains the words of the report. */
import { el } from "./dom.js";

export const RESEARCH = "For research, not for diagnosis.";

/** Word → [title, explanation]. Kinds of maps have their own keys. */
export const TERMS = {
  hot: ["Drawn hot", "The class that the maps show in hot colours. It was chosen for the run; it is neither the prediction nor the ground truth."],
  truth: ["Ground truth", "The slide's label in the table of slides that was given. The model did not see it in this run."],
  attention: ["Attention", "How much the model looks at a cell. High attention says that a cell weighs much, not for which class."],
  "class-attention": ["Attention for a class", "How much the model looks at a cell when it weighs this class."],
  score: ["Score", "The class's probability if the slide were this one cell. A cell without attention may have a high score and still not matter."],
  prediction: ["Prediction", "The value that the model would predict from this tile alone."],
  value: ["Value", "A value that was given with the tiles."],
  contribution: ["Contribution", "The cell's part of the slide's logit for a class: attention times score. It is drawn times the number of cells, as the slide's logit if all cells were like this one, so that slides of any size compare."],
  evidence: ["Evidence", "The contribution to a class less the mean of all classes: what speaks for this class rather than another."],
  "leave-one-out": ["Leave-one-out", "How far the prediction falls if this cell or tile is left out."],
  "sd-score": ["Spread", "How far several models differ in the score of a cell: their standard deviation."],
  winner: ["Winner", "The class with the highest score of each cell, whatever its attention."],
  margin: ["Margin", "The score of a class less that of its strongest rival."],
  artefacts: ["Artefacts", "Cells that look like pen, dirt, folds or blur by simple measures of colour and sharpness. What the model reads there may be no tissue."],
  difference: ["Difference of two maps", "The first map's drawn value less the second's, cell by cell. Only maps of one unit can be subtracted."],
  regions: ["Hot and cold regions", "The fewest cells that carry most of the evidence for a class (hot) or against it (cold), joined where they touch."],
  aupc: ["AUPC", "Area under the perturbation curve: cells are removed, hottest first, and the prediction is followed. The lower, the better the map explains the prediction. It should be below that of a random order."],
  consistency: ["Tile by tile", "Maps are computed from the whole slide at once; in training, each tile went through the network by itself. The difference between both predictions tells how far the map's numbers can be trusted."],
  auroc: ["AUROC", "Area under the ROC curve: the chance that a slide of the class has a higher probability of it than a slide of another class. 0.5 is guessing, 1 is perfect. Few slides make it uncertain."],
};

/** Return a small button that opens the explanation of a word. */
export function about(key) {
  if (TERMS[key] === undefined) return null;
  const [title, text] = TERMS[key];
  return el("details", { class: "about" }, el("summary", { "aria-label": `About: ${title}`, title: `About: ${title}` }, "?"), el("p", {}, el("b", {}, `${title}. `), text));
}

/** Return all words with their explanations. */
export function glossary() {
  return el("details", { id: "glossary" }, el("summary", {}, "What the words mean"),
    el("dl", {}, Object.values(TERMS).map(([title, text]) => [el("dt", {}, title), el("dd", {}, text)])));
}

/** Return the line that stands on every page. */
export function research() {
  return el("p", { class: "research" }, RESEARCH);
}
