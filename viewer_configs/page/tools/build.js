/**
 * Build the page into a folder: `node tools/build.js FOLDER`.
 *
 * The same sources and lock file give the same bytes.
 */

import { cp, mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

/** Build the page into `out`, replacing its content. */
export async function buildPage(out) {
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  const { metafile } = await build({
    absWorkingDir: ROOT,
    preserveSymlinks: true, // names follow from paths: a linked node_modules gives the same
    entryPoints: ["src/main.js", "src/style.css"],
    outdir: out,
    bundle: true,
    splitting: true,
    format: "esm",
    target: "es2022",
    minify: true,
    charset: "utf8",
    legalComments: "none",
    chunkNames: "[name]-[hash]",
    alias: {
      "numcodecs/blosc": "./src/codecs/blosc.js",
      "numcodecs/lz4": "./src/codecs/lz4.js",
      "numcodecs/zstd": "./src/codecs/zstd.js",
    },
    metafile: true,
    logLevel: "warning",
  });
  await cp(join(ROOT, "src/index.html"), join(out, "index.html"));
  await writeFile(join(out, "LICENSES.txt"), await licences(metafile));
}

/** Return the full licences of all packages in the bundle. */
export async function licences(metafile) {
  const packages = new Set();
  for (const output of Object.values(metafile.outputs)) {
    for (const [input, { bytesInOutput }] of Object.entries(output.inputs)) {
      const match = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input);
      if (match && bytesInOutput > 0) packages.add(match[1]);
    }
  }
  const parts = await Promise.all([...packages].sort().map(licenceOf));
  const own = await readFile(join(ROOT, "../../LICENSE"), "utf8");
  return [`heatmaps-ome, this page itself\n\n${own}`, ...parts].map((part) => part.trim()).join(`\n\n${"=".repeat(80)}\n\n`) + "\n";
}

async function licenceOf(name) {
  const folder = join(ROOT, "node_modules", name);
  const { version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const file = (await readdir(folder)).find((entry) => /^licen[cs]e(\.(md|txt))?$/i.test(entry));
  if (!file) throw new Error(`${name} has no licence text in ${relative(ROOT, folder)}`);
  return `${name} ${version} (${license})\n\n${await readFile(join(folder, file), "utf8")}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await buildPage(resolve(process.argv[2] ?? "dist"));
}
