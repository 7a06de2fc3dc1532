"""Small files of tiles as other systems write them, on a slide of 4000 × 3000 px at 0.5 µm."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import h5py
import numpy as np

from heatmaps_ome.features.slide_facts import SlideFacts
from heatmaps_ome.geometry import YX, Shape

if TYPE_CHECKING:
    from pathlib import Path

SLIDE = SlideFacts("S1", Shape(3000, 4000), YX(0.5, 0.5), (1.0, 4.0), YX(0.5, 0.5))
XY = np.array([[256 * col, 256 * row] for row in range(10) for col in range(14)])
"""Corners of 256 px tiles, which reach to x 3584 and y 2560: more than half of either side."""
FEATURES = np.random.default_rng(1).normal(size=(len(XY), 8)).astype(np.float32)
SCORES = np.random.default_rng(2).random(len(XY)).astype(np.float32)
PLACES = np.hstack([XY, XY + 256]).astype(np.float64)


def write_stamp(path: Path, xy=XY, features=FEATURES, mpp: float = 0.5, **attributes) -> Path:
    """STAMP 2.3's file; an attribute of None is left out."""
    facts = {
        "stamp_version": "2.3.0", "extractor": "enc-1", "unit": "um", "tile_size_um": 128.0,
        "tile_size_px": 224, "feat_type": "tile", **attributes,
    }  # fmt: skip
    with h5py.File(path, "w") as file:
        if xy is not None:
            file["coords"] = (np.asarray(xy) * mpp).astype(np.float32)
        file["feats"] = features.astype(np.float16)
        for name, value in facts.items():
            if value is not None:
                file.attrs[name] = value
    return path


def write_historic(path: Path, xy, extractor: str, augmented=None) -> Path:
    """A file of STAMP 1 or marugoto, with coordinates in pixels of tiles."""
    with h5py.File(path, "w") as file:
        file["coords"] = xy
        file["feats"] = FEATURES[: len(xy)].astype(np.float16)
        file["augmented"] = np.zeros(len(xy), bool) if augmented is None else augmented
        file.attrs["extractor"] = extractor
    return path


def write_clam(path: Path, xy=XY, features=FEATURES) -> Path:
    """CLAM's file of features: no attributes."""
    with h5py.File(path, "w") as file:
        file.create_dataset("features", data=features, chunks=True)
        file["coords"] = np.asarray(xy)
    return path


def write_patches(path: Path, xy=XY, patch_size: int = 256, **attributes) -> Path:
    """CLAM's file of patches."""
    facts = {
        "patch_size": patch_size, "patch_level": 0, "downsample": np.array([1.0, 1.0]),
        "level_dim": np.array([4000, 3000]), "name": "S1", "save_path": "/private", **attributes,
    }  # fmt: skip
    with h5py.File(path, "w") as file:
        file["coords"] = np.asarray(xy)
        file["coords"].attrs.update(facts)
    return path


def write_trident(path: Path, xy=XY, features=FEATURES, **attributes) -> Path:
    """TRIDENT's file of features."""
    facts = {
        "patch_size": 128, "patch_size_level0": 256, "level0_magnification": 20,
        "target_magnification": 10, "overlap": 0, "name": "S1", "savetodir": "/private",
        "level0_width": 4000, "level0_height": 3000, **attributes,
    }  # fmt: skip
    with h5py.File(path, "w") as file:
        file["features"] = features
        file["features"].attrs["encoder"] = "enc-2"
        file["coords"] = np.asarray(xy)
        file["coords"].attrs.update(facts)
    return path


def write_table(path: Path, columns: dict, delimiter: str = ",", text: str = "") -> Path:
    """A table of text."""
    lines = [delimiter.join(columns)]
    lines += [delimiter.join(str(v) for v in row) for row in zip(*columns.values(), strict=True)]
    path.write_text(text + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def tile_feature(x0, y0, x1, y1, properties) -> dict:
    """A tile of GeoJSON."""
    ring = [[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "id": "t", "geometry": geometry, "properties": properties}


def write_geojson(path: Path, style: str = "wsinfer") -> Path:
    """Tiles with measurements as WSInfer writes them, or as QuPath does ("list" before 0.4)."""
    features = []
    for place, score in zip(PLACES.tolist(), SCORES.tolist(), strict=True):
        measured = {"prob_tumor": score}
        if style == "list":
            measured = [{"name": "prob_tumor", "value": score}]
        properties = {"isLocked": True, "measurements": measured, "objectType": "tile"}
        features.append(tile_feature(*place, properties))
    content = {"type": "FeatureCollection", "features": features}
    path.write_text(json.dumps(content["features"] if style == "list" else content), "utf-8")
    return path
