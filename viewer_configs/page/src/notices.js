/** Messages of the page: that it is busy, and errors. */

import { byId, make } from "./dom.js";

/** The busy sign and the messages. */
export class Notices {
  #busy = 0;

  /** Show the busy sign until a promise settles; returns the promise. */
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

  /** Show a message until it is closed or another slide is chosen; a repeated one is shown once. */
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
