#!/usr/bin/env python3
"""Open a slide's results in napari: the slide, the raw values and the labels, each at its place.

    pip install "napari[all]" zarr dask
    python open.py RESULTS            (a slide's folder, or a run's with --slide NAME)

The slide is one RGB layer; each map is a layer of its drawn floats (with its colours, its contrast
limits and its value under the mouse) and a hidden layer of its label in the OME-Zarr. napari takes
a layer's translation as the centre of its first pixel, but the files state its corner: here every
layer is moved by half of its own pixel, so that the slide's corner is (0, 0) µm and all layers
agree exactly, which napari-ome-zarr cannot do. plain_zarr.py has to lie beside this script.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import zarr
from plain_zarr import inside, read_object, require_plain_array

if TYPE_CHECKING:
    from napari.components import ViewerModel

UNITS = ("um", "um")
MANIFEST = "maps.json"
FORMAT = "heatmaps-ome maps 3"
EARLIER_FORMATS = ("heatmaps-ome maps 1", "heatmaps-ome maps 2")
STATED = ("kind", "class", "quantity", "unit", "factor", "raw")
"""Facts of a map that its layer keeps as metadata."""
FIRST_KIND = "attention"
"""Kind of the map that is visible at first."""
MAX_OPACITY = 0.7
"""Largest initial opacity of a map: at 1 it would hide the tissue."""


def show(folder: Path, viewer: ViewerModel) -> None:
    """Add a slide's layers to a viewer, the map of attention visible and the others hidden."""
    facts = read_manifest(folder / MANIFEST)
    if facts["image"] is not None:
        store = _group(inside(folder, facts["image"]))
        _add_slide(store, facts["slide"]["name"], viewer)
        for entry in reversed(facts["maps"]):
            _add_label(store, entry, viewer)
    values = _array(_group(inside(folder, facts["values"])), "0")
    maps = [(entry, _values_of(entry, values)) for entry in facts["maps"]]
    maps = [(entry, raw) for entry, raw in maps if raw is not None]
    # The first kind comes last, on top of the list; sorting keeps the order of all others.
    maps.sort(key=lambda pair: pair[0]["kind"] != FIRST_KIND)
    for entry, raw in reversed(maps):
        _add_values(raw, entry, facts["grid"], viewer)
    if maps:
        viewer.layers[-1].visible = True
    # Since napari 0.9 overlays belong to the canvas.
    overlays = viewer.canvas.overlays if hasattr(viewer, "canvas") else viewer
    overlays.scale_bar.visible = True
    viewer.title = f"{facts['slide']['name']} – {_prediction(facts['prediction'])}"


def read_manifest(path: Path) -> dict[str, Any]:
    """Return the content of a maps.json; exit with a message if it is of another format."""
    facts = read_object(path)
    if facts.get("format") in EARLIER_FORMATS:
        sys.exit(
            f"open.py: {path} was made by an earlier version of heatmaps-ome; run create again "
            "with --overwrite (the network's work is in the cache)"
        )
    if facts.get("format") != FORMAT:
        sys.exit(
            f"open.py: {path} is not of the format “{FORMAT}”; take open.py and the results of one "
            "run of heatmaps-ome"
        )
    return facts


def _values_of(about: dict[str, Any], values: zarr.Array) -> np.ndarray | None:
    """Return a map's drawn floats, or None for a map of kinds of cells, which has a label only.

    Contributions are drawn times the slide's cells, so that slides of any size compare.
    """
    if about["channel"] is not None:
        return np.asarray(values[about["channel"]]) * np.float32(about["factor"])
    derived = about["derived"] or {}
    rivals = derived.get("minus_highest_of")
    if rivals is None:
        return None
    own = np.asarray(values[derived["channel"]])
    return own - np.max([np.asarray(values[rival]) for rival in rivals], axis=0)


def _add_slide(store: zarr.Group, name: str, viewer: ViewerModel) -> None:
    """Add the slide as one RGB layer with all its levels."""
    levels, um_pixel = _pyramid(store)
    viewer.add_image(
        **_levels([da.moveaxis(level, 0, -1) for level in levels]),
        name=name, rgb=True, scale=um_pixel, translate=um_pixel / 2, units=UNITS,
    )  # fmt: skip


def _add_values(
    values: np.ndarray, about: dict[str, Any], grid: dict[str, Any], viewer: ViewerModel
) -> None:
    """Add a map's drawn floats; NaN is transparent."""
    from napari.utils.colormaps import Colormap

    mpp = _yx(grid["mpp"])
    um_cell, um_origin = _yx(grid["l0_cell"]) * mpp, _yx(grid["l0_origin"]) * mpp
    colours = [[int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)] for code in about["colours"]]
    viewer.add_image(
        values,
        name=about["title"],
        colormap=Colormap(
            [[*rgb, 1.0] for rgb in colours],
            name=f"{about['colour_map']} ({about['name']})",
            nan_color=np.zeros(4),
        ),
        contrast_limits=_distinct(about["levels"]["lower"], about["levels"]["upper"]),
        scale=um_cell, translate=um_origin + um_cell / 2, units=UNITS,
        interpolation2d="nearest", blending="translucent", visible=False,
        opacity=min(about["opacity"]["alpha"], MAX_OPACITY),
        metadata={name: about[name] for name in STATED},
    )  # fmt: skip


def _add_label(store: zarr.Group, about: dict[str, Any], viewer: ViewerModel) -> None:
    """Add a map's label, with its colours and the value of each label number."""
    from napari.utils.colormaps import DirectLabelColormap

    path = f"labels/{about['name']}"
    if path not in store:
        return
    group = _group(inside(_folder(store), path))
    levels, um_pixel = _pyramid(group)
    label = _attributes(group)["image-label"]
    colours = {row["label-value"]: np.array(row["rgba"]) / 255 for row in label["colors"]}
    features = {
        "index": [row["label-value"] for row in label["properties"]],
        about["quantity"]: [row.get(about["name"]) for row in label["properties"]],
    }
    viewer.add_labels(
        **_levels(levels),
        name=f"{about['title']} (label)", scale=um_pixel, translate=um_pixel / 2,
        units=UNITS, colormap=DirectLabelColormap(color_dict={**colours, None: np.zeros(4)}),
        features=features, opacity=0.5, visible=False,
    )  # fmt: skip


def _pyramid(group: zarr.Group) -> tuple[list[da.Array], np.ndarray]:
    """Return the levels of an image or label, and the size of its pixels (y, x) in µm."""
    multiscale = _attributes(group)["multiscales"][0]
    levels = [da.from_zarr(_array(group, dataset["path"])) for dataset in multiscale["datasets"]]
    moves = multiscale["datasets"][0]["coordinateTransformations"]
    scale = next(move["scale"] for move in moves if move["type"] == "scale")
    return levels, np.array(scale[-2:], float)


def _group(folder: Path) -> zarr.Group:
    """Open a group without the metadata of arrays that it may repeat."""
    return zarr.open_group(folder, mode="r", use_consolidated=False)


def _folder(group: zarr.Group) -> Path:
    """Return the folder that a group was opened from."""
    return Path(group.store.root)


def _array(group: zarr.Group, name: str) -> zarr.Array:
    """Open an array if it holds plain numbers: others may run code when they are read."""
    path = inside(_folder(group), name)
    require_plain_array(path)
    return zarr.open_array(path, mode="r")


def _levels(levels: list[da.Array]) -> dict[str, Any]:
    """Return napari's arguments for a pyramid; for napari a single level is not one."""
    several = len(levels) > 1
    return {"data": levels if several else levels[0], "multiscale": several}


def _attributes(group: zarr.Group) -> dict[str, Any]:
    """Return a group's NGFF attributes: at the top until 0.4, under "ome" since 0.5."""
    attributes: dict[str, Any] = dict(group.attrs)
    return attributes.get("ome", attributes)


def _yx(pair: dict[str, float]) -> np.ndarray:
    """Return a pair of numbers in napari's order, (y, x)."""
    return np.array([pair["y"], pair["x"]], float)


def _distinct(lower: float, upper: float) -> tuple[float, float]:
    """Return limits that differ, as napari requires."""
    return (lower, upper) if upper > lower else (lower, lower + max(1e-6, abs(lower) * 1e-3))


def _prediction(prediction: dict[str, float | None]) -> str:
    """Return class probabilities in words."""
    texts = [f"{name} {p:.3f}" for name, p in prediction.items() if p is not None]
    return " · ".join(texts) if texts else "no prediction: no tissue was found"


def chosen(path: Path, slide: str | None) -> Path:
    """Return the folder of the chosen slide; exit with a message if the choice is unclear."""
    if (path / MANIFEST).is_file():
        return path
    names = sorted(manifest.parent.name for manifest in path.glob(f"*/{MANIFEST}"))
    if slide in names or (slide is None and len(names) == 1):
        return path / (slide or names[0])
    sys.exit(
        f"open.py: choose one of the slides in {path} with --slide: {', '.join(names)}" if names
        else f"open.py: {path} holds no results; give the folder that heatmaps-ome create wrote to"
    )  # fmt: skip


def main() -> None:
    """Open napari."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("results", type=Path, help="a slide's folder of results, or a run's")
    parser.add_argument("--slide", help="name of the slide, if the folder is a run's")
    options = parser.parse_args()
    folder = chosen(options.results, options.slide)
    import napari

    viewer = napari.Viewer()
    try:
        show(folder, viewer)
    except (OSError, ValueError, LookupError, TypeError) as error:
        sys.exit(f"open.py: {folder} cannot be read ({error}); make it anew with heatmaps-ome")
    viewer.reset_view()
    napari.run()


if __name__ == "__main__":
    main()
