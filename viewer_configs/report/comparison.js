/* One map, two maps side by side with a common zoom, or the difference of two. */
import { el } from "./dom.js";
import { Controls } from "./controls.js";
import { comparable, noDifference } from "./differences.js";
import { Stage } from "./stage.js";

const MODES = [["one", "One map"], ["two", "Side by side"], ["difference", "Difference"]];

/** Steers whether a slide's picture shows one map or two. */
export class Comparison {
  constructor(slide, stage, controls) {
    [this.slide, this.stage, this.controls] = [slide, stage, controls];
    this.mode = "one";
    this.second = null;
    this.ready = Promise.resolve();
    this.place = el("div", { id: "second-stage", hidden: true });
    this.controlsPlace = el("div", { id: "second-controls", hidden: true });
    this.buttons = new Map(MODES.map(([mode, text]) => [mode, el("button", { type: "button", "aria-pressed": String(mode === "one"), "data-mode": mode, onclick: () => { this.ready = this.choose(mode); } }, text)]));
    this.reason = el("p", { class: "soft", id: "no-difference" });
    this.modes = el("div", { class: "modes", role: "group", "aria-label": "Maps shown" }, [...this.buttons.values()], this.reason);
  }

  /** Show one map, two, or a difference. */
  async choose(mode) {
    if (mode === this.mode) return;
    this.mode = mode;
    const { controls, slide } = this;
    if (mode === "two") await this.open();
    else this.close();
    await controls.subtract(mode === "difference" ? this.other() : null);
    this.update();
  }

  /** Bring the buttons up to date with the map: not all maps have a difference with another. */
  update() {
    const { base, minus } = this.controls;
    if (this.mode === "difference" && minus === null) this.mode = "one";
    const several = this.slide.part.maps.length > 1;
    const reason = base === null || !several ? "" : noDifference(this.slide, base);
    for (const [mode, button] of this.buttons) {
      button.setAttribute("aria-pressed", String(mode === this.mode));
      button.disabled = mode !== "one" && (!several || (mode === "difference" && reason !== ""));
    }
    this.buttons.get("difference").title = reason;
    this.reason.textContent = reason;
    this.reason.hidden = reason === "";
  }

  /** Return the map to subtract first: another class's of the same kind, if there is one. */
  other() {
    const { base } = this.controls;
    const maps = comparable(this.slide, base);
    return maps.find((map) => map.kind === base.kind) ?? maps[0];
  }

  async open() {
    const { slide, stage, controls } = this;
    const other = slide.part.maps.find((map) => map.kind === "attention" && map !== controls.base)
      ?? slide.part.maps.find((map) => map !== controls.base);
    const second = new Stage(slide, { peer: stage });
    this.second = { stage: second, controls: new Controls(slide, second, () => {}, "-2") };
    this.place.replaceChildren(second.element);
    this.controlsPlace.replaceChildren(el("h2", {}, "Second map"), this.second.controls.element);
    this.show(true);
    second.setMarks({ outlines: stage.outlines, mark: stage.mark });
    await this.second.controls.choose(other.name);
  }

  close() {
    this.second?.stage.close();
    this.second = null;
    this.show(false);
    this.place.replaceChildren();
    this.controlsPlace.replaceChildren();
  }

  show(two) {
    this.place.hidden = !two;
    this.controlsPlace.hidden = !two;
    this.place.parentElement?.classList.toggle("two", two);
    this.stage.onchange();
  }

  /** Return what is shown: [{ stage, pane }], one or two. */
  panes() {
    return [this, this.second].filter(Boolean).map(({ stage, controls }) => ({ stage, pane: controls.pane }));
  }
}
