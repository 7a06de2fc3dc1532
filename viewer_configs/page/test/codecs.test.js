import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import { decodeBlosc } from "../src/codecs/blosc.js";
import Lz4, { decodeLz4 } from "../src/codecs/lz4.js";
import Zstd from "../src/codecs/zstd.js";

const CASES = JSON.parse(readFileSync(new URL("fixtures/encoded.json", import.meta.url), "utf8"));
const bytesOf = (text) => new Uint8Array(Buffer.from(text, "base64"));

for (const { codec, name, encoded } of CASES.encoded) {
  test(`${codec} reads what numcodecs of Python wrote: ${name}`, async () => {
    const data = bytesOf(encoded);
    const decoders = { blosc: decodeBlosc, lz4: (block) => new Lz4().decode(block), zstd: (frame) => new Zstd().decode(frame) };
    assert.deepEqual(Buffer.from(await decoders[codec](data)), Buffer.from(bytesOf(CASES.raw)));
  });
}

test("damaged Blosc data is refused, wherever it ends", async () => {
  const whole = bytesOf(CASES.encoded.find(({ codec }) => codec === "blosc").encoded);
  for (const length of [0, 5, 16, 20, whole.length - 1]) {
    await assert.rejects(decodeBlosc(whole.slice(0, length)));
  }
});

test("damaged LZ4 data is refused", () => {
  assert.throws(() => decodeLz4(Uint8Array.of(0xf0), new Uint8Array(4)), /damaged/);
  assert.throws(() => decodeLz4(Uint8Array.of(0x14, 1, 9, 0), new Uint8Array(9)), /damaged/);
});
