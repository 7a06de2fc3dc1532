/** Fail unless both pages that are kept are equal to a new build. */

import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { buildShare } from "./build-share.js";
import { buildPage } from "./build.js";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const KEPT = [
  ["page/dist", join(ROOT, "dist"), buildPage],
  ["share/dist", join(ROOT, "../share/dist"), buildShare],
];

async function contents(folder) {
  const names = (await readdir(folder)).sort();
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))])));
}

for (const [name, kept, build] of KEPT) {
  const fresh = await mkdtemp(join(tmpdir(), "page-"));
  try {
    await build(fresh);
    const differing = await differences(fresh, kept);
    if (differing.length > 0) {
      process.stderr.write(`${name} is not what the sources build into: ${differing.join(", ")}; run npm run build\n`);
      process.exitCode = 1;
    }
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

async function differences(fresh, kept) {
  const [one, other] = [await contents(fresh), await contents(kept)];
  const names = [...new Set([...one.keys(), ...other.keys()])];
  return names.filter((name) => !(one.has(name) && other.has(name) && one.get(name).equals(other.get(name))));
}
