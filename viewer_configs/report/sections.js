/* The cards of a slide's results; one card lists missing results with the reasons. */
import { card, chooser, el, labelled, table } from "./dom.js";
import { count, counted, number, percent, predictedText, probability, shareText } from "./numbers.js";
import { drawnCurves, LINES } from "./curves.js";
import { outlineSample, totalsText } from "./legend.js";
import { about } from "./terms.js";
import { tileStrip } from "./tiles.js";
import { ended, sentence } from "./trust.js";

/** Results that may be missing: name in the data, title, and the function that makes the card. */
const SECTIONS = [
  ["faithfulness", "How faithful the maps are", (part) => faithfulnessCard(part)],
  ["consistency", "Tile-by-tile prediction against the map's", (part) => consistencyCard(part)],
  ["regions", "Where the evidence is", (part, choose) => regionsCard(part, choose.region)],
  ["tiles", "Tiles that speak for and against the class", (part, choose) => tilesCard(part, choose.tile)],
  ["artefacts", "Artefacts", (part) => artefactsCard(part)],
  ["models", "Single models", (part) => modelsCard(part)],
];

/** Return the cards of a slide, and one that lists missing results with the reasons. */
export function cards(run, part, provenance, choose) {
  const has = ([name]) => !part[name].left_out;
  const missing = SECTIONS.filter((section) => !has(section) && section[0] !== "models");
  return [
    ...SECTIONS.filter(has).map(([, , make]) => make(part, choose)),
    provenanceCard(run, part, provenance),
    missing.length === 0 ? null : card("Not available", el("dl", {}, missing.map(([name, title]) => [
      el("dt", {}, title), el("dd", {}, sentence(part[name].left_out))]))),
  ];
}

/** Return the class probabilities as bars, at most some; a value or a risk as a number. */
export function predictionBars(part, most = Infinity) {
  const { task, unit } = part.target ?? { task: "classification", unit: "" };
  if (task === "none") return el("p", { class: "prediction soft" }, "The maps were given; no model predicted anything.");
  if (task === "regression" || task === "survival") {
    return el("div", { class: "prediction" }, part.classes.map((name, i) =>
      el("p", {}, `${name} `, el("b", {}, predictedText(part.prediction[i], task)), unit ? ` ${unit}` : "")));
  }
  const listed = part.classes.map((name, i) => [name, part.prediction[i]]);
  if (listed.length > most) listed.sort(([a, p], [b, q]) => (b === part.true_class) - (a === part.true_class) || q - p);
  const rest = listed.length - most;
  return el("div", { class: "prediction" }, listed.slice(0, most).map(([name, share]) => {
    const bar = el("i", { style: { width: `${100 * (share ?? 0)}%`, background: part.class_colours[name] } });
    return el("div", { class: "class" }, el("span", { class: "name" }, name, name === part.true_class ? el("em", {}, " drawn hot") : null),
      el("span", { class: "track" }, bar), el("span", { class: "value" }, probability(share)));
  }), rest > 0 ? el("p", { class: "soft" }, `and ${counted(rest, "other class", "other classes")}`) : null);
}

/** Return the card that compares the map's prediction with the one tile by tile. */
function consistencyCard({ consistency, target }) {
  const { classes, dense, plain } = consistency;
  const rows = classes.map((name, i) => ({ cells: [name, predictedText(dense[i], target?.task), predictedText(plain[i], target?.task)] }));
  return card("Tile-by-tile prediction against the map's", about("consistency"),
    el("p", { class: consistency.is_wide ? "warning" : "fine", id: "consistency" }, ended(consistency.sentence)),
    table([["Class"], ["Map", true], ["Tile by tile", true]], rows));
}

/** Return the perturbation curves, or the reason why there is nothing to measure. */
function faithfulnessCard({ faithfulness, true_class: hot, target }) {
  const title = "How faithful the maps are";
  const place = el("div");
  const show = (name) => {
    const result = faithfulness.classes.find((other) => other.class === name) ?? faithfulness.classes[0];
    if (result.nothing) {
      place.replaceChildren(el("p", { class: "nothing" }, result.nothing));
      return;
    }
    const areas = LINES.filter(([map]) => map in result.aupc).sort(([a], [b]) => result.aupc[a] - result.aupc[b]);
    place.replaceChildren(drawnCurves(result, faithfulness), el("ul", { class: "key" }, areas.map(([map, colour, dashes]) => el("li", {},
      el("i", { class: dashes ? "dashed" : "", style: { "border-color": colour } }), map, " ", el("b", {}, predictedText(result.aupc[map], target?.task))))));
  };
  const names = faithfulness.classes.map((result) => [result.class, result.class]);
  const chosen = names.some(([name]) => name === hot) ? hot : names[0][0];
  show(chosen);
  return card(title, about("aupc"), names.length > 1 ? labelled("Class", chooser(names, chosen, show)) : null, place,
    el("p", { class: "soft" }, "Area under the curve (AUPC), lower is better. A map that is not below the random order ",
      `(the mean of ${faithfulness.random_orders}) does not explain its class.`));
}

/** Return the regions; `onchoose` is called with the region of a chosen row. */
function regionsCard(part, onchoose) {
  const { regions: found, evidence: totals = null } = part;
  const shares = [...found.regions].sort((a, b) => b.share_of_evidence - a.share_of_evidence);
  const rows = shares.map((region) => {
    const button = el("button", { type: "button", class: "link", onclick: () => {
      for (const other of place.querySelectorAll("tr[aria-current]")) other.removeAttribute("aria-current");
      button.closest("tr").setAttribute("aria-current", "true");
      onchoose(region);
    } }, region.name);
    return { cells: [el("span", { class: "mark" }, outlineSample(part, region.kind), button),
      shareText(region.share_of_evidence, totals), percent(region.share_of_tissue),
      `${number(region.area_mm2)} mm²`, probability(region.mean_score), number(region.contribution)] };
  });
  const place = el("div", {}, rows.length ? table([["Region"], ["Share of evidence", true], ["Share of tissue", true], ["Area", true],
    ["Mean score", true], ["Contribution", true]], rows, { id: "regions" }) : el("p", {}, "There are no regions."));
  return card("Where the evidence is", about("regions"), el("p", {}, ended(found.sentence)), totals ? el("p", { id: "totals" }, totalsText(totals)) : null, place,
    el("p", { class: "soft" }, `Hot regions are evidence for ${found.class}, cold regions (dashed) against it. A hot region's share is of all evidence for the class, a cold one's of all evidence against it.`));
}

/** Return the picked tiles; `onchoose` is called with the tile to show on the slide. */
function tilesCard(part, onchoose) {
  const { tiles: picked } = part;
  const scored = picked.tiles.some((tile) => tile.score !== null);
  return card("Tiles that speak for and against the class",
    tileStrip(part, "top", `For ${picked.class}`, onchoose), tileStrip(part, "bottom", `Against ${picked.class}`, onchoose),
    el("p", { class: "soft" }, `Rank and ${scored ? "score" : "share of the evidence"} of the ${picked.unit === "tile" ? "tile" : "middle cell"}; click a tile to enlarge it.`));
}

/** Return the shares of tissue and evidence on artefacts. */
function artefactsCard({ artefacts, evidence: totals = null }) {
  const rows = artefacts.kinds.map(({ kind, cells, evidence, hottest }) => ({ cells: [kind, percent(cells), shareText(evidence, totals), percent(hottest)] }));
  const excluded = Object.entries(artefacts.excluded ?? {}).map(([kind, cells]) => `${kind} ${count(cells)}`);
  return card("Artefacts", about("artefacts"), table([["Looks like"], ["Share of tissue", true], [`Share of evidence for ${artefacts.class}`, true], ["Share of the cells hottest in attention", true]], rows),
    ...(excluded.length ? [el("p", { class: "soft" }, `Left out of maps and prediction: ${excluded.join(", ")} cells.`)] : []));
}

/** Return the predictions of the single models. */
function modelsCard({ models: members, classes, target }) {
  const rows = members.models.map((model) => ({ cells: [model.name, ...model.prediction.map((value) => predictedText(value, target?.task)), el("code", {}, model.digest.slice(0, 12))] }));
  return card("Single models", table([["Model"], ...classes.map((name) => [name, true]), ["Digest"]], rows));
}

/** Return the names of the files of a slide's models, as far as they are known. */
function modelFiles(run, model) {
  if (model?.members) return model.members.map((member) => member.name);
  return model?.digest === run.model_digest ? run.model_files ?? [] : [];
}

/** Return the origin of the slide's results. */
function provenanceCard(run, part, provenance) {
  const { slide, grid } = part;
  const code = (text) => el("code", {}, text ?? "–");
  const files = modelFiles(run, provenance.model);
  const facts = [
    ["Slide", provenance.slide?.name ?? slide.name],
    ["Fingerprint", code(provenance.slide?.fingerprint)],
    ["Size at level 0", `${count(slide.cols)} × ${count(slide.rows)} pixels`],
    ["Pixel size", `${number(slide.mpp.x, 4)} × ${number(slide.mpp.y, 4)} µm, from ${slide.mpp_source}`],
    ["Grid", `${count(grid.shape.cols)} × ${count(grid.shape.rows)} cells of ${number(grid.l0_cell.x * grid.mpp.x, 4)} × ${number(grid.l0_cell.y * grid.mpp.y, 4)} µm, ${count(part.tissue_cells)} on tissue`],
    ["First cell begins at", `x ${number(grid.l0_origin.x, 4)}, y ${number(grid.l0_origin.y, 4)} level-0 pixels`],
    [files.length > 1 ? "Models" : "Model", files.length ? [files.join(", "), " "] : null, code(provenance.model?.digest)],
    ["Extractor", provenance.extractor ? [provenance.extractor.name || "unknown", provenance.extractor.precision ? ` (${provenance.extractor.precision}) ` : " ", code(provenance.extractor.digest)] : "–"],
    ["Pooling", provenance.pooling ? Object.values(provenance.pooling).join(", ") : "–"],
    ["Colours from", provenance.scaling ? `${counted(provenance.scaling.slides, "slide")}, ${count(provenance.scaling.cells)} cells` : "–"],
    ["Made", provenance.created ?? "–"],
    ["Files", `${count(provenance.files ?? 0)} in ${slide.name}/, their sha256 in provenance.json`],
    ["Raw values", code(`${slide.name}/${slide.name}.values.ome.zarr`)],
  ];
  const list = (pairs) => el("dl", {}, pairs.map(([name, ...values]) => [el("dt", {}, name), el("dd", {}, values)]));
  const options = Object.entries(provenance.options ?? {}).map(([name, value]) => [name.replaceAll("_", "-"), JSON.stringify(value)]);
  const more = (title, pairs) => (pairs.length ? el("details", {}, el("summary", {}, title), list(pairs)) : null);
  return card("Provenance", list(facts), more("Options", options), more("Versions", Object.entries(provenance.versions ?? {})));
}
