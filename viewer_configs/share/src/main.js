/** Start of a shared folder's page: the same page as `view` shows, with data from disk. */

import { App } from "../../page/src/app.js";
import { connect, forTests, listenToFold } from "../../page/src/buttons.js";
import { byId } from "../../page/src/dom.js";
import { wordsOf } from "../../page/src/fetching.js";
import { Notices } from "../../page/src/notices.js";
import { loadData } from "./loading.js";
import { SharedStore } from "./store.js";

const notices = new Notices();

async function start() {
  // A link to a file of this disk is of no use to others.
  byId("actions").classList.add("on-disk");
  const { run, palettes } = await notices.during(loadData("run"));
  byId("run-name").textContent = run.name;
  const app = new App(run, palettes, notices, (entry) => new SharedStore(entry));
  connect(app);
  window.heatmaps = forTests(app);
  app.start();
}

listenToFold();
start().catch((error) => notices.say(`The slides cannot be shown: ${wordsOf(error)}.`));
