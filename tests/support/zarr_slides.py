"""OME-Zarr slides by ome-zarr-py, by ngff-zarr, and by zarr with metadata written by hand."""

from __future__ import annotations

import json
import warnings
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import zarr

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

UM = "micrometer"


def by_ngff_zarr(path: Path, rgb: np.ndarray, version: str = "0.4", mpp: float = 0.5) -> Path:
    import ngff_zarr

    image = ngff_zarr.to_ngff_image(
        np.moveaxis(rgb, 2, 0), dims=["c", "y", "x"], scale={"y": mpp, "x": mpp},
        axes_units={"y": UM, "x": UM},
    )  # fmt: skip
    # The default runs WebAssembly, which is compiled for minutes.
    method = ngff_zarr.Methods.DASK_BIN_SHRINK
    multiscales = ngff_zarr.to_multiscales(image, scale_factors=[2, 4], chunks=128, method=method)
    ngff_zarr.to_ngff_zarr(str(path), multiscales, version=version)
    return path


def by_ome_zarr(path: Path, rgb: np.ndarray, mpp: float = 0.5) -> Path:
    """Write t, c, z, y, x as bioformats2raw does, by ome-zarr-py."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    planes = np.moveaxis(rgb, 2, 0)[None, :, None]
    pyramid = [planes, planes[..., ::2, ::2]]
    axes = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": UM} for name in "zyx"]
    scales = [[{"type": "scale", "scale": [1, 1, 1, mpp * n, mpp * n]}] for n in (1, 2)]
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        import ome_zarr.format
        import ome_zarr.writer

        ome_zarr.writer.write_multiscale(
            pyramid, group, axes=axes, coordinate_transformations=scales,
            fmt=ome_zarr.format.FormatV04(), storage_options={"chunks": (1, 1, 1, 128, 128)},
        )  # fmt: skip
    return path


def by_hand(
    path: Path,
    levels: Sequence[np.ndarray],
    axes: str = "cyx",
    mpp: float | None = 0.5,
    zarr_format: int = 2,
    extra: Mapping[str, object] | None = None,
    **settings,
) -> Path:
    """Write levels as they are, with a scale for each by its width.

    Parameters
    ----------
    extra : mapping
        More attributes of the group, such as ``omero``.
    settings
        Of ``zarr.Group.create_array``.
    """
    x = axes.index("x")
    kinds = {"c": "channel", "t": "time"}
    stated = [
        {"name": axis, "type": kinds.get(axis, "space")}
        | ({"unit": UM} if axis in "zyx" and mpp is not None else {})
        for axis in axes
    ]
    datasets = []
    for number, level in enumerate(levels):
        ratio = round(levels[0].shape[x] / level.shape[x]) * (mpp or 1)
        scale = [ratio if axis in "yx" else 1.0 for axis in axes]
        moves = [{"type": "scale", "scale": scale}]
        datasets.append({"path": str(number), "coordinateTransformations": moves})
    version = {2: "0.4", 3: "0.5"}[zarr_format]
    attributes = {
        "multiscales": [{"version": version, "axes": stated, "datasets": datasets}],
        **(extra or {}),
    }
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format)
    group.attrs.update(
        attributes if zarr_format == 2 else {"ome": {"version": version, **attributes}}
    )
    for number, level in enumerate(levels):
        array = group.create_array(
            str(number), shape=level.shape, dtype=level.dtype,
            chunks=settings.get("chunks", tuple(min(side, 128) for side in level.shape)),
            **{key: value for key, value in settings.items() if key != "chunks"},
        )  # fmt: skip
        array[...] = level
    return path


def omero(labels: Sequence[str], colours: Sequence[str], largest: int | None = None) -> dict:
    """Return an ``omero`` block of the group."""
    channels = [
        {"label": label, "color": colour} for label, colour in zip(labels, colours, strict=True)
    ]
    for channel in channels if largest is not None else ():
        channel["window"] = {"min": 0, "max": largest, "start": 0, "end": largest}
    return {"omero": {"channels": channels}}


def planes(rgb: np.ndarray) -> np.ndarray:
    """Return (3, rows, cols)."""
    return np.ascontiguousarray(np.moveaxis(rgb, 2, 0))


def with_attributes(path: Path, change) -> Path:
    """Change the attributes of a group of zarr v2 in place."""
    file = path / ".zattrs"
    attributes = json.loads(file.read_text(encoding="utf-8"))
    change(attributes)
    file.write_text(json.dumps(attributes), encoding="utf-8")
    return path


def zipped(folder: Path, path: Path, inside: str = "") -> Path:
    """Pack a store into a ZIP archive, uncompressed as RFC-9 has it."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"{inside}{file.relative_to(folder)}")
    return path
