/* A slide's prediction, ground truth and how far to trust its maps, in words. */
import { number, percent, predictedText, probability } from "./numbers.js";

/** Return a text with a full stop; its beginning, perhaps a class's name, is not changed. */
export const ended = (text) => text + (/[.!?]$/.test(text) ? "" : ".");
export const sentence = (text) => text.charAt(0).toUpperCase() + ended(text.slice(1));

/** Return a slide's prediction: "Prediction: MSIH 0.834, nonMSIH 0.166". */
export function predictionText(part) {
  const { task, unit } = part.target ?? { task: "classification", unit: "" };
  const known = part.classes.map((name, i) => [name, part.prediction[i]]).filter(([, value]) => value !== null && value !== undefined);
  if (task === "none") return "No model predicted anything";
  if (known.length === 0) return "No prediction";
  return `Prediction: ${known.map(([name, value]) => `${name} ${predictedText(value, task)}${unit ? ` ${unit}` : ""}`).join(", ")}`;
}

/** Return the ground truth of a row, and whether the prediction is it. */
export function truthText(row) {
  if (row.label === null || row.label === undefined) return "Ground truth: not given";
  const right = { true: " (predicted so)", false: " (not predicted so)" }[String(row.right)] ?? "";
  return `Ground truth: ${row.label}${right}`;
}

/** Return the warnings of a row: everything that one has to know before trusting it. */
export function warningsOf(row) {
  if (row.status === "failed") return [row.message];
  return [row.damaged, row.message, ...(row.warnings ?? [])].filter(Boolean);
}

/** Return sentences on how far to trust a slide's maps, without the warnings. */
export function trustTexts(row, part) {
  const { consistency, faithfulness, artefacts, models } = part;
  const texts = [];
  if (consistency.left_out) texts.push(`Tile by tile: ${ended(consistency.left_out)}`);
  else texts.push(`Tile by tile: the prediction differs by ${probability(consistency.gap)} from the map's${consistency.is_wide ? ", which is much" : ""}.`);
  const own = (faithfulness.classes ?? []).find((other) => other.class === part.true_class);
  if (own?.nothing) texts.push(`Faithfulness: ${own.nothing}`);
  else if (row.aupc !== null && row.aupc !== undefined) texts.push(`Faithfulness: AUPC ${predictedText(row.aupc, row.task)}, of random orders ${predictedText(row.aupc_random, row.task)}; lower is better.`);
  else texts.push(`Faithfulness: ${ended(faithfulness.left_out ?? "not measured")}`);
  if (artefacts.left_out) texts.push(`Artefacts: ${ended(artefacts.left_out)}`);
  else texts.push(`Artefacts: on ${percent(row.artefacts)} of the tissue.`);
  if (!models.left_out) texts.push(`Models: ${models.models.map((model) => `${model.name} ${memberText(part, model)}`).join(", ")}.`);
  return texts;
}

/** Return a single model's prediction of the class drawn hot. */
function memberText(part, model) {
  const value = model.prediction[part.classes.indexOf(part.true_class)];
  return part.target?.task === "regression" || part.target?.task === "survival" ? number(value) : probability(value);
}
