/**
 * Zstandard for zarrita, decoding only. `fzstd` is a hundredth of the size of the WebAssembly codec
 * that numcodecs brings; the build puts this module in that one's place.
 */

import { decompress } from "fzstd";

export default class Zstd {
  static codecId = "zstd";

  static fromConfig() {
    return new Zstd();
  }

  encode() {
    throw new Error("this page only reads");
  }

  decode(data) {
    return decompress(data);
  }
}
