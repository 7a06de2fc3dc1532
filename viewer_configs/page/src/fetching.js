/** Requests to the server that sent this page: JSON, and OME-Zarr stores. */

import { FetchStore } from "zarrita";

import { ReadError } from "./manifest.js";

/**
 * Asks the server to answer 204 instead of 404 for a file that may be absent (an empty chunk, the
 * metadata of the other Zarr version), as browsers report every 404 in the console. Other servers
 * ignore it and answer 404, which works too.
 */
const ABSENT = { "Missing-As": "204" };

/** Messages for zarrita's errors. */
const WORDS = {
  NotFoundError: "a file is missing",
  CodecPipelineError: "a file is damaged",
  InvalidMetadataError: "its description is damaged",
  UnknownCodecError: "it is packed in a way that this page does not know",
};

/** Return a JSON file's content; throws a ReadError in plain words. */
export async function fetchJson(url, signal) {
  const response = await reach(url, { signal });
  if (response.status === 404) throw new ReadError(`${nameIn(url)} is missing`);
  if (!response.ok) throw new ReadError(`${nameIn(url)} cannot be read (${response.status})`);
  return parsed(await response.text(), url);
}

/** Return a JSON file's content, or null if there is no such file. */
export async function fetchJsonIfThere(url, signal) {
  const response = await reach(url, { signal, headers: ABSENT });
  if (response.status === 404 || response.status === 204) return null;
  if (!response.ok) throw new ReadError(`${nameIn(url)} cannot be read (${response.status})`);
  return parsed(await response.text(), url);
}

/** Return a store of the files below a URL. */
export function storeAt(url) {
  return new FetchStore(new URL(url, document.baseURI), {
    fetch: async (request) => {
      request.headers.set("Missing-As", ABSENT["Missing-As"]);
      const response = await reach(request);
      return response.status === 204 ? new Response(null, { status: 404 }) : response;
    },
  });
}

async function reach(request, options) {
  try {
    return await fetch(request, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ReadError("the server does not answer; is heatmaps-ome view still running?", { cause: error });
  }
}

function parsed(text, url) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ReadError(`${nameIn(url)} is damaged`, { cause: error });
  }
}

function nameIn(url) {
  return decodeURIComponent(String(url).split("/").filter(Boolean).slice(-2).join("/"));
}

/** Return whether an error only means that a request was cancelled. */
export function isAbort(error) {
  return error?.name === "AbortError" || (error?.cause ? isAbort(error.cause) : false);
}

/** Return an error's message for the user. */
export function wordsOf(error) {
  if (error instanceof ReadError) return error.message;
  const words = WORDS[error?.name];
  return words ?? (error?.message ? String(error.message) : String(error));
}
