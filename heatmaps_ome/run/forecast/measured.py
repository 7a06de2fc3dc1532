"""Costs of finished slides, from their records and from the sizes of their folders."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.exporters import REGISTRY
from heatmaps_ome.geometry import YX, Shape, network_pixels
from heatmaps_ome.run.forecast.costs import Costs, Measure, Sum, megapixels_of
from heatmaps_ome.run.made_maps import made_of
from heatmaps_ome.storage.cache import PixelsKey, Source, folder_of
from heatmaps_ome.storage.result_folder import MAPS, PROVENANCE, record_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from heatmaps_ome.run.maker import Maker
    from heatmaps_ome.run.settings import RunSettings
    from heatmaps_ome.storage.cache import Key

MOST_SLIDES: Final = 16
"""Finished slides that are looked at: their folders have hundreds of files."""
LASTING: Final = frozenset({
    "formats", "figures", "ngff", "flattened", "flat_mpp", "image_mpp", "overlay_px", "previews",
    "cells_geojson", "top_tiles", "classes", "leave_one_out",
})  # fmt: skip
"""Options that change the time and space that a slide's files take."""
_DRAWING: Final = ("maps", "files")
_BESIDE: Final = frozenset({*REGISTRY, "network"})
"""Stages whose time is counted in another one, too."""
_COMPUTED_BYTES: Final = 500
"""Bytes that are written at least if features are computed; some 50 if they lie in the cache."""
_DAMAGED: Final = (ValueError, KeyError, TypeError, AttributeError, IndexError)


@dataclass(frozen=True, eq=False)
class Yardstick:
    """What slides must have in common with those of a run, so that they cost the same.

    Attributes
    ----------
    output, cache : Path
    target_mpp : float
        µm per network pixel.
    options : mapping
        The options that change results.
    maker : Maker or None
        None if no raw maps are made.
    """

    output: Path
    cache: Path
    target_mpp: float
    options: Mapping[str, Any]
    maker: Maker | None

    @classmethod
    def of(cls, settings: RunSettings, maker: Maker | None) -> Yardstick:
        """Return the yardstick of a run."""
        return cls(
            settings.output.folder,
            settings.resources.cache,
            settings.making.target_mpp,
            settings.records.effective,
            maker,
        )


def costs_of_output(yardstick: Yardstick) -> Costs:
    """Return the costs of slides whose maps or results lie in an output folder, some of them."""
    maps = _names(yardstick.output / MAPS) if yardstick.maker is not None else []
    costs = Costs()
    for name in maps[:MOST_SLIDES]:
        costs = costs.plus(costs_of_maps(yardstick, name))
    for name in _names(yardstick.output)[:MOST_SLIDES]:
        costs = costs.plus(costs_of_files(yardstick, name))
    return costs


def _names(folder: Path) -> list[str]:
    """Return the names of the finished folders in a folder."""
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:
        return []
    return [n for n in names if not n.startswith(".") and (folder / n / PROVENANCE).is_file()]


def costs_of_maps(yardstick: Yardstick, name: str) -> Costs:
    """Return what the raw maps of a slide cost; nothing if another network made them."""
    made, maker = made_of(yardstick.output, name), yardstick.maker
    try:
        if made is None or maker is None or made.extractor_digest != maker.extractor_digest:
            return Costs()
        seconds = _making_seconds(made.stages)
        megapixels = megapixels_of(made.shape, made.mpp, yardstick.target_mpp)
    except _DAMAGED:
        return Costs()
    return Costs() if seconds is None else Costs({"making": Sum.of_slide(seconds, megapixels)})


def costs_of_files(yardstick: Yardstick, name: str) -> Costs:
    """Return what the files of a slide cost; nothing if they were drawn with other options."""
    try:
        return _costs_of_files(yardstick, name, record_of(yardstick.output / name) or {})
    except _DAMAGED:
        return Costs()


def _costs_of_files(yardstick: Yardstick, name: str, record: Mapping[str, Any]) -> Costs:
    slide, options, stages = record["slide"], record["options"], record["stages"]
    if not _same(options, yardstick.options):
        return Costs()
    shape, mpp = Shape(*slide["shape"]), YX(*slide["mpp"])
    source = Source(
        slide["fingerprint"], mpp, options["read_from"], options["bad_tiles"],
        slide.get("pixels", ""),
    )  # fmt: skip
    sizes = _sizes(yardstick, name, source, shape, stages)
    costs = {"drawing": _seconds(stages, _DRAWING), **sizes}
    megapixels = megapixels_of(shape, mpp, yardstick.target_mpp)
    share = _share(yardstick, name, sum(sizes.values()))
    sums = {measure: Sum.of_slide(cost, megapixels) for measure, cost in costs.items()}
    return Costs(sums, share)


def _same(options: Mapping[str, Any], others: Mapping[str, Any]) -> bool:
    """Return whether results of options take the same time and space."""
    return all(options.get(name) == others.get(name) for name in LASTING)


def _making_seconds(stages: Mapping[str, Mapping[str, float]]) -> float | None:
    """Return the seconds that raw maps took; None if most of them came from the cache."""
    written = stages.get("features", {}).get("bytes_written")
    if written is not None and written < _COMPUTED_BYTES:
        return None
    names = [name for name in stages if name not in _BESIDE and name not in _DRAWING]
    return _seconds(stages, names) if names else None


def _seconds(stages: Mapping[str, Mapping[str, float]], names: Iterable[str]) -> float:
    return sum(stages.get(name, {}).get("seconds", 0) for name in names)


def _sizes(
    yardstick: Yardstick,
    name: str,
    source: Source,
    shape: Shape,
    stages: Mapping[str, Mapping[str, float]],
) -> dict[Measure, float]:
    """Return the bytes of a slide's results, features and pixels; a linked file counts once."""
    lattice = network_pixels(shape, source.mpp, yardstick.target_mpp)
    known: set[tuple[int, int]] = set()
    sizes: dict[Measure, float] = {"results": _new_bytes([yardstick.output / name], known)}
    keys: dict[Measure, Key] = {"pixels": PixelsKey(source, lattice.l0_cell)}
    if yardstick.maker is not None:
        features = yardstick.maker.features_key(source, lattice)
        if features is None:
            sizes["features"] = 0  # those of tiles were given
        else:
            keys["features"] = features
    for measure, key in keys.items():
        folder = folder_of(yardstick.cache, key)
        if folder.is_dir():
            sizes[measure] = _new_bytes([folder], known)
    if "pixels" not in sizes and "bytes_written" in stages.get("reading", {}):
        # The pixels of an archive are gone, but reading them has counted them.
        sizes["pixels"] = stages["reading"]["bytes_written"]
    return sizes


def _new_bytes(folders: Iterable[Path], known: set[tuple[int, int]]) -> int:
    """Return the bytes of all files in folders that are not among the known ones; add these."""
    size = 0
    for status in _statuses(folders):
        if (status.st_dev, status.st_ino) not in known:
            known.add((status.st_dev, status.st_ino))
            # What a file takes on disk, by which small ones count more than they hold.
            size += max(status.st_size, getattr(status, "st_blocks", 0) * 512)
    return size


def _statuses(folders: Iterable[Path]) -> Iterator[os.stat_result]:
    """Yield the facts of all files in folders; those that vanish meanwhile do not count."""
    for folder in folders:
        for path, _, names in os.walk(folder):
            for name in names:
                try:
                    yield Path(path, name).lstat()
                except OSError:
                    continue


def _share(yardstick: Yardstick, name: str, left: float) -> float | None:
    """Return the bytes that a slide left on disk for each byte of its own files."""
    made = made_of(yardstick.output, name)
    own = 0 if made is None or made.stamp is None else sum(int(entry[1]) for entry in made.stamp)
    return left / own if own else None
