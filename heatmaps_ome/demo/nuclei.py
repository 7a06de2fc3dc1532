"""Draws the demo slide's nuclei: tumour, spindle and lymphocyte stamps on a canvas.

A canvas is a uint8 array in hundredths of the haematoxylin concentration that
``heatmaps_ome.demo.tissue`` turns into optical density.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence

ANGLES = 24
"""Orientations in which spindle nuclei are drawn, over half a turn."""


@dataclass(frozen=True)
class NucleusKind:
    """Shape and stain of one kind of nucleus.

    Attributes
    ----------
    um_length, um_width : (float, float)
        Smallest and largest full axis, µm.
    darkness : (float, float)
        Smallest and largest haematoxylin concentration.
    chromatin : float
        Strength of the clumps, relative.
    irregularity : float
        Strength of the outline's bumps, relative to the radius.
    nucleolus : float
        Extra concentration in a spot near the centre.
    """

    um_length: tuple[float, float]
    um_width: tuple[float, float]
    darkness: tuple[float, float]
    chromatin: float
    irregularity: float
    nucleolus: float = 0.0


TUMOUR = NucleusKind((9.0, 15.0), (7.5, 11.0), (0.55, 1.05), 0.35, 0.08, 0.45)
SPINDLE = NucleusKind((11.0, 20.0), (2.2, 4.0), (0.65, 1.05), 0.18, 0.04)
LYMPHOCYTE = NucleusKind((5.5, 7.0), (5.2, 6.5), (1.1, 1.4), 0.12, 0.03)


def nucleus_stamp(
    rng: np.random.Generator, kind: NucleusKind, angle: float, mpp: float
) -> np.ndarray:
    """Return one nucleus as a (size, size) uint8 array, hundredths of concentration.

    Parameters
    ----------
    angle : float
        Direction of the long axis, radians from +x towards +y.
    mpp : float
        Micrometres per pixel.
    """
    half_length = rng.uniform(*kind.um_length) / 2 / mpp
    half_width = rng.uniform(*kind.um_width) / 2 / mpp
    reach = int(np.ceil(max(half_length, half_width) * 1.25)) + 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    along = (x * np.cos(angle) + y * np.sin(angle)) / half_length
    across = (y * np.cos(angle) - x * np.sin(angle)) / half_width
    around = np.arctan2(across, along)
    bumps = sum(
        rng.normal(0, kind.irregularity / order) * np.cos(order * around + rng.uniform(0, 6.28))
        for order in range(2, 6)
    )
    radius = np.hypot(along, across) / (1 + bumps)
    inside = np.clip((1 - radius) * min(half_length, half_width) / 1.2 + 0.5, 0, 1)
    clumps = _smooth_grain(rng, radius.shape[0], max(1.0, 1.1 / mpp))
    value = rng.uniform(*kind.darkness) * (1 + kind.chromatin * clumps)
    value += 0.25 * np.exp(-(((radius - 0.9) / 0.14) ** 2))
    spot_x, spot_y = rng.uniform(-0.3, 0.3, 2)
    spot = np.exp(-((along - spot_x) ** 2 + (across - spot_y) ** 2) / 0.05)
    value += kind.nucleolus * rng.uniform(0, 1) * spot
    return np.clip(100 * value * inside, 0, 255).astype(np.uint8)


def _smooth_grain(rng: np.random.Generator, size: int, px_grain: float) -> np.ndarray:
    """Return (size, size) float32 noise of about unit deviation, ``px_grain`` wide."""
    coarse = max(3, round(size / px_grain / 1.5))
    grain = Image.fromarray(rng.standard_normal((coarse, coarse)).astype(np.float32))
    return np.asarray(grain.resize((size, size), Image.Resampling.BICUBIC))


def stamp_library(rng: np.random.Generator, mpp: float) -> dict[str, list[list[np.ndarray]]]:
    """Return stamps as ``library[kind][angle index]``, a list of variants each.

    Only spindle nuclei depend on the angle index; the other kinds have one list.
    """
    turns = [np.pi * index / ANGLES for index in range(ANGLES)]
    return {
        "spindle": [[nucleus_stamp(rng, SPINDLE, turn, mpp) for _ in range(5)] for turn in turns],
        "tumour": [[nucleus_stamp(rng, TUMOUR, rng.uniform(0, 3.14), mpp) for _ in range(96)]],
        "lymphocyte": [
            [nucleus_stamp(rng, LYMPHOCYTE, rng.uniform(0, 3.14), mpp) for _ in range(24)]
        ],
    }


def stamp_all(
    canvas: np.ndarray,
    l0_centres: np.ndarray,
    stamps: Sequence[Sequence[np.ndarray]],
    angles: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Put a stamp at every centre; where stamps overlap, the darker value stays.

    Parameters
    ----------
    canvas : (height, width) uint8
        Changed in place.
    l0_centres : (n, 2) float, level-0 (y, x)
    angles : (n,) int, index into ``stamps``
    """
    height, width = canvas.shape
    variants = rng.integers(0, len(stamps[0]), len(l0_centres))
    corners = np.rint(l0_centres).astype(int)
    for (centre_y, centre_x), angle, variant in zip(
        corners.tolist(), angles.tolist(), variants.tolist(), strict=True
    ):
        stamp = stamps[angle][variant]
        reach = stamp.shape[0] // 2
        top, left = centre_y - reach, centre_x - reach
        bottom, right = top + stamp.shape[0], left + stamp.shape[1]
        if top >= 0 and left >= 0 and bottom <= height and right <= width:
            window = canvas[top:bottom, left:right]
            np.maximum(window, stamp, out=window)


def jittered_lattice(
    rng: np.random.Generator, box: tuple[float, float, float, float], spacing: float, jitter: float
) -> np.ndarray:
    """Return (n, 2) float (y, x) points of a hexagonal lattice, each moved a little at random.

    Parameters
    ----------
    box : (float, float, float, float)
        Top, left, bottom, right.
    spacing : float
        Distance of neighbours, in the box's unit.
    jitter : float
        Standard deviation of the displacement, relative to ``spacing``.
    """
    top, left, bottom, right = box
    rows = np.arange(top, bottom, spacing * np.sqrt(0.75))
    cols = np.arange(left, right, spacing)
    y, x = np.meshgrid(rows, cols, indexing="ij")
    x = x + (np.arange(len(rows)) % 2)[:, None] * spacing / 2
    points = np.stack([y.ravel(), x.ravel()], axis=1)
    return points + rng.normal(0, jitter * spacing, points.shape)
