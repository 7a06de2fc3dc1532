// Reads values of a label at places in µm, or whole images, as web viewers do, and reports them to
// the test.
import * as zarr from "zarrita";

const axis = (multiscales, name) => multiscales.axes.findIndex((each) => each.name === name);

// Metadata of NGFF 0.5 lies under "ome", that of 0.4 does not.
async function metadata(location) {
  const { attrs } = await zarr.open(location, { kind: "group" });
  return attrs.ome ?? attrs;
}

async function valueAt(array, row, col) {
  const [rows, cols] = array.shape;
  if (row < 0 || col < 0 || row >= rows || col >= cols) return null;
  const [height, width] = array.chunks;
  const chunk = await array.getChunk([Math.floor(row / height), Math.floor(col / width)]);
  return chunk.data[(row % height) * chunk.stride[0] + (col % width) * chunk.stride[1]];
}

async function readLabel(root, name, places) {
  const location = root.resolve(`labels/${name}`);
  const attrs = await metadata(location);
  const multiscales = attrs.multiscales[0];
  const units = multiscales.axes.map((each) => each.unit);
  const meanings = new Map(attrs["image-label"].properties.map((each) => [each["label-value"], each[name]]));
  const levels = [];
  for (const dataset of multiscales.datasets) {
    const array = await zarr.open(location.resolve(dataset.path), { kind: "array" });
    const { scale } = dataset.coordinateTransformations[0];
    const um = { y: scale[axis(multiscales, "y")], x: scale[axis(multiscales, "x")] };
    const values = [];
    for (const [y, x] of places) {
      // A pixel begins at its corner, as in Vizarr, Viv and OpenSeadragon.
      const level = await valueAt(array, Math.floor(y / um.y), Math.floor(x / um.x));
      values.push(level === null || level === 0 ? null : (meanings.get(level) ?? null));
    }
    levels.push({ um, values });
  }
  return { units, levels };
}

// The size and the SHA-256 of all numbers of each level.
async function readImage(url) {
  const root = zarr.root(new zarr.FetchStore(url));
  const { multiscales } = await metadata(root);
  const levels = [];
  for (const { path } of multiscales[0].datasets) {
    const { data, shape } = await zarr.get(await zarr.open(root.resolve(path), { kind: "array" }));
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", data));
    levels.push({ shape, sha256: [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("") });
  }
  return levels;
}

async function main() {
  const job = await (await fetch("/job.json")).json();
  if (job.images) return { images: await Promise.all(job.images.map(readImage)) };
  const root = zarr.root(new zarr.FetchStore(`${location.origin}/data/${job.store}`));
  const { labels: listed } = await metadata(root.resolve("labels"));
  return { listed, label: await readLabel(root, job.label, job.places) };
}

main()
  .catch((error) => ({ error: String(error) }))
  .then((report) => fetch("/report", { method: "POST", body: JSON.stringify(report) }));
