"""The value of a map at a place in µm, by zarr and arithmetic of its own."""

import math

import numpy as np
import zarr


class ValuesReader:
    """Reads a slide's raw values by what its files state, without the package."""

    def __init__(self, folder, manifest):
        self._folder = folder
        group = zarr.open_group(folder / manifest["values"], mode="r")
        self._planes = group["0"][:]
        facts = group.attrs["heatmaps_ome"]
        self._axes = [
            (facts["l0_origin"][axis], facts["l0_cell"][axis], facts["mpp"][axis]) for axis in "yx"
        ]

    def plane(self, entry):
        """Return the (rows, cols) values of an entry of maps.json; NaN off tissue."""
        tissue = ~np.isnan(self._planes[0])
        derived = entry["derived"]
        if entry["channel"] is not None:
            return self._planes[entry["channel"]]
        if entry["kind"] == "tissue":
            return np.where(tissue, 1.0, np.nan)
        if "highest_of" in derived:
            scores = self._planes[derived["highest_of"]]
            first = np.array([
                [1 + max(range(len(cell)), key=lambda k: cell[k]) for cell in row]
                for row in np.moveaxis(np.nan_to_num(scores), 0, -1).tolist()
            ])  # fmt: skip
            return np.where(tissue, first, np.nan)
        if "minus_highest_of" in derived:
            others = self._planes[derived["minus_highest_of"]]
            return self._planes[derived["channel"]] - others.max(axis=0)
        label = zarr.open_array(self._folder / derived["label"] / "0", mode="r")[:]
        return np.where(tissue, label, np.nan)

    def cell(self, um_y, um_x):
        """Return the (row, col) of the cell around a place."""
        return tuple(
            math.floor((um / mpp - origin) / size)
            for um, (origin, size, mpp) in zip((um_y, um_x), self._axes, strict=True)
        )

    def places(self, count, seed=0):
        """Return (um_y, um_x) places on the map, strewn over it."""
        ends = [
            (origin * mpp, (origin + size * n) * mpp)
            for (origin, size, mpp), n in zip(self._axes, self._planes.shape[1:], strict=True)
        ]
        rng = np.random.default_rng(seed)
        return [tuple(rng.uniform(*end) for end in ends) for _ in range(count)]


def assert_values_at_places(slide, folder, manifest, count=200):
    """Check every map of maps.json at many places, in µm and in level-0 pixels."""
    reader, mpp = ValuesReader(folder, manifest), manifest["grid"]["mpp"]
    kinds = set()
    for entry in manifest["maps"]:
        shown = slide.map(entry["kind"], entry["class"])
        expected = reader.plane(entry)
        assert shown.values.dtype == np.float32
        np.testing.assert_array_equal(shown.values, expected.astype(np.float32))
        raw = entry["raw"] or entry
        assert (shown.title, shown.quantity, shown.unit, list(shown.categories)) == (
            entry["title"], raw["quantity"], raw["unit"], entry["categories"],
        )  # fmt: skip
        for um_y, um_x in reader.places(count):
            value = expected[reader.cell(um_y, um_x)]
            for given in (
                {"x_um": um_x, "y_um": um_y},
                {"x_px": um_x / mpp["x"], "y_px": um_y / mpp["y"]},
            ):
                np.testing.assert_array_equal(shown.at(**given), np.float32(value))
        kinds.add(entry["kind"])
    return kinds
