"""What a result was made from: digests, versions and options, without private paths."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import heatmaps_ome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.extractors.protocol import Extractor
    from heatmaps_ome.options import CreateOptions

_WITHOUT_EFFECT = frozenset({
    "slides", "from_file", "output_path", "cache_dir", "model_path", "extractor_weights", "scaling",
    "block_size", "max_memory", "threads", "device", "force_cpu", "precision", "overwrite",
    "verbose", "covariate",
})  # fmt: skip
"""Options that change no value of a result, or whose effect the digests beside them hold.

precision is such a one: "auto" means one thing here and another there, and the extractor's digest
holds what it came to.
"""

_DRAWN = frozenset({
    "att_cmap", "score_cmap", "contribution_cmap", "att_alpha", "score_alpha",
    "att_lower_threshold", "att_upper_threshold", "score_threshold", "true_class", "region_hot",
    "region_cold", "top_tiles", "formats",
})  # fmt: skip
"""Options that change single maps, regions or tiles, or which files there are; no other file."""

_PACKAGES = (
    "torch", "numpy", "zarr", "ome-zarr", "pyvips", "openslide-python", "openslide-bin",
    "matplotlib", "pillow", "scipy", "shapely", "contourpy",
)  # fmt: skip


def effective_options(options: CreateOptions) -> dict[str, Any]:
    """Return the options that change a result, as plain JSON values."""
    return {
        each.name: _plain(getattr(options, each.name))
        for each in fields(options)
        if each.name not in _WITHOUT_EFFECT
    }


def undrawn_options(options: CreateOptions) -> dict[str, Any]:
    """Return the options that change files beyond the single maps, regions and tiles in them."""
    kept = effective_options(options)
    return {name: value for name, value in kept.items() if name not in _DRAWN}


def all_options(options: CreateOptions) -> dict[str, Any]:
    """Return all options but the slides; of files only the name, as a path may name a patient."""
    return {
        each.name: _plain(getattr(options, each.name))
        for each in fields(options)
        if each.name not in ("slides", "covariate")
    }


def _plain(value: Any) -> Any:
    """Return an option's value as JSON has it."""
    if isinstance(value, Path):
        return value.name
    if isinstance(value, tuple) and any(isinstance(each, Path) for each in value):
        names = [each.name for each in value]
        return names[0] if len(names) == 1 else names
    return list(value) if isinstance(value, tuple) else value


def digest_of(said: Mapping[str, Any]) -> str:
    """Return the sha256 of JSON values, independent of the order of their keys."""
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def file_digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file below a folder, by its path relative to the folder."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    # Of a slide they are thousands, and hashing lets other threads go on.
    with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="digest") as pool:
        digests = pool.map(file_digest, paths)
        return {
            path.relative_to(folder).as_posix(): digest
            for path, digest in zip(paths, digests, strict=True)
        }


def file_digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Return the versions of this package and of all that its results depend on."""
    found = {"heatmaps-ome": heatmaps_ome.__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def write_json(path: Path, said: Mapping[str, Any]) -> None:
    """Write JSON for people and machines, replacing the file as a whole."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(said, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(path)


def extractor_record(extractor: Extractor) -> dict[str, Any]:
    """Return what identifies the extractor and places its cells."""
    return {
        "name": extractor.name,
        "digest": extractor.digest,
        "weights_sha256": extractor.weights_digest,
        "precision": extractor.precision,
        "channels": extractor.channels,
        "stride_px": extractor.stride_px,
        "centre_px": extractor.centre_px,
    }


def finite(value: float) -> float | None:
    """Return a value as strict JSON has it: nothing for NaN."""
    return value if math.isfinite(value) else None


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
