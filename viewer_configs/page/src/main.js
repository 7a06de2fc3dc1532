/** Start: ask the server for the run, and show it. */

import { App } from "./app.js";
import { byId } from "./dom.js";
import { fetchJson, wordsOf } from "./fetching.js";
import { listenToExplanations } from "./explanations.js";
import { listenToKeys } from "./keys.js";
import { Notices } from "./notices.js";

const notices = new Notices();

async function start() {
  const [run, palettes] = await notices.during(Promise.all([fetchJson("api/run.json"), fetchJson("api/palettes.json")]));
  byId("run-name").textContent = run.name ?? "";
  if (!run.slides?.length) {
    byId("panel").classList.add("empty");
    byId("navigator").hidden = true;
    notices.say("This run holds no slides yet.");
    return;
  }
  const app = new App(run, palettes, notices);
  connect(app);
  window.heatmaps = forTests(app);
  app.start();
}

function connect(app) {
  const { actions, view } = app;
  listenToKeys(actions);
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
    notices.say(`Copy the link from the address bar: ${link}`);
    return;
  }
  setTimeout(() => (button.textContent = text), 1500);
}

function listenToFold() {
  const button = byId("fold");
  const set = (open) => {
    button.setAttribute("aria-expanded", String(open));
    byId("panel").classList.toggle("folded", !open);
  };
  set(!matchMedia("(max-width: 760px)").matches);
  button.addEventListener("click", () => set(button.getAttribute("aria-expanded") !== "true"));
}

/** The page's interface for tests and the console. */
function forTests(app) {
  return {
    get viewer() {
      return app.view.viewer;
    },
    get ready() {
      return app.ready;
    },
    screenFromUm: (umX, umY) => app.view.screenFromUm(umX, umY),
    umFromScreen: (clientX, clientY) => app.view.umFromScreen(clientX, clientY),
    state: () => ({ ...app.viewNow(), busy: notices.busy, complete: app.view.complete }),
  };
}

listenToFold();
listenToExplanations();
start().catch((error) => notices.say(`The run cannot be shown: ${wordsOf(error)}.`));
