"""Ways to damage a cache, by seed: files, folders, and whole pieces in each other's places."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.random import Generator

KINDS = ("pixels", "features", "tiles", "maps", "pictures")


def _flip(path: Path, rng: Generator) -> None:
    data = bytearray(path.read_bytes() or b"\0")
    for _ in range(rng.integers(1, 4)):
        data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    path.write_bytes(data)


def _cut(path: Path, rng: Generator) -> None:
    path.write_bytes(path.read_bytes()[: rng.integers(0, max(1, path.stat().st_size))])


def _empty(path: Path, rng: Generator) -> None:
    path.write_bytes(b"")


def _delete(path: Path, rng: Generator) -> None:
    path.unlink()


def _garbage(path: Path, rng: Generator) -> None:
    path.write_bytes(rng.bytes(path.stat().st_size))


def _longer(path: Path, rng: Generator) -> None:
    path.write_bytes(path.read_bytes() + rng.bytes(rng.integers(1, 5000)))


def _folder(path: Path, rng: Generator) -> None:
    path.unlink()
    (path / "in the way").mkdir(parents=True)


def _loop(path: Path, rng: Generator) -> None:
    path.unlink()
    path.symlink_to(path)


def _sibling(path: Path, rng: Generator) -> None:
    """Put another file of the piece in a file's place, such as a chunk of the same array."""
    others = sorted(set(_files(_piece(path))) - {path})
    data = others[rng.integers(len(others))].read_bytes() if others else b"{}"
    path.write_bytes(data)


def _foreign(path: Path, rng: Generator) -> None:
    """Put the file of the same name of another slide's piece in a file's place."""
    piece = _piece(path)
    others = [other for other in sorted(piece.parent.iterdir()) if other != piece]
    source = others[rng.integers(len(others))] / path.relative_to(piece)
    if source.is_file():
        path.write_bytes(source.read_bytes())
    else:
        path.unlink()


def _extra(path: Path, rng: Generator) -> None:
    names = ("extra", "zarr.json", "9/9/9", ".zgroup", "0/7/7/7", "features.npy", "a.values.zarr/0")
    extra = _piece(path) / names[rng.integers(len(names))]
    if not extra.exists():
        extra.parent.mkdir(parents=True, exist_ok=True)
        extra.write_bytes(rng.bytes(99))


def _parent_deleted(path: Path, rng: Generator) -> None:
    shutil.rmtree(path.parent)


def _parent_file(path: Path, rng: Generator) -> None:
    shutil.rmtree(path.parent)
    path.parent.write_bytes(rng.bytes(99))


def _piece_deleted(path: Path, rng: Generator) -> None:
    shutil.rmtree(_piece(path))


def _piece_file(path: Path, rng: Generator) -> None:
    shutil.rmtree(_piece(path))
    _piece(path).write_bytes(b"")


def _piece_swapped(path: Path, rng: Generator) -> None:
    """Swap the piece with another of its kind."""
    piece = _piece(path)
    others = [other for other in sorted(piece.parent.iterdir()) if other != piece]
    other, aside = others[rng.integers(len(others))], piece.with_name("aside")
    piece.rename(aside)
    other.rename(piece)
    aside.rename(other)


def _piece_emptied(path: Path, rng: Generator) -> None:
    for file in _files(_piece(path)):
        file.write_bytes(b"")


def _kind_file(path: Path, rng: Generator) -> None:
    kind = _piece(path).parent
    shutil.rmtree(kind)
    kind.write_bytes(b"")


DAMAGES: dict[str, Callable[[Path, Generator], None]] = {
    damage.__name__.strip("_"): damage
    for damage in (
        _flip, _cut, _empty, _delete, _garbage, _longer, _folder, _loop, _sibling, _foreign,
        _extra, _parent_deleted, _parent_file, _piece_deleted, _piece_file, _piece_swapped,
        _piece_emptied, _kind_file,
    )
}  # fmt: skip
"""Each takes a file of the cache."""


def damage(cache: Path, rng: Generator, name: str | None = None) -> tuple[str, Path]:
    """Damage a file of a cache, or the piece that it lies in; return the damage and the file.

    Every kind of piece is as likely, and in it every kind of file.
    """
    kinds = [kind for kind in KINDS if (cache / kind).is_dir()]
    kind = cache / kinds[rng.integers(len(kinds))]
    pieces = sorted(path for path in kind.iterdir() if len(path.name) == 32)
    files = _files(pieces[rng.integers(len(pieces))])
    few = [path for path in files if not path.name.isdigit()]
    chosen = few if few and rng.random() < 0.5 else files
    path = chosen[rng.integers(len(chosen))]
    name = name or sorted(DAMAGES)[rng.integers(len(DAMAGES))]
    DAMAGES[name](path, rng)
    return name, path


def copy_of(cache: Path, target: Path) -> Path:
    """Return a copy of a cache, whose files are its own."""
    return shutil.copytree(cache, target)


def _piece(path: Path) -> Path:
    while len(path.name) != 32 or path.parent.name not in KINDS:
        path = path.parent
    return path


def _files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and os.access(path, os.R_OK)
    )
