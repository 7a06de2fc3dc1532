/** Fail unless dist is equal to a new build. */

import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { buildPage } from "./build.js";

const DIST = join(dirname(dirname(fileURLToPath(import.meta.url))), "dist");

async function contents(folder) {
  const names = (await readdir(folder)).sort();
  return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))])));
}

const fresh = await mkdtemp(join(tmpdir(), "page-"));
try {
  await buildPage(fresh);
  const [built, kept] = [await contents(fresh), await contents(DIST)];
  const names = [...new Set([...built.keys(), ...kept.keys()])];
  const differing = names.filter((name) => !(built.has(name) && kept.has(name) && built.get(name).equals(kept.get(name))));
  if (differing.length > 0) {
    process.stderr.write(`dist is not what the sources build into: ${differing.join(", ")}; run npm run build\n`);
    process.exitCode = 1;
  }
} finally {
  await rm(fresh, { recursive: true, force: true });
}
