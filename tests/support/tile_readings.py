"""The value of a tile in every file of a result, by zarr, tifffile, csv and json alone.

None of this uses the package: places are found by the scale that a file itself states.
"""

from __future__ import annotations

import csv
import json
import math
from functools import cached_property
from xml.etree import ElementTree

import numpy as np
import tifffile
import zarr

_OME = "{http://www.openmicroscopy.org/Schemas/OME/2016-06}"


class TileReadings:
    """Looks up values at places in level-0 pixels in the files of a slide's folder.

    Parameters
    ----------
    folder : Path
    mpp : (y, x)
        µm per level-0 pixel of the slide.
    """

    def __init__(self, folder, mpp):
        self.folder, self.name, self.mpp = folder, folder.name, mpp
        self._read = {}
        self.manifest = json.loads((folder / "maps.json").read_text(encoding="utf-8"))

    def entry(self, name):
        """Return a map's entry of maps.json."""
        return next(entry for entry in self.manifest["maps"] if entry["name"] == name)

    @cached_property
    def planes(self):
        """The raw maps by name, the size of a cell and the first corner in µm."""
        group = zarr.open_group(self.folder / f"{self.name}.values.ome.zarr", mode="r")
        attributes = group.attrs.get("ome", group.attrs)
        names = [channel["label"] for channel in attributes["omero"]["channels"]]
        scale, shift = np.ones(2), np.zeros(2)
        for move in attributes["multiscales"][0]["datasets"][0]["coordinateTransformations"]:
            if move["type"] == "scale":
                scale = np.array(move["scale"][-2:])
            else:
                shift = np.array(move["translation"][-2:])
        return dict(zip(names, np.asarray(group["0"]), strict=True)), scale, shift

    def zarr_values(self, name, x, y, around=0.0):
        """Return the raw values within a distance of a place; one where it is 0."""
        planes, scale, shift = self.planes
        return _part(planes[name], (y, x), self.mpp, scale, shift, around)

    def label_values(self, name, x, y, around=0.0):
        """Return, level by level, the size of a pixel in µm and a label's meanings at a place."""
        return [
            (scale, _part(meanings, (y, x), self.mpp, scale, 0, around))
            for scale, meanings in self._once(self._label_levels, name)
        ]

    def _label_levels(self, name):
        group = zarr.open_group(self.folder / f"{self.name}.ome.zarr/labels/{name}", mode="r")
        attributes = group.attrs.get("ome", group.attrs)
        meaning = np.full(256, np.nan)
        for entry in attributes["image-label"]["properties"]:
            meaning[entry["label-value"]] = entry.get(name, np.nan)
        out = []
        for dataset in attributes["multiscales"][0]["datasets"]:
            [move] = dataset["coordinateTransformations"]
            levels = np.asarray(group[dataset["path"]])
            out.append((np.array(move["scale"][-2:]), meaning[levels]))
        return out

    def _once(self, read, name):
        """Return a file's content, which is read once."""
        key = (read.__name__, name)
        if key not in self._read:
            self._read[key] = read(name)
        return self._read[key]

    def overlay_colours(self, name, x, y, around=0.0):
        """Return the (n, 4) colours of an overlay's full resolution."""
        pixels, um = self._once(_tiff, self.folder / self.entry(name)["overlay"])
        return _part(pixels, (y, x), self.mpp, um, 0, around).reshape(-1, 4)

    def tiff_values(self, name, x, y, around=0.0):
        """Return values of the float TIFF, a pixel for each cell, by the channel of maps.json."""
        path = self.folder / self.manifest["values_tiff"]
        (pixels, um), shift = self._once(_tiff, path), self._once(_position, path)
        return _part(pixels[self.entry(name)["channel"]], (y, x), self.mpp, um, shift, around)

    def manifest_value(self, name, x, y):
        """Return the value as a reader of maps.json finds it: channel, and grid in pixels."""
        grid = self.manifest["grid"]
        row, col = (
            math.floor((place - grid["l0_origin"][axis]) / grid["l0_cell"][axis])
            for place, axis in ((y, "y"), (x, "x"))
        )
        stack = self._once(_stack, self.folder / self.manifest["values"])
        return stack[self.entry(name)["channel"], row, col]

    @cached_property
    def rows(self):
        """The rows of cells.csv by the (x, y) of their centres."""
        with (self.folder / f"{self.name}.cells.csv").open(encoding="utf-8", newline="") as file:
            return {
                _centre(*(float(row[key]) for key in ("x", "y", "width", "height"))): row
                for row in csv.DictReader(file)
            }

    @cached_property
    def features(self):
        """The measurements of the GeoJSON by the (x, y) of their centres."""
        content = json.loads(
            (self.folder / f"{self.name}.cells.geojson").read_text(encoding="utf-8")
        )
        out = {}
        for feature in content["features"]:
            (x0, y0), _, (x1, y1), *_ = feature["geometry"]["coordinates"][0]
            out[_centre(x0, y0, x1 - x0, y1 - y0)] = feature["properties"]["measurements"]
        return out

    def table(self):
        """Return places, values and names of the table of tiles."""
        group = zarr.open_group(self.folder / f"{self.name}.values.ome.zarr/tiles", mode="r")
        names = [entry["name"] for entry in group.attrs["heatmaps_ome"]["channels"]]
        return np.asarray(group["places"]), dict(
            zip(names, np.asarray(group["values"]), strict=True)
        )

    def colour(self, name, value):
        """Return the RGB that maps.json gives to a value."""
        entry = self.entry(name)
        ends, colours = entry["levels"], entry["colours"]
        place = (value - ends["lower"]) / (ends["upper"] - ends["lower"])
        level = round(min(1.0, max(0.0, place)) * (len(colours) - 1))
        return tuple(bytes.fromhex(colours[level][1:]))


def _centre(x, y, width, height):
    return round(x + width / 2, 2), round(y + height / 2, 2)


def _part(array, place, mpp, um_pixel, um_shift, around):
    """Return the pixels within a distance of a place; all that are inside the array."""
    um, reach = np.array(place) * mpp, around * np.array(mpp)
    first = np.floor((um - reach - um_shift) / um_pixel).astype(int)
    last = np.floor((um + reach - um_shift) / um_pixel).astype(int)
    (top, left), (bottom, right) = np.maximum(first, 0), last
    return array[top : bottom + 1, left : right + 1].reshape(-1, *array.shape[2:])


def _stack(path):
    return np.asarray(zarr.open_group(path, mode="r")["0"])


def _tiff(path):
    with tifffile.TiffFile(path) as file:
        pixels = ElementTree.fromstring(file.ome_metadata).find(f".//{_OME}Pixels")
        um = np.array([float(pixels.get(f"PhysicalSize{axis}")) for axis in "YX"])
        return file.series[0].levels[0].asarray(), um


def _position(path):
    with tifffile.TiffFile(path) as file:
        plane = ElementTree.fromstring(file.ome_metadata).find(f".//{_OME}Plane")
        return np.array([float(plane.get(f"Position{axis}")) for axis in "YX"])


def assert_found_everywhere(readings, name, measurement, centre, value, *, around=0.0, share=None):
    """Check that every file has a tile's value at its centre, or within a distance of it.

    Parameters
    ----------
    value : float
        NaN: no tissue.
    share : float or None
        The value of a single cell where the tile's cells share it.
    """
    x, y = centre
    drawn = value if share is None else share
    raw = readings.zarr_values(name, x, y, around)
    assert _holds(raw, drawn), (name, centre, raw, drawn)
    assert _holds(readings.tiff_values(name, x, y, around), drawn)
    if not around:
        assert _holds([readings.manifest_value(name, x, y)], drawn)
    entry = readings.entry(name)
    ends = entry["levels"]
    step = (ends["upper"] - ends["lower"]) / 253
    clipped = min(max(entry["factor"] * drawn, ends["lower"]), ends["upper"])
    for scale, meanings in readings.label_values(name, x, y, around):
        if max(scale / readings.mpp) <= 32:
            assert _holds(meanings, clipped, step), (name, centre, scale, meanings, clipped)
    row = readings.rows.get((round(x, 2), round(y, 2)))
    measured = readings.features.get((round(x, 2), round(y, 2)))
    colours = readings.overlay_colours(name, x, y, around)
    if math.isnan(value):
        assert (colours[:, 3] == 0).any()
        assert row is None or row[measurement] == ""
        assert measured is None or measurement not in measured
        return
    assert np.float32(row[measurement]) == np.float32(value)
    assert np.float32(measured[measurement]) == np.float32(value)
    opaque = colours[colours[:, 3] > 48]
    if len(opaque):
        wanted = np.array(readings.colour(name, clipped), int)
        apart = np.abs(opaque[:, :3].astype(int) - wanted).max(axis=1).min()
        assert apart <= 12, (name, centre, opaque, wanted)


def _holds(found, value, step=0.0):
    found = np.asarray(found, np.float64)
    if math.isnan(value):
        return bool(np.isnan(found).any())
    return bool((np.abs(found - np.float64(np.float32(value))) <= step + 1e-6 * abs(value)).any())
