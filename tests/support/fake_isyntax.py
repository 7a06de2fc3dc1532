"""A stand-in for pyisyntax 0.1.7, as nothing can write iSyntax files: its API, on arrays in a file.

It behaves as the library does in what can hurt (`isyntax/wrapper.py`, `src/libisyntax.c`): levels
are of ``width >> scale`` pixels, regions are placed in pixels of the level, pixels are RGBA and
white where there is no tile, errors have no message, and a closed or failed slide keeps its file
open until it is collected.
"""

from __future__ import annotations

import io
import json
import types
from pathlib import Path

import numpy as np

START = b"\xef\xbb\xbf" + b'<DataObject ObjectType="DPUfsImport">\r\n'
DAMAGED = 0
"""The value that stands for damage in the file's arrays of what is sound, 1, and what is not."""


class LibISyntaxError(Exception):
    """As isyntax.lowlevel.libisyntax has it, without a message."""


def write_isyntax(path: Path, levels, mpp: float, sound=None, profile: bytes = b"") -> Path:
    """Write levels, and whether each pixel of level 0 is sound, behind the XML's first line."""
    buffer = io.BytesIO()
    arrays = {f"level{n}": level for n, level in enumerate(levels)}
    sound = np.ones(levels[0].shape[:2], np.uint8) if sound is None else sound
    facts = np.frombuffer(json.dumps({"mpp": mpp, "levels": len(levels)}).encode(), np.uint8)
    profile_bytes = np.frombuffer(profile, np.uint8)
    np.savez(buffer, facts=facts, sound=sound, profile=profile_bytes, **arrays)
    path.write_bytes(START + buffer.getvalue())
    return path


class ISyntax:
    """The part of pyisyntax's class that is used."""

    def __init__(self, arrays) -> None:
        facts = json.loads(arrays["facts"].tobytes())
        self._levels = [arrays[f"level{n}"] for n in range(facts["levels"])]
        self._sound, self._profile = arrays["sound"], arrays["profile"].tobytes()
        self.mpp_x = self.mpp_y = facts["mpp"]
        self.closed = False

    @classmethod
    def open(cls, filename, cache_size: int = 2000) -> ISyntax:
        content = Path(filename).read_bytes()
        try:
            with np.load(io.BytesIO(content[len(START) :]), allow_pickle=False) as file:
                return cls({name: file[name] for name in file.files})
        except Exception as error:
            raise LibISyntaxError from error

    def get_cache(self):
        return object()

    @property
    def level_dimensions(self):
        rows, cols = self._levels[0].shape[:2]
        return [(cols >> scale, rows >> scale) for scale in range(len(self._levels))]

    def read_region(self, x, y, width, height, level=0):
        assert not self.closed, "libisyntax would crash"
        assert 0 <= level < len(self._levels), "libisyntax would crash"
        out = np.full((height, width, 4), 255, np.uint8)
        part = self._levels[level][y : y + height, x : x + width]
        out[: part.shape[0], : part.shape[1], :3] = part
        if level == 0 and (self._sound[y : y + height, x : x + width] == DAMAGED).any():
            raise LibISyntaxError
        return out

    def read_icc_profile(self):
        return memoryview(self._profile) if self._profile else None

    def close(self) -> None:
        self.closed = True


def modules() -> dict[str, types.ModuleType]:
    """Return the stand-in under the name of pyisyntax's module."""
    module = types.ModuleType("isyntax")
    module.ISyntax = ISyntax
    return {"isyntax": module}
