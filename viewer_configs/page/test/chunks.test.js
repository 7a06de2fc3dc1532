import assert from "node:assert/strict";
import test from "node:test";

import { ChunkCache } from "../src/chunks.js";

/** An array that counts how often its chunks are read; chunks are of 10 bytes. */
function countedArray() {
  const array = { path: "/0", reads: 0 };
  array.getChunk = async (key) => {
    array.reads += 1;
    if (key[0] === 13) throw new Error("damaged");
    return { data: new Uint8Array(10) };
  };
  return array;
}

test("a chunk is read once, also while it is still being read", async () => {
  const [cache, array] = [new ChunkCache(100), countedArray()];
  await Promise.all([cache.get(array, [1]), cache.get(array, [1])]);
  await cache.get(array, [1]);
  assert.equal(array.reads, 1);
});

test("the least recently used chunks are forgotten when the room is full", async () => {
  const [cache, array] = [new ChunkCache(30), countedArray()];
  for (const key of [1, 2, 3]) await cache.get(array, [key]);
  await cache.get(array, [1]);
  await cache.get(array, [4]);
  assert.equal(cache.bytes, 30);
  await cache.get(array, [1]);
  assert.equal(array.reads, 4);
  await cache.get(array, [2]);
  assert.equal(array.reads, 5);
});

test("a chunk that could not be read is tried again", async () => {
  const [cache, array] = [new ChunkCache(30), countedArray()];
  await assert.rejects(cache.get(array, [13]));
  await assert.rejects(cache.get(array, [13]));
  assert.equal(array.reads, 2);
  assert.equal(cache.bytes, 0);
});
