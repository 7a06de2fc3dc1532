/** Keys: their functions, and their list. */

import { byId, make } from "./dom.js";

const TYPED_INTO = "input:not([type=range], [type=checkbox]), select, textarea, [contenteditable]";
const SLIDERS_OWN = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"]);

/**
 * Listen to keys.
 *
 * @param actions { pan(x, y), zoom(factor), home(), opacity(change), nextMap(), nextClass(),
 *   slide(steps), toggle(), grey(), outlines(), help() }
 */
export function listenToKeys(actions) {
  const bindings = bindingsOf(actions);
  byId("keys-list").replaceChildren(
    ...bindings.flatMap(({ shown, does }) => [
      make("dt", {}, ...shown.map((key) => make("kbd", {}, key))),
      make("dd", {}, does),
    ]),
  );
  const byKeys = (flag) => document.documentElement.classList.toggle("by-keys", flag);
  document.addEventListener("pointerdown", () => byKeys(false), { capture: true });
  document.addEventListener("keydown", (event) => {
    byKeys(true);
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (isTakenBy(event.target, event.key)) return;
    const run = bindings.find(({ keys }) => event.key in keys)?.keys[event.key];
    if (!run) return;
    event.preventDefault();
    run();
  });
}

function isTakenBy(element, key) {
  if (document.querySelector("dialog[open]")) return true;
  if (!(element instanceof Element)) return false;
  return element.matches(TYPED_INTO) || (element.matches("[type=range]") && SLIDERS_OWN.has(key));
}

function bindingsOf(actions) {
  const step = 0.15;
  return [
    {
      shown: ["←", "↑", "→", "↓"],
      does: "move the slide",
      keys: {
        ArrowLeft: () => actions.pan(-step, 0),
        ArrowRight: () => actions.pan(step, 0),
        ArrowUp: () => actions.pan(0, -step),
        ArrowDown: () => actions.pan(0, step),
      },
    },
    {
      shown: ["+", "−"],
      does: "zoom in and out",
      keys: { "+": () => actions.zoom(1.5), "=": () => actions.zoom(1.5), "-": () => actions.zoom(1 / 1.5), "_": () => actions.zoom(1 / 1.5) },
    },
    { shown: ["0"], does: "show the whole slide", keys: { 0: () => actions.home() } },
    { shown: ["[", "]"], does: "make the map fainter or stronger", keys: { "[": () => actions.opacity(-0.05), "]": () => actions.opacity(0.05) } },
    { shown: ["h"], does: "hide or show the map", keys: { h: () => actions.toggle() } },
    { shown: ["g"], does: "show the slide in grey or in its colours", keys: { g: () => actions.grey() } },
    { shown: ["o"], does: "show or hide the outlines of hot and cold regions", keys: { o: () => actions.outlines() } },
    { shown: ["m"], does: "next layer", keys: { m: () => actions.nextMap() } },
    { shown: ["c"], does: "next class", keys: { c: () => actions.nextClass() } },
    { shown: ["n", "p"], does: "next and previous slide", keys: { n: () => actions.slide(1), p: () => actions.slide(-1) } },
    { shown: ["?"], does: "this list", keys: { "?": () => actions.help() } },
  ];
}
