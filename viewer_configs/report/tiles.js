/* The picked tiles, which a click enlarges. */
import { el } from "./dom.js";
import { length, number, percent, probability } from "./numbers.js";

/** Return the tiles of a kind under a heading, null if there are none. */
export function tileStrip(part, kind, text, onshow) {
  const tiles = part.tiles.tiles.filter((tile) => tile.kind === kind);
  if (tiles.length === 0) return null;
  return [el("h3", {}, text), el("div", { class: "strip" }, tiles.map((tile, index) => {
    const label = `${tile.rank} · ${tile.score === null ? shareOf(tile) : probability(tile.score)}`;
    return el("button", { type: "button", class: "tile", title: `Enlarge tile ${tile.rank}: ${factsOf(tile)}`, onclick: () => enlarge(part, tiles, index, text, onshow) },
      el("img", { src: tile.jpeg, alt: `Tile ${tile.rank}` }), el("span", {}, label));
  }))];
}

/** Return a tile's share of the evidence or, where that is next to nothing, its contribution. */
function shareOf({ share, contribution }) {
  return share === null ? `contribution ${number(contribution)}` : percent(share);
}

function factsOf(tile) {
  const score = tile.score === null ? "" : `score ${probability(tile.score)}, `;
  return `${score}${shareOf(tile)}${tile.share === null ? "" : " of the evidence"}`;
}

/** Show a tile as large as the window allows, with the ones before and after it. */
function enlarge(part, tiles, start, text, onshow) {
  let at = start;
  const { mpp } = part.slide;
  const image = el("img", {});
  const caption = el("p", {});
  const title = el("h2", { id: "tile-title" });
  const button = (label, work, aria = label) => el("button", { type: "button", "aria-label": aria, onclick: work }, label);
  const turn = (step) => { at = (at + step + tiles.length) % tiles.length; show(); };
  const show = () => {
    const tile = tiles[at];
    const { x, y, rows, cols } = tile.l0_window;
    [image.src, image.alt] = [tile.jpeg, `Tile ${tile.rank}`];
    title.textContent = `${text}: tile ${tile.rank} of ${tiles.length}`;
    caption.textContent = `${factsOf(tile)}; ${length(cols * mpp.x)} × ${length(rows * mpp.y)} at x ${length(x * mpp.x)}, y ${length(y * mpp.y)}`;
  };
  const dialog = el("dialog", { class: "enlarged", "aria-labelledby": "tile-title", onclose: () => dialog.remove(), onclick: (event) => { if (event.target === dialog) dialog.close(); },
    onkeydown: (event) => { if (event.key === "ArrowLeft") turn(-1); else if (event.key === "ArrowRight") turn(1); } },
  title, image, caption,
  el("div", { class: "buttons" }, button("‹", () => turn(-1), "Previous tile"), button("›", () => turn(1), "Next tile"),
    button("Show on the slide", () => { dialog.close(); onshow(tiles[at]); }), button("Close", () => dialog.close())));
  show();
  document.body.append(dialog);
  dialog.showModal();
}
