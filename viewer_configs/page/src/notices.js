/** What the page says of itself: that it is busy, and what went wrong, in plain words. */

import { byId, make } from "./dom.js";

/** The busy sign and the messages. */
export class Notices {
  #busy = 0;

  /** Show that something is being waited for until a promise settles; returns the promise. */
  async during(promise) {
    this.#count(1);
    try {
      return await promise;
    } finally {
      this.#count(-1);
    }
  }

  get busy() {
    return this.#busy > 0;
  }

  #count(change) {
    this.#busy += change;
    byId("busy").hidden = !this.busy;
  }

  /** Say something that stays until it is closed or another slide is chosen; once, if repeated. */
  say(text) {
    const list = byId("notices");
    const known = [...list.children].some((item) => item.firstChild.textContent === text);
    if (known) return;
    const close = make("button", { type: "button", className: "close", "aria-label": "Close this message" }, "×");
    const item = make("li", {}, make("span", {}, text), close);
    close.addEventListener("click", () => item.remove());
    list.append(item);
  }

  clear() {
    byId("notices").replaceChildren();
  }
}
