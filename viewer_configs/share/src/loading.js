/**
 * Data and pictures from disk: a page that was opened from disk may load scripts and pictures, and
 * nothing else. A script hands its data to `heatmapsData(name, data)`.
 */

import { ReadError } from "../../page/src/manifest.js";

const HINT = "if you opened the page inside a zip file, first unpack all of it (in Windows: right-click it, “Extract All”)";
const handed = new Map();

window.heatmapsData = (name, data) => handed.set(name, data);

/** Load the script of a name once, and return its data. */
export function loadData(name, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(new DOMException("another slide is shown", "AbortError"));
      return;
    }
    const script = document.createElement("script");
    script.src = `data/${name}.js`;
    script.onload = () => {
      script.remove();
      const data = handed.get(name);
      handed.delete(name);
      if (data === undefined) reject(new ReadError(`data/${name}.js is damaged`));
      else resolve(data);
    };
    script.onerror = () => {
      script.remove();
      reject(new ReadError(`data/${name}.js is missing; ${HINT}`));
    };
    document.head.append(script);
  });
}

/** Load a picture; it can be drawn, but its pixels cannot be read: it is another file's. */
export function loadPicture(url, signal) {
  return new Promise((resolve, reject) => {
    const picture = new Image();
    const stop = () => {
      picture.src = "";
      reject(new DOMException("another slide is shown", "AbortError"));
    };
    if (signal.aborted) {
      stop();
      return;
    }
    signal.addEventListener("abort", stop, { once: true });
    picture.onload = () => {
      signal.removeEventListener("abort", stop);
      resolve(picture);
    };
    picture.onerror = () => {
      signal.removeEventListener("abort", stop);
      if (!signal.aborted) reject(new ReadError(`${url} is missing or damaged`));
    };
    picture.src = url;
  });
}
