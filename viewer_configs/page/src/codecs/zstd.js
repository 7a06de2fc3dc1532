/** Zstandard as a Zarr codec, decoding only. */

import { decompress } from "fzstd";

/** The codec, for zarrita. */
export default class Zstd {
  kind = "bytes_to_bytes";

  static fromConfig() {
    return new Zstd();
  }

  decode(data) {
    return decompress(data);
  }
}
