#!/usr/bin/env python3
"""Open a slide's results in napari: the slide, the maps and the labels, each at its place.

    pip install "napari[all]" zarr dask
    python open.py RESULTS            (a slide's folder, or a run's with --slide NAME)

Where heatmaps-ome itself is installed beside napari, ``heatmaps-ome view --napari RESULTS`` does
the same, and so does a slide's folder that is dropped on napari.

The slide is one RGB layer; each map is a layer of its drawn floats (the raw ones times the map's
factor, with its colours, its contrast limits and its value under the mouse) and a hidden layer of
its label in the OME-Zarr; hot and cold regions are hidden layers of shapes. napari takes a layer's
translation as the centre of its first pixel, but the files state its corner: here every layer of
pixels is moved by half of its own pixel, so that the slide's corner is (0, 0) µm and all layers
agree exactly, which napari-ome-zarr cannot do. plain_zarr.py has to lie beside this script.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import zarr

try:
    from plain_zarr import inside, read_object, require_plain_array
except ModuleNotFoundError:  # the package has the same module in another place
    from heatmaps_ome.slides.plain_zarr import inside, read_object, require_plain_array

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from napari.components import ViewerModel

    LayerData = tuple[Any, dict[str, Any], str]
    """A layer as readers of napari return it: the data, the arguments, and its type."""

UNITS = ("um", "um")
MANIFEST = "maps.json"
FORMAT = "heatmaps-ome maps 3"
EARLIER_FORMATS = ("heatmaps-ome maps 1", "heatmaps-ome maps 2")
STATED = ("kind", "class", "quantity", "unit", "factor", "raw")
"""Facts of a map that its layer keeps as metadata."""
FIRST_KINDS = ("score", "prediction", "value")
"""Kinds of the map that is visible at first, of the class drawn hot."""
OUTLINES = {"hot": "#d55e00", "cold": "#0072b2"}
"""Colours of regions for any colour vision, unless the results state others."""
LINE_CELLS = 0.15
"""Width of a region's outline in cells; a hole's has half of it."""
MAX_OPACITY = 0.7
"""Largest initial opacity of a map: at 1 it would hide the tissue."""


class UnreadableError(ValueError):
    """Results that cannot be shown; the message is a sentence for the user."""


def show(folder: Path, viewer: ViewerModel) -> None:
    """Add a slide's layers to a viewer, the first map visible and the others hidden."""
    from napari.layers import Layer

    for layer in layers_of(folder):
        viewer.add_layer(Layer.create(*layer))
    # Since napari 0.9 overlays belong to the canvas.
    overlays = viewer.canvas.overlays if hasattr(viewer, "canvas") else viewer
    overlays.scale_bar.visible = True
    viewer.title = title_of(read_manifest(folder / MANIFEST))


def layers_of(folder: Path) -> list[LayerData]:
    """Return a slide's layers, the lowest first.

    Raises
    ------
    UnreadableError
        If the folder is of another version of heatmaps-ome.
    OSError, ValueError, LookupError, TypeError
        If it is damaged.
    """
    facts = read_manifest(folder / MANIFEST)
    layers: list[LayerData] = []
    if facts["image"] is not None:
        store = _group(inside(folder, facts["image"]))
        layers.append(_slide_layer(store, facts["slide"]["name"]))
        layers += [_label_layer(store, entry) for entry in reversed(facts["maps"])
                   if f"labels/{entry['name']}" in store]  # fmt: skip
    values = _array(_group(inside(folder, facts["values"])), "0")
    maps = [(entry, _values_of(entry, values)) for entry in facts["maps"]]
    maps = [(entry, drawn) for entry, drawn in maps if drawn is not None]
    first = _first_map([entry for entry, _ in maps], facts.get("true_class"))
    # The first map comes last, on top of the list; sorting keeps the order of all others.
    maps.sort(key=lambda pair: pair[0] is not first)
    layers += [_values_layer(drawn, entry, facts["grid"], visible=entry is first)
               for entry, drawn in reversed(maps)]  # fmt: skip
    if facts.get("regions_geojson") is not None:
        layers += _region_layers(read_object(inside(folder, facts["regions_geojson"])), facts)
    return layers


def read_manifest(path: Path) -> dict[str, Any]:
    """Return the content of a maps.json.

    Raises
    ------
    UnreadableError
        If it is of another format.
    """
    facts = read_object(path)
    if facts.get("format") in EARLIER_FORMATS:
        raise UnreadableError(
            f"{path} was made by an earlier version of heatmaps-ome; run create again "
            "with --overwrite (the network's work is in the cache)"
        )
    if facts.get("format") != FORMAT:
        raise UnreadableError(
            f"{path} is not of the format “{FORMAT}”; take the same version of heatmaps-ome for "
            "napari and for the results"
        )
    return facts


def title_of(facts: dict[str, Any]) -> str:
    """Return the window's title: the slide, its prediction, the class drawn hot, ground truth."""
    known = [(name, value) for name, value in facts["prediction"].items() if value is not None]
    texts = [f"{name} {_number_text(value)}" for name, value in known]
    parts = [facts["slide"]["name"], " · ".join(texts) or "no prediction: no tissue was found"]
    if facts.get("true_class"):
        parts.append(f"drawn hot: {facts['true_class']}")
    if facts.get("label"):
        parts.append(f"ground truth: {facts['label']}")
    return " – ".join([*parts, "For research, not for diagnosis."])


def _number_text(value: float) -> str:
    """Return three significant digits of a number or, close below 1, of what is left to 1."""
    rest = 1 - value
    if not 0 < rest < 0.5:
        return f"{value:.3g}"
    if rest < 1e-4:
        return f"1 \u2212 {rest:.3g}"
    return f"{value:.{2 - math.floor(math.log10(rest))}f}"


def _first_map(maps: Sequence[dict[str, Any]], hot_class: str | None) -> dict[str, Any] | None:
    """Return the map to show first: the score of the class drawn hot, or the first of all."""
    for kind in FIRST_KINDS:
        for entry in maps:
            if (entry["kind"], entry["class"]) == (kind, hot_class):
                return entry
    return maps[0] if maps else None


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


def _slide_layer(store: zarr.Group, name: str) -> LayerData:
    """Return the slide as one RGB layer with all its levels."""
    levels, um_pixel = _pyramid(store)
    data, several = _levels([da.moveaxis(level, 0, -1) for level in levels])
    facts = {
        "name": name, "rgb": True, "multiscale": several, "scale": um_pixel,
        "translate": um_pixel / 2, "units": UNITS,
    }  # fmt: skip
    return data, facts, "image"


def _values_layer(
    values: np.ndarray, about: dict[str, Any], grid: dict[str, Any], *, visible: bool
) -> LayerData:
    """Return a layer of a map's drawn floats; NaN is transparent."""
    from napari.utils.colormaps import Colormap

    mpp = _yx(grid["mpp"])
    um_cell, um_origin = _yx(grid["l0_cell"]) * mpp, _yx(grid["l0_origin"]) * mpp
    colours = [[int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)] for code in about["colours"]]
    colormap = Colormap(
        [[*rgb, 1.0] for rgb in colours],
        name=f"{about['colour_map']} ({about['name']})",
        nan_color=np.zeros(4),
    )
    facts = {
        "name": about["title"], "colormap": colormap,
        "contrast_limits": _distinct(about["levels"]["lower"], about["levels"]["upper"]),
        "scale": um_cell, "translate": um_origin + um_cell / 2, "units": UNITS,
        "interpolation2d": "nearest", "blending": "translucent", "visible": visible,
        "opacity": min(about["opacity"]["alpha"], MAX_OPACITY),
        "metadata": {name: about[name] for name in STATED},
    }  # fmt: skip
    return values, facts, "image"


def _label_layer(store: zarr.Group, about: dict[str, Any]) -> LayerData:
    """Return a map's label, with its colours and the value of each label number."""
    from napari.utils.colormaps import DirectLabelColormap

    group = _group(inside(_folder(store), f"labels/{about['name']}"))
    levels, um_pixel = _pyramid(group)
    label = _attributes(group)["image-label"]
    colours = {row["label-value"]: np.array(row["rgba"]) / 255 for row in label["colors"]}
    features = {
        "index": [row["label-value"] for row in label["properties"]],
        about["quantity"]: [row.get(about["name"]) for row in label["properties"]],
        # A level at the end of the colours stands for all values beyond it, too.
        "bound": [row.get("bound", "") for row in label["properties"]],
    }
    data, several = _levels(levels)
    facts = {
        "name": f"{about['title']} (label)", "multiscale": several, "scale": um_pixel,
        "translate": um_pixel / 2, "units": UNITS, "features": features, "opacity": 0.5,
        "colormap": DirectLabelColormap(color_dict={**colours, None: np.zeros(4)}),
        "visible": False,
    }  # fmt: skip
    return data, facts, "labels"


def _region_layers(geojson: dict[str, Any], facts: dict[str, Any]) -> Iterator[LayerData]:
    """Yield a layer of outlines for the hot regions and for the cold ones; holes have thin ones."""
    hot_class = facts.get("true_class")
    titles = {"hot": f"Hot regions, for {hot_class}", "cold": f"Cold regions, against {hot_class}"}
    width = LINE_CELLS * min(facts["grid"]["l0_cell"].values())
    for kind, colour in OUTLINES.items():
        rings = [(*ring, feature["properties"])
                 for feature in geojson["features"] if _kind_of(feature) == kind
                 for ring in _rings(feature["geometry"])]  # fmt: skip
        if not rings:
            continue
        stated = (facts.get("outlines") or {}).get(kind) or {}
        measured = [{"region": own["name"], "hole": hole, **own.get("measurements", {})}
                    for _, hole, own in rings]  # fmt: skip
        # Places are level-0 pixels from the slide's corner: shapes have no half pixel to move by.
        yield [ring for ring, _, _ in rings], {
            "name": titles[kind], "shape_type": "polygon", "face_color": "transparent",
            "edge_color": stated.get("colour", colour),
            "edge_width": [width / 2 if hole else width for _, hole, _ in rings],
            "scale": _yx(facts["slide"]["mpp"]), "units": UNITS, "visible": False, "opacity": 1.0,
            "features": {name: [row.get(name) for row in measured]
                         for name in dict.fromkeys(key for row in measured for key in row)},
        }, "shapes"  # fmt: skip


def _kind_of(feature: dict[str, Any]) -> str:
    """Return "hot" or "cold", as regions call themselves: "hot 1"."""
    properties = feature["properties"]
    return properties.get("metadata", {}).get("kind") or str(properties["name"]).split(" ")[0]


def _rings(geometry: dict[str, Any]) -> list[tuple[np.ndarray, bool]]:
    """Return the rings of a polygon, or several, as (n, 2) level-0 (y, x), and which are holes."""
    several = geometry["type"] == "MultiPolygon"
    polygons = geometry["coordinates"] if several else [geometry["coordinates"]]
    # A ring of GeoJSON ends where it began; a polygon of napari closes itself.
    return [(np.array(ring, float)[:-1, ::-1], place > 0)
            for rings in polygons for place, ring in enumerate(rings)]  # fmt: skip


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


def _levels(levels: list[da.Array]) -> tuple[Any, bool]:
    """Return napari's data of a pyramid, and whether it is one: a single level is none."""
    several = len(levels) > 1
    return (levels if several else levels[0]), several


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
    except UnreadableError as error:
        sys.exit(f"open.py: {error}")
    except (OSError, ValueError, LookupError, TypeError) as error:
        sys.exit(f"open.py: {folder} cannot be read ({error}); make it anew with heatmaps-ome")
    viewer.reset_view()
    napari.run()


if __name__ == "__main__":
    main()
