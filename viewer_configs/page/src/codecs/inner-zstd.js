/** Zstandard inside Blosc. */

import { decompress } from "fzstd";

/** Decode a frame into `out`, and fail unless it fills it exactly. */
export function decodeZstd(frame, out) {
  const bytes = decompress(frame);
  if (bytes.length !== out.length) throw new Error("damaged Zstandard data");
  out.set(bytes);
}
