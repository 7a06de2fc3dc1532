/** A cache of decoded chunks with limited memory; the least recently used ones are dropped. */

export class ChunkCache {
  #entries = new Map();
  #bytes = 0;

  /** @param maxBytes memory for decoded chunks */
  constructor(maxBytes) {
    this.maxBytes = maxBytes;
  }

  /** Return the promise of a chunk, which is read only once while it is cached. */
  get(array, key, signal) {
    const name = `${array.path}|${key.join(",")}`;
    const known = this.#entries.get(name);
    if (known) {
      this.#entries.delete(name);
      this.#entries.set(name, known);
      return known.promise;
    }
    const entry = { promise: array.getChunk(key, { signal }), bytes: 0 };
    this.#entries.set(name, entry);
    entry.promise.then(
      (chunk) => this.#account(name, entry, chunk.data.byteLength),
      () => this.#forget(name, entry),
    );
    return entry.promise;
  }

  get bytes() {
    return this.#bytes;
  }

  #account(name, entry, bytes) {
    if (this.#entries.get(name) !== entry) return;
    entry.bytes = bytes;
    this.#bytes += bytes;
    for (const [other, old] of this.#entries) {
      if (this.#bytes <= this.maxBytes) break;
      if (old !== entry && old.bytes > 0) this.#forget(other, old);
    }
  }

  #forget(name, entry) {
    if (this.#entries.get(name) !== entry) return;
    this.#entries.delete(name);
    this.#bytes -= entry.bytes;
  }
}
