/* What else is known of a slide, a card each; what is not known says why. */
import { card, chooser, el, labelled } from "./dom.js";
import { count, counted, decimals, number, percent } from "./numbers.js";
import { drawnCurves, LINES } from "./curves.js";


/** Return a table; `heads` are [text, is a number] pairs and cells whatever can be appended. */
function table(heads, rows, props = {}) {
  const kind = (index) => (heads[index][1] ? "number" : null);
  return el("div", { class: "scroll" }, el("table", props,
    el("thead", {}, el("tr", {}, heads.map(([text], i) => el("th", { scope: "col", class: kind(i) }, text)))),
    el("tbody", {}, rows.map((row) => el("tr", row.props ?? {}, row.cells.map((cell, i) => el("td", { class: kind(i) }, cell)))))));
}

/** What may be missing of a slide: its name in the data, its title, and what makes its card. */
const SECTIONS = [
  ["faithfulness", "How faithful the maps are", (part) => faithfulnessCard(part)],
  ["consistency", "Plain tiles against the dense map", (part) => consistencyCard(part)],
  ["regions", "Where the evidence is", (part, choose) => regionsCard(part, choose.region)],
  ["tiles", "Tiles that speak most", (part, choose) => tilesCard(part, choose.tile)],
  ["artefacts", "Artefacts", (part) => artefactsCard(part)],
  ["models", "The models one by one", (part) => modelsCard(part)],
];

/** Return the cards of a slide, and one that says what there is none of and why. */
export function cards(part, provenance, choose) {
  const has = ([name]) => !part[name].left_out;
  const missing = SECTIONS.filter((each) => !has(each) && each[0] !== "models");
  return [
    ...SECTIONS.filter(has).map(([, , make]) => make(part, choose)),
    provenanceCard(part, provenance),
    missing.length === 0 ? null : card("What is not here", el("dl", {}, missing.map(([name, title]) => [
      el("dt", {}, title), el("dd", {}, sentence(part[name].left_out))]))),
  ];
}

/** Return the class probabilities as bars. */
export function predictionBars(part) {
  return el("div", { id: "prediction" }, part.classes.map((name, i) => {
    const share = part.prediction[i];
    const bar = el("i", { style: { width: `${100 * (share ?? 0)}%`, background: part.class_colours[name] } });
    return el("div", { class: "class" }, el("span", { class: "name" }, name, name === part.true_class ? el("em", {}, " drawn hot") : null),
      el("span", { class: "track" }, bar), el("span", { class: "value" }, decimals(share, 3)));
  }));
}

/** Return how plain tiles agree with the dense map. */
function consistencyCard({ consistency: said }) {
  const rows = said.classes.map((name, i) => ({ cells: [name, decimals(said.dense[i], 3), decimals(said.plain[i], 3)] }));
  return card("Plain tiles against the dense map",
    el("p", { class: said.is_wide ? "warning" : "fine", id: "consistency" }, ended(said.sentence)),
    table([["Class"], ["Dense", true], ["Plain tiles", true]], rows));
}

/** Return a text with a full stop; it may begin with a class's name, which stays as it is. */
const ended = (text) => text + (/[.!?]$/.test(text) ? "" : ".");
const sentence = (text) => text.charAt(0).toUpperCase() + ended(text.slice(1));

/** Return the perturbation curves. */
function faithfulnessCard({ faithfulness: said, true_class: hot }) {
  const title = "How faithful the maps are";
  const place = el("div");
  const show = (name) => {
    const found = said.classes.find((each) => each.class === name) ?? said.classes[0];
    const areas = LINES.filter(([map]) => map in found.aupc).sort(([a], [b]) => found.aupc[a] - found.aupc[b]);
    place.replaceChildren(drawnCurves(found), el("ul", { class: "key" }, areas.map(([map, colour, dashes]) => el("li", {},
      el("i", { class: dashes ? "dashed" : "", style: { "border-color": colour } }), map, " ", el("b", {}, decimals(found.aupc[map], 3))))));
  };
  const names = said.classes.map((each) => [each.class, each.class]);
  const chosen = names.some(([name]) => name === hot) ? hot : names[0][0];
  show(chosen);
  return card(title, names.length > 1 ? labelled("Class", chooser(names, chosen, show)) : null, place,
    el("p", { class: "soft" }, "Area under the curve (AUPC), lower is better. A map that does not beat the random order ",
      `(the mean of ${said.random_orders}) explains nothing of its class.`));
}

/** Return the regions; `onchoose` is told which one a row is. */
function regionsCard({ regions: said }, onchoose) {
  const title = "Where the evidence is";
  const shares = [...said.regions].sort((a, b) => b.share_of_evidence - a.share_of_evidence);
  const mark = (name, button) => el("span", { class: `mark ${name}` }, button);
  const rows = shares.map((each) => {
    const button = el("button", { type: "button", class: "link", onclick: () => {
      for (const other of place.querySelectorAll("tr[aria-current]")) other.removeAttribute("aria-current");
      button.closest("tr").setAttribute("aria-current", "true");
      onchoose(each);
    } }, each.name);
    return { cells: [mark(each.kind, button), percent(each.share_of_evidence, 1), percent(each.share_of_tissue, 1),
      `${number(each.area_mm2, 3)} mm²`, decimals(each.mean_score, 3), number(each.contribution, 3)] };
  });
  const place = el("div", {}, rows.length ? table([["Region"], ["Of the evidence", true], ["Of the tissue", true], ["Area", true],
    ["Mean score", true], ["Contribution", true]], rows, { id: "regions" }) : el("p", {}, "There are none."));
  return card(title, el("p", {}, ended(said.sentence)), place,
    el("p", { class: "soft" }, `Of ${said.class}. Hot regions speak for it, cold ones (dashed) against it; the share is of all evidence that speaks the same way.`));
}

/** Return the picked tiles; `onchoose` is told which one was clicked. */
function tilesCard({ tiles: said }, onchoose) {
  const title = "Tiles that speak most";
  const strip = (kind, text) => {
    const tiles = said.tiles.filter((each) => each.kind === kind);
    return tiles.length === 0 ? null : [el("h3", {}, text), el("div", { class: "strip" }, tiles.map((each) => {
      const what = `score ${decimals(each.score, 3)}, ${percent(each.share, 1)} of the evidence`;
      return el("button", { type: "button", class: "tile", title: `Show tile ${each.rank} on the slide: ${what}`, onclick: () => onchoose(each) },
        el("img", { src: each.jpeg, alt: `Tile ${each.rank}` }), el("span", {}, `${each.rank} · ${decimals(each.score, 2)}`));
    }))];
  };
  return card(title, strip("top", `For ${said.class}`), strip("bottom", `Against ${said.class}`),
    el("p", { class: "soft" }, "Rank and score of the middle cell; click on one to see where it is."));
}

/** Return how much is on artefacts. */
function artefactsCard({ artefacts: said }) {
  const title = "Artefacts";
  const rows = said.kinds.map((each) => ({ cells: [each.kind, percent(each.cells, 1), percent(each.evidence, 1)] }));
  return card(title, table([["Looks like"], ["Of the tissue", true], [`Of the evidence for ${said.class}`, true]], rows));
}

/** Return what each of several models says. */
function modelsCard({ models: said, classes }) {
  const rows = said.models.map((each) => ({ cells: [each.name, ...each.prediction.map((value) => decimals(value, 3)), el("code", {}, each.digest.slice(0, 12))] }));
  return card("The models one by one", table([["Model"], ...classes.map((name) => [name, true]), ["Digest"]], rows));
}

/** Return what the slide's results were made from. */
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
    ["Extractor", provenance.extractor ? [provenance.extractor.name, ` (${provenance.extractor.precision}) `, code(provenance.extractor.digest)] : "–"],
    ["Pooling", provenance.pooling ? Object.values(provenance.pooling).join(", ") : "–"],
    ["Colours from", provenance.scaling ? `${counted(provenance.scaling.slides, "slide")}, ${count(provenance.scaling.cells)} cells` : "–"],
    ["Made", provenance.created ?? "–"],
    ["Files", `${count(provenance.files ?? 0)} in ${slide.name}/, their sha256 in provenance.json`],
    ["Raw values", el("code", {}, `${slide.name}/${slide.name}.values.ome.zarr`)],
  ];
  const list = (pairs) => el("dl", {}, pairs.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
  const options = Object.entries(provenance.options ?? {}).map(([name, value]) => [name.replaceAll("_", "-"), JSON.stringify(value)]);
  const more = (title, pairs) => (pairs.length ? el("details", {}, el("summary", {}, title), list(pairs)) : null);
  return card("What it was made from", list(facts), more("Options", options), more("Versions", Object.entries(provenance.versions ?? {})));
}
