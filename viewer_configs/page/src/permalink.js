/**
 * A view as the part of the address after "#", and back.
 *
 * An absent or invalid field is null: the reader chooses a default.
 */

const NUMBERS = ["x", "y", "zoom", "opacity", "from", "to"];

/** The fields of a view, all unknown. */
export const NO_VIEW = Object.freeze({
  slide: null,
  map: null,
  x: null,
  y: null,
  zoom: null,
  opacity: null,
  from: null,
  to: null,
  palette: null,
  fade: null,
  hidden: null,
  grey: null,
  outlines: null,
});

/** Return the view in an address's hash. */
export function parseView(hash) {
  const fields = new URLSearchParams(String(hash).replace(/^#/, ""));
  const view = { ...NO_VIEW };
  for (const name of ["slide", "map", "palette"]) view[name] = fields.get(name) || null;
  for (const name of NUMBERS) view[name] = numberIn(fields.get(name));
  for (const name of ["fade", "hidden", "grey", "outlines"]) view[name] = flagIn(fields.get(name));
  return sane(view);
}

function numberIn(text) {
  if (text === null || !/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d{1,3})?$/i.test(text.trim())) return null;
  const number = Number(text);
  return Number.isFinite(number) ? number : null;
}

function flagIn(text) {
  return text === "1" ? true : text === "0" ? false : null;
}

function sane(view) {
  const placed = view.x !== null && view.y !== null && view.zoom !== null && view.zoom > 0;
  if (!placed) Object.assign(view, { x: null, y: null, zoom: null });
  if (view.opacity !== null) view.opacity = Math.min(1, Math.max(0, view.opacity));
  return view;
}

/** Return the hash of a view, with its "#"; null fields are left out. */
export function formatView(view) {
  const fields = new URLSearchParams();
  for (const name of Object.keys(NO_VIEW)) {
    const text = textOf(name, view[name] ?? null);
    if (text !== null) fields.set(name, text);
  }
  return `#${fields}`;
}

function textOf(name, value) {
  if (value === null) return null;
  if (typeof value === "boolean") return value ? "1" : "0";
  if (name === "x" || name === "y") return String(Number(value.toFixed(2)));
  if (name === "zoom" || name === "opacity") return String(Number(value.toPrecision(6)));
  return String(value);
}
