/** Start: ask the server for the run, and show it. */

import { App } from "./app.js";
import { connect, forTests, listenToFold } from "./buttons.js";
import { byId } from "./dom.js";
import { fetchJson, wordsOf } from "./fetching.js";
import { Notices } from "./notices.js";
import { ZarrStore } from "./zarrstore.js";

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
  const app = new App(run, palettes, notices, (entry) => new ZarrStore(entry.files));
  connect(app);
  window.heatmaps = forTests(app);
  app.start();
}

listenToFold();
start().catch((error) => notices.say(`The run cannot be shown: ${wordsOf(error)}.`));
