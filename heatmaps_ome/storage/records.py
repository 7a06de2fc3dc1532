"""The record in each piece of the cache: the kind and slide it is of, and the files it has.

A record is bound to its piece and has a checksum of its own, so that a damaged record, or that of
another piece, does not pass.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import HeatmapsError
from heatmaps_ome.storage.checksums import checksum

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from heatmaps_ome.storage.cache import Key

RECORD: Final = "piece.json"
_FORMAT: Final = "heatmaps-ome cache 1"


class DamagedPieceError(HeatmapsError):
    """A piece of the cache is damaged, or was removed; the text is the reason."""


@dataclass(frozen=True)
class PieceRecord:
    """The facts of a piece.

    Attributes
    ----------
    kind : str
        The folder of the cache that it lies in.
    key : str
        The name of its own folder.
    fingerprint : str
        Digest of the slide's content.
    slide : str
        The slide's name, for lists.
    files : mapping of path relative to the piece → (bytes, CRC-32)
        Files of a piece that was written as a whole; a piece that grows has journals instead.
    """

    kind: str
    key: str
    fingerprint: str
    slide: str
    files: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @classmethod
    def of_key(cls, key: Key, folder: Path, slide: str) -> PieceRecord:
        """Return the record of a piece without files."""
        return cls(key.KIND, folder.name, str(key.identity()["slide"]), slide)

    def is_of(self, other: PieceRecord) -> bool:
        """Return whether two records are of the same piece; a slide may have been renamed."""
        return (self.kind, self.key, self.fingerprint) == (
            other.kind, other.key, other.fingerprint,
        )  # fmt: skip

    def text(self) -> bytes:
        """Return the record as a file has it."""
        values = {"format": _FORMAT, **asdict(self)}
        return json.dumps({**values, "checksum": _checksum(values)}, indent=1).encode()

    @classmethod
    def read(cls, folder: Path) -> PieceRecord:
        """Return the record in a folder.

        Raises
        ------
        FileNotFoundError
            If there is none.
        DamagedPieceError
            If it is damaged, or cannot be read.
        """
        try:
            return cls._parsed(json.loads((folder / RECORD).read_bytes()))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise DamagedPieceError(f"{RECORD}: {error.strerror}") from error
        # Deeply nested JSON is a RecursionError.
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise DamagedPieceError(f"{RECORD} is damaged") from error

    @classmethod
    def _parsed(cls, values: dict[str, Any]) -> PieceRecord:
        """Return the record of a file's values; ValueError if they are not as written."""
        if values.pop("checksum") != _checksum(values) or values.pop("format") != _FORMAT:
            raise ValueError("not as written")
        files = {str(name): (int(size), int(crc)) for name, (size, crc) in values["files"].items()}
        return cls(**{**values, "files": files})


def _checksum(values: Mapping[str, Any]) -> int:
    return checksum(json.dumps(values, sort_keys=True).encode())
