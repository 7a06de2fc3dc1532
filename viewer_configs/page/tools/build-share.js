/**
 * Build the page of a shared folder into a folder: `node tools/build-share.js FOLDER`.
 *
 * It is opened from disk, where browsers load no modules: one plain script has all of it. Its HTML is
 * that of the page of `view`, with other addresses and a policy of its own.
 */

import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";

import { licences } from "./build.js";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
/** No connection at all: only scripts, styles and pictures of the disk. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self' file:",
  "style-src 'self' file: 'unsafe-inline'",
  "img-src 'self' file: data: blob:",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");
const REPLACED = [
  ['<meta charset="utf-8">', `<meta charset="utf-8">\n    <meta http-equiv="Content-Security-Policy" content="${POLICY}">`],
  ['<link rel="stylesheet" href="page/style.css">', '<link rel="stylesheet" href="data/page/style.css">'],
  ['<script type="module" src="page/main.js"></script>', '<script defer src="data/page/share.js"></script>'],
  [
    "<body>",
    `<body>
    <p id="unpack">
      If you can read this, the page was opened inside a zip file and lacks its other files. Unpack all of
      the zip file first (in Windows: close this page, right-click the zip file, choose “Extract All”), then
      open START-HERE.html in the new folder.
    </p>`,
  ],
];

/** Build the page into `out`, replacing its content. */
export async function buildShare(out) {
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  const { metafile } = await build({
    absWorkingDir: ROOT,
    entryPoints: { share: "../share/src/main.js", style: "../share/src/style.css" },
    outdir: out,
    bundle: true,
    format: "iife",
    target: "es2022",
    minify: true,
    charset: "utf8",
    legalComments: "none",
    metafile: true,
    logLevel: "warning",
  });
  let page = await readFile(join(ROOT, "src/index.html"), "utf8");
  for (const [before, after] of REPLACED) {
    if (!page.includes(before)) throw new Error(`src/index.html has no ${before}`);
    page = page.replace(before, after);
  }
  await writeFile(join(out, "START-HERE.html"), page);
  await writeFile(join(out, "LICENSES.txt"), await licences(metafile));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await buildShare(resolve(process.argv[2] ?? "../share/dist"));
}
