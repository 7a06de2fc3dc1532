/* The cards of a slide's results; one card lists missing results with the reasons. */
import { card, chooser, el, labelled } from "./dom.js";
import { count, counted, decimals, number, percent } from "./numbers.js";
import { drawnCurves, LINES } from "./curves.js";


/** Return a table; `heads` are [text, is a number] pairs and cells can be anything that can be appended. */
function table(heads, rows, props = {}) {
  const kind = (index) => (heads[index][1] ? "number" : null);
  return el("div", { class: "scroll" }, el("table", props,
    el("thead", {}, el("tr", {}, heads.map(([text], i) => el("th", { scope: "col", class: kind(i) }, text)))),
    el("tbody", {}, rows.map((row) => el("tr", row.props ?? {}, row.cells.map((cell, i) => el("td", { class: kind(i) }, cell)))))));
}

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
export function cards(part, provenance, choose) {
  const has = ([name]) => !part[name].left_out;
  const missing = SECTIONS.filter((section) => !has(section) && section[0] !== "models");
  return [
    ...SECTIONS.filter(has).map(([, , make]) => make(part, choose)),
    provenanceCard(part, provenance),
    missing.length === 0 ? null : card("Not available", el("dl", {}, missing.map(([name, title]) => [
      el("dt", {}, title), el("dd", {}, sentence(part[name].left_out))]))),
  ];
}

/** Return the class probabilities as bars; a value or a risk as a number with its unit. */
export function predictionBars(part) {
  const { task, unit } = part.target ?? { task: "classification", unit: "" };
  if (task === "none") return el("p", { id: "prediction", class: "soft" }, "The maps were given; no model predicted anything.");
  if (task === "regression" || task === "survival") {
    return el("div", { id: "prediction" }, part.classes.map((name, i) =>
      el("p", {}, `${name} `, el("b", {}, number(part.prediction[i], 4)), unit ? ` ${unit}` : "")));
  }
  return el("div", { id: "prediction" }, part.classes.map((name, i) => {
    const share = part.prediction[i];
    const bar = el("i", { style: { width: `${100 * (share ?? 0)}%`, background: part.class_colours[name] } });
    return el("div", { class: "class" }, el("span", { class: "name" }, name, name === part.true_class ? el("em", {}, " drawn hot") : null),
      el("span", { class: "track" }, bar), el("span", { class: "value" }, decimals(share, 3)));
  }));
}

/** Return the card that compares the map's prediction with the one tile by tile. */
function consistencyCard({ consistency }) {
  const { classes, dense, plain } = consistency;
  const rows = classes.map((name, i) => ({ cells: [name, decimals(dense[i], 3), decimals(plain[i], 3)] }));
  return card("Tile-by-tile prediction against the map's",
    el("p", { class: consistency.is_wide ? "warning" : "fine", id: "consistency" }, ended(consistency.sentence)),
    table([["Class"], ["Map", true], ["Tile by tile", true]], rows));
}

/** Return a text with a full stop; its beginning, perhaps a class's name, is not changed. */
const ended = (text) => text + (/[.!?]$/.test(text) ? "" : ".");
const sentence = (text) => text.charAt(0).toUpperCase() + ended(text.slice(1));

/** Return the perturbation curves. */
function faithfulnessCard({ faithfulness, true_class: hot }) {
  const title = "How faithful the maps are";
  const place = el("div");
  const show = (name) => {
    const result = faithfulness.classes.find((other) => other.class === name) ?? faithfulness.classes[0];
    const areas = LINES.filter(([map]) => map in result.aupc).sort(([a], [b]) => result.aupc[a] - result.aupc[b]);
    place.replaceChildren(drawnCurves(result, faithfulness), el("ul", { class: "key" }, areas.map(([map, colour, dashes]) => el("li", {},
      el("i", { class: dashes ? "dashed" : "", style: { "border-color": colour } }), map, " ", el("b", {}, decimals(result.aupc[map], 3))))));
  };
  const names = faithfulness.classes.map((result) => [result.class, result.class]);
  const chosen = names.some(([name]) => name === hot) ? hot : names[0][0];
  show(chosen);
  return card(title, names.length > 1 ? labelled("Class", chooser(names, chosen, show)) : null, place,
    el("p", { class: "soft" }, "Area under the curve (AUPC), lower is better. A map that is not below the random order ",
      `(the mean of ${faithfulness.random_orders}) does not explain its class.`));
}

/** Return the regions; `onchoose` is called with the region of a chosen row. */
function regionsCard({ regions: evidence }, onchoose) {
  const title = "Where the evidence is";
  const shares = [...evidence.regions].sort((a, b) => b.share_of_evidence - a.share_of_evidence);
  const mark = (name, button) => el("span", { class: `mark ${name}` }, button);
  const rows = shares.map((region) => {
    const button = el("button", { type: "button", class: "link", onclick: () => {
      for (const other of place.querySelectorAll("tr[aria-current]")) other.removeAttribute("aria-current");
      button.closest("tr").setAttribute("aria-current", "true");
      onchoose(region);
    } }, region.name);
    return { cells: [mark(region.kind, button), percent(region.share_of_evidence, 1), percent(region.share_of_tissue, 1),
      `${number(region.area_mm2, 3)} mm²`, decimals(region.mean_score, 3), number(region.contribution, 3)] };
  });
  const place = el("div", {}, rows.length ? table([["Region"], ["Share of evidence", true], ["Share of tissue", true], ["Area", true],
    ["Mean score", true], ["Contribution", true]], rows, { id: "regions" }) : el("p", {}, "There are no regions."));
  return card(title, el("p", {}, ended(evidence.sentence)), place,
    el("p", { class: "soft" }, `Hot regions are evidence for ${evidence.class}, cold regions (dashed) against it. A hot region's share is of all evidence for the class, a cold one's of all evidence against it.`));
}

/** Return the picked tiles; `onchoose` is called with the tile that is clicked. */
function tilesCard({ tiles: picked }, onchoose) {
  const title = "Tiles that speak for and against the class";
  const scored = picked.tiles.some((tile) => tile.score !== null);
  const strip = (kind, text) => {
    const tiles = picked.tiles.filter((tile) => tile.kind === kind);
    return tiles.length === 0 ? null : [el("h3", {}, text), el("div", { class: "strip" }, tiles.map((tile) => {
      const score = scored ? `score ${decimals(tile.score, 3)}, ` : "";
      const facts = `${score}${percent(tile.share, 1)} of the evidence`;
      return el("button", { type: "button", class: "tile", title: `Show tile ${tile.rank} on the slide: ${facts}`, onclick: () => onchoose(tile) },
        el("img", { src: tile.jpeg, alt: `Tile ${tile.rank}` }), el("span", {}, `${tile.rank} · ${scored ? decimals(tile.score, 2) : percent(tile.share, 1)}`));
    }))];
  };
  return card(title, strip("top", `For ${picked.class}`), strip("bottom", `Against ${picked.class}`),
    el("p", { class: "soft" }, `Rank and ${scored ? "score" : "share of the evidence"} of the ${picked.unit === "tile" ? "tile" : "middle cell"}; click a tile to show it on the slide.`));
}

/** Return the shares of tissue and evidence on artefacts. */
function artefactsCard({ artefacts }) {
  const title = "Artefacts";
  const rows = artefacts.kinds.map(({ kind, cells, evidence }) => ({ cells: [kind, percent(cells, 1), percent(evidence, 1)] }));
  const excluded = Object.entries(artefacts.excluded ?? {}).map(([kind, cells]) => `${kind} ${count(cells)}`);
  return card(title, table([["Looks like"], ["Share of tissue", true], [`Share of evidence for ${artefacts.class}`, true]], rows),
    ...(excluded.length ? [el("p", { class: "soft" }, `Left out of maps and prediction: ${excluded.join(", ")} cells.`)] : []));
}

/** Return the predictions of the single models. */
function modelsCard({ models: members, classes }) {
  const rows = members.models.map((model) => ({ cells: [model.name, ...model.prediction.map((value) => decimals(value, 3)), el("code", {}, model.digest.slice(0, 12))] }));
  return card("Single models", table([["Model"], ...classes.map((name) => [name, true]), ["Digest"]], rows));
}

/** Return the origin of the slide's results. */
function provenanceCard(part, provenance) {
  const { slide, grid } = part;
  const code = (text) => el("code", {}, text ?? "–");
  const facts = [
    ["Slide", provenance.slide?.name ?? slide.name],
    ["Fingerprint", code(provenance.slide?.fingerprint)],
    ["Size at level 0", `${count(slide.cols)} × ${count(slide.rows)} pixels`],
    ["Pixel size", `${number(slide.mpp.x)} × ${number(slide.mpp.y)} µm, from ${slide.mpp_source}`],
    ["Grid", `${count(grid.shape.cols)} × ${count(grid.shape.rows)} cells of ${number(grid.l0_cell.x * grid.mpp.x)} × ${number(grid.l0_cell.y * grid.mpp.y)} µm, ${count(part.tissue_cells)} on tissue`],
    ["First cell begins at", `x ${number(grid.l0_origin.x)}, y ${number(grid.l0_origin.y)} level-0 pixels`],
    ["Model", code(provenance.model?.digest)],
    ["Extractor", provenance.extractor ? [provenance.extractor.name || "unknown", provenance.extractor.precision ? ` (${provenance.extractor.precision}) ` : " ", code(provenance.extractor.digest)] : "–"],
    ["Pooling", provenance.pooling ? Object.values(provenance.pooling).join(", ") : "–"],
    ["Colours from", provenance.scaling ? `${counted(provenance.scaling.slides, "slide")}, ${count(provenance.scaling.cells)} cells` : "–"],
    ["Made", provenance.created ?? "–"],
    ["Files", `${count(provenance.files ?? 0)} in ${slide.name}/, their sha256 in provenance.json`],
    ["Raw values", el("code", {}, `${slide.name}/${slide.name}.values.ome.zarr`)],
  ];
  const list = (pairs) => el("dl", {}, pairs.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  const options = Object.entries(provenance.options ?? {}).map(([name, value]) => [name.replaceAll("_", "-"), JSON.stringify(value)]);
  const more = (title, pairs) => (pairs.length ? el("details", {}, el("summary", {}, title), list(pairs)) : null);
  return card("Provenance", list(facts), more("Options", options), more("Versions", Object.entries(provenance.versions ?? {})));
}
