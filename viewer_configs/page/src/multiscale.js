/** OME-Zarr images: NGFF 0.4 on Zarr v2 and NGFF 0.5 on Zarr v3. */

import { open, root } from "zarrita";

import { fetchJsonIfThere, storeAt } from "./fetching.js";
import { ReadError } from "./manifest.js";

/**
 * Open the multiscale image at a URL.
 *
 * Returns { arrays, axes: { c, y, x }, um: { x, y } }: zarrita arrays, finest first; each axis's
 * index, `c` -1 if absent; the size of a pixel of the finest.
 */
export async function openMultiscale(url, signal) {
  const base = url.endsWith("/") ? url : `${url}/`;
  const { attributes, version } = await groupAttributes(base, signal);
  const multiscale = attributes?.multiscales?.[0];
  if (!multiscale?.datasets?.length) throw new ReadError("it is not an OME-Zarr image");
  const axes = axesOf(multiscale);
  const group = root(storeAt(base));
  const opened = multiscale.datasets.map((dataset) =>
    open[version](group.resolve(dataset.path), { kind: "array", attrs: false, signal }),
  );
  return { arrays: await Promise.all(opened), axes, um: pixelSize(multiscale, axes) };
}

async function groupAttributes(base, signal) {
  const second = await fetchJsonIfThere(`${base}.zattrs`, signal);
  if (second !== null) return { attributes: second, version: "v2" };
  const third = await fetchJsonIfThere(`${base}zarr.json`, signal);
  if (third === null) throw new ReadError(`there is no ${decodeURIComponent(base.split("/").at(-2))}`);
  return { attributes: third.attributes?.ome, version: "v3" };
}

function axesOf(multiscale) {
  const names = (multiscale.axes ?? []).map((axis) => axis.name ?? axis);
  const axes = { c: names.indexOf("c"), y: names.indexOf("y"), x: names.indexOf("x") };
  if (axes.y < 0 || axes.x < 0) throw new ReadError("its image has no axes y and x");
  return axes;
}

function pixelSize(multiscale, axes) {
  const transforms = multiscale.datasets[0].coordinateTransformations ?? [];
  const scale = transforms.find((transform) => transform.type === "scale")?.scale;
  const um = { x: scale?.[axes.x], y: scale?.[axes.y] };
  if (!(um.x > 0 && um.y > 0)) throw new ReadError("its image has no pixel size");
  return um;
}

/** Return { cols, rows } of an array, or of its chunks. */
export function planeOf(sizes, axes) {
  return { cols: sizes[axes.x], rows: sizes[axes.y] };
}
