/** The buttons around the slide and of the panel, and the page's interface for tests. */

import { byId } from "./dom.js";
import { listenToExplanations } from "./explanations.js";
import { listenToKeys } from "./keys.js";

/** Connect the buttons and keys with the page at work. */
export function connect(app) {
  const { actions, view } = app;
  listenToKeys(actions);
  listenToExplanations();
  byId("zoom-in").addEventListener("click", () => view.zoomBy(1.5));
  byId("zoom-out").addEventListener("click", () => view.zoomBy(1 / 1.5));
  byId("home").addEventListener("click", () => view.home());
  byId("show-keys").addEventListener("click", actions.help);
  byId("close-keys").addEventListener("click", () => byId("keys").close());
  byId("copy-link").addEventListener("click", () => copyLink(app));
}

async function copyLink(app) {
  const button = byId("copy-link");
  const text = button.textContent;
  const link = app.link();
  try {
    await navigator.clipboard.writeText(link);
    button.textContent = "Copied";
  } catch {
    app.notices.say(`Copy the link from the address bar: ${link}`);
    return;
  }
  setTimeout(() => (button.textContent = text), 1500);
}

/** Let the panel be folded; on narrow screens it is at first. */
export function listenToFold() {
  const button = byId("fold");
  const set = (open) => {
    button.setAttribute("aria-expanded", String(open));
    byId("panel").classList.toggle("folded", !open);
  };
  set(!matchMedia("(max-width: 760px)").matches);
  button.addEventListener("click", () => set(button.getAttribute("aria-expanded") !== "true"));
}

/** The page's interface for tests and the console. */
export function forTests(app) {
  return {
    get viewer() {
      return app.view.viewer;
    },
    get ready() {
      return app.ready;
    },
    screenFromUm: (umX, umY) => app.view.screenFromUm(umX, umY),
    umFromScreen: (clientX, clientY) => app.view.umFromScreen(clientX, clientY),
    state: () => ({ ...app.viewNow(), busy: app.notices.busy, complete: app.view.complete }),
  };
}
