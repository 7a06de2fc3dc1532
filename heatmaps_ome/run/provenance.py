"""Origin of a result: options, versions and extractor, without private paths."""

from __future__ import annotations

import platform
from dataclasses import dataclass, fields
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import heatmaps_ome
from heatmaps_ome.options import with_usual_values

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import Field

    from heatmaps_ome.extractors.protocol import Extractor, TileEncoder
    from heatmaps_ome.options import CreateOptions, ExportOptions

_PACKAGES = (
    "torch", "numpy", "zarr", "ome-zarr", "pyvips", "openslide-python", "openslide-bin",
    "matplotlib", "pillow", "scipy", "shapely", "contourpy", "h5py",
)  # fmt: skip

PRIVATE = frozenset({
    "slides", "covariate", "from_file", "table", "output_path", "cache_dir", "features", "scores",
    "coords", "scheduler", "cluster", "scratch",
})  # fmt: skip
"""Options that may name a patient, even by the name of a folder or list, so no record has them."""

NOT_KEPT = frozenset({
    "slides", "from_file", "table", "output_path", "overwrite", "refit", "verbose",
    "shard", "verify", "workers", "scheduler", "cluster", "retries", "slide_timeout", "scratch",
    "scratch_size", "dry_run",
})  # fmt: skip
"""Options that concern one call alone, and not the maps that it makes."""


@dataclass(frozen=True)
class OptionRecords:
    """The options as records hold them, by name and as plain JSON values.

    Attributes
    ----------
    effective : dict
        Options that change a result.
    undrawn : dict
        Options that change files beyond the single maps, regions and tiles in them.
    every : dict
        All options but the slides and covariates.
    given : dict
        All options as they were given but for the slides and the output folder, with whole paths;
        from these, `job` makes the same options again. No other record has them.
    """

    effective: dict[str, Any]
    undrawn: dict[str, Any]
    every: dict[str, Any]
    given: dict[str, Any]

    @classmethod
    def of(cls, options: CreateOptions | ExportOptions) -> OptionRecords:
        """Return what records hold of the options."""
        return cls(
            effective_options(options),
            undrawn_options(options),
            all_options(options),
            given_options(options),
        )


def effective_options(options: CreateOptions | ExportOptions) -> dict[str, Any]:
    """Return the options that change a result, as plain JSON values."""
    return _values(options, lambda option: option.metadata["effect"] != "none")


def undrawn_options(options: CreateOptions | ExportOptions) -> dict[str, Any]:
    """Return the options that change files beyond the single maps, regions and tiles in them."""
    return _values(options, lambda option: option.metadata["effect"] == "values")


def all_options(options: CreateOptions | ExportOptions) -> dict[str, Any]:
    """Return all options that do not name a patient; paths of models are cut to names."""
    return _values(options, lambda option: option.name not in PRIVATE)


def given_options(options: CreateOptions | ExportOptions) -> dict[str, Any]:
    """Return all options but the slides and the output folder as JSON values, with whole paths."""
    return {
        entry.name: _whole(getattr(options, entry.name))
        for entry in fields(options)
        if entry.name not in NOT_KEPT
    }


def _whole(value: Any) -> Any:
    """Return an option's value as plain JSON values; paths hold from any folder."""
    if isinstance(value, Path):
        return str(value.absolute())
    return [_whole(one) for one in value] if isinstance(value, tuple) else value


def _values(
    options: CreateOptions | ExportOptions, wanted: Callable[[Field[Any]], bool]
) -> dict[str, Any]:
    """Return options as plain JSON values, with the usual values of those that are not given.

    Quantiles are None under --scaling, whose record has those that were used.
    """
    usual = with_usual_values(options)
    return {
        option.name: _plain(getattr(usual, option.name))
        for option in fields(usual)
        if wanted(option)
    }


def _plain(value: Any) -> Any:
    """Return an option's value as plain JSON values."""
    if isinstance(value, Path):
        return value.name
    if isinstance(value, tuple) and any(isinstance(path, Path) for path in value):
        names = [path.name for path in value]
        return names[0] if len(names) == 1 else names
    return list(value) if isinstance(value, tuple) else value


def versions() -> dict[str, str]:
    """Return the versions of this package and of the packages that its results depend on."""
    ours = {"heatmaps-ome": heatmaps_ome.__version__, "python": platform.python_version()}
    return {**ours, **_installed()}


@cache
def _installed() -> dict[str, str]:
    """Return the versions of the packages that are installed: a search through many folders."""
    installed = {}
    for package in _PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


def encoder_record(encoder: TileEncoder) -> dict[str, Any]:
    """Return the facts that identify an encoder of tiles."""
    return {
        "name": encoder.name,
        "digest": encoder.digest,
        "weights_sha256": encoder.weights_digest,
        "precision": encoder.precision,
        "channels": encoder.channels,
    }


def extractor_record(extractor: Extractor) -> dict[str, Any]:
    """Return the facts that identify the extractor and place its cells."""
    return {
        **encoder_record(extractor),
        "stride_px": extractor.stride_px,
        "centre_px": extractor.centre_px,
    }
