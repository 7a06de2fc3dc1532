"""Paints the demo slide's pixels: an H&E-like section made from a seed, strip by strip.

Two stains are painted as concentrations and turned into light by Beer and Lambert's law,
``light = glass · exp(-(h·H + e·E))`` with the optical densities H and E per channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from heatmaps_ome.demo.layout import Layout, inside_any, plan_layout
from heatmaps_ome.demo.nuclei import ANGLES, jittered_lattice, stamp_all, stamp_library

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from heatmaps_ome.demo.layout import Disc

HAEMATOXYLIN_OD = (0.78, 1.06, 0.46)
EOSIN_OD = (0.10, 0.98, 0.50)
GLASS = (243.0, 243.0, 244.0)
_STRIP_ROWS = 256
_DRAWN_STEP = 2
"""Level-0 pixels per pixel of the drawn masks."""
_FIELD_STEP = 8
"""Level-0 pixels per sample of the smooth fields."""
_TEXTURE_SIDE = 1024


@dataclass(frozen=True)
class _Scene:
    """The inputs of painting a strip of pixels.

    ``matter``, ``island`` and ``eosinophilic`` are masks (0-255) at half resolution; ``along`` and
    ``across`` are the fibres' coordinates in level-0 px, ``tone`` the slow change of the stain,
    all three at an eighth of the resolution; ``nuclei`` is a uint8 canvas at level 0.
    """

    l0_size: tuple[int, int]
    matter: Image.Image
    island: Image.Image
    eosinophilic: Image.Image
    along: Image.Image
    across: Image.Image
    tone: Image.Image
    nuclei: np.ndarray
    fibres: np.ndarray
    grain: np.ndarray
    stain_od: np.ndarray


def paint_tissue(
    seed: int, l0_height: int, l0_width: int, mpp: float, islands: int | None = None
) -> tuple[np.ndarray, Layout]:
    """Return the pixels of a demo slide, (height, width, 3) uint8 RGB, and its layout.

    The same arguments give the same pixels.

    Parameters
    ----------
    mpp : float
        Micrometres per pixel.
    islands : int, optional
        Number of tumour islands; None: a number that suits the area; 0: a slide without tumour.

    Raises
    ------
    OptionError
        When the slide is too small for that many islands.
    """
    layout_rng, scene_rng, light_rng = (
        np.random.default_rng(part) for part in np.random.SeedSequence(seed).spawn(3)
    )
    layout = plan_layout(layout_rng, (l0_height, l0_width), mpp, islands)
    scene = _build_scene(scene_rng, layout, (l0_height, l0_width), mpp)
    pixels = np.empty((l0_height, l0_width, 3), dtype=np.uint8)
    for top in range(0, l0_height, _STRIP_ROWS):
        bottom = min(top + _STRIP_ROWS, l0_height)
        pixels[top:bottom] = _paint_strip(scene, top, bottom, light_rng)
    return pixels, layout


def _build_scene(
    rng: np.random.Generator, layout: Layout, l0_size: tuple[int, int], mpp: float
) -> _Scene:
    along, across, angle = _fibre_coordinates(rng, l0_size, mpp)
    matter, eosinophilic = _draw_matter(rng, layout, l0_size, mpp)
    strength = rng.uniform(0.85, 1.15, 2)[:, None]
    stain_od = np.array([HAEMATOXYLIN_OD, EOSIN_OD]) * strength * rng.uniform(0.94, 1.06, (2, 3))
    tone = _noise_field(rng, l0_size, 180 / mpp) + 0.5 * _noise_field(rng, l0_size, 45 / mpp)
    return _Scene(
        l0_size=l0_size,
        matter=matter,
        island=_drawn(layout.islands, l0_size).filter(ImageFilter.GaussianBlur(1.2 / mpp)),
        eosinophilic=eosinophilic,
        along=Image.fromarray(along),
        across=Image.fromarray(across),
        tone=Image.fromarray(tone),
        nuclei=_draw_nuclei(rng, layout, angle, l0_size, mpp),
        fibres=_fibre_texture(rng, mpp),
        grain=_periodic_noise(rng, 512, 1.1 / mpp, 1.1 / mpp),
        stain_od=stain_od.astype(np.float32),
    )


def _noise_field(rng: np.random.Generator, l0_size: tuple[int, int], px_wide: float) -> np.ndarray:
    """Return smooth float32 noise of about unit deviation on the lattice of the smooth fields."""
    rows, cols = (-(-side // _FIELD_STEP) for side in l0_size)
    lattice = max(1.0, px_wide / _FIELD_STEP)
    shape = (int(rows / lattice) + 4, int(cols / lattice) + 4)
    coarse = Image.fromarray(rng.standard_normal(shape).astype(np.float32) * 1.4)
    box = (1, 1, 1 + cols / lattice, 1 + rows / lattice)
    return np.asarray(coarse.resize((cols, rows), Image.Resampling.BICUBIC, box=box))


def _fibre_coordinates(
    rng: np.random.Generator, l0_size: tuple[int, int], mpp: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return coordinates along and across wavy fibres (level-0 px) and their angle (radians)."""
    rows, cols = (-(-side // _FIELD_STEP) for side in l0_size)
    y, x = np.mgrid[0:rows, 0:cols].astype(np.float32) * _FIELD_STEP
    turn = rng.uniform(0, np.pi)
    across = y * np.cos(turn) - x * np.sin(turn)
    along = y * np.sin(turn) + x * np.cos(turn)
    for um_wide, um_high in ((520, 150), (150, 24), (45, 4)):
        across = across + _noise_field(rng, l0_size, um_wide / mpp) * um_high / mpp
    along = along + _noise_field(rng, l0_size, 300 / mpp) * 90 / mpp
    slope_y, slope_x = np.gradient(across, _FIELD_STEP)
    angle = np.arctan2(-slope_x, slope_y)
    return along.astype(np.float32), across.astype(np.float32), angle


def _periodic_noise(
    rng: np.random.Generator, side: int, px_tall: float, px_wide: float
) -> np.ndarray:
    """Return periodic (side, side) float32 Gaussian noise, zero mean, unit deviation."""
    rows, cols = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    keep = np.exp(-2 * np.pi**2 * ((rows * px_tall) ** 2 + (cols * px_wide) ** 2))
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((side, side))) * keep, (side, side))
    return (noise / noise.std()).astype(np.float32)


def _fibre_texture(rng: np.random.Generator, mpp: float) -> np.ndarray:
    """Return a periodic texture (across, along) of bundles of thin fibres, unit deviation."""
    bundles = _periodic_noise(rng, _TEXTURE_SIDE, 2.6 / mpp, 30 / mpp)
    strands = _periodic_noise(rng, _TEXTURE_SIDE, 0.8 / mpp, 12 / mpp)
    return (0.75 * bundles + 0.66 * strands).astype(np.float32)


def _drawn(outlines: Iterable[np.ndarray], l0_size: tuple[int, int]) -> Image.Image:
    """Return a mask at half resolution, 255 inside the outlines."""
    rows, cols = (-(-side // _DRAWN_STEP) for side in l0_size)
    mask = Image.new("L", (cols, rows))
    pen = ImageDraw.Draw(mask)
    for outline in outlines:
        corners = outline[:, ::-1] / _DRAWN_STEP - 0.5
        pen.polygon([(x, y) for x, y in corners.tolist()], fill=255)
    return mask


def _disc_outline(rng: np.random.Generator, disc: Disc, grow: float, bumps: float) -> np.ndarray:
    """Return a slightly uneven outline around a disc, (24, 2), level-0 (y, x)."""
    turn = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radius = np.full(24, disc.l0_radius * grow)
    for order in (2, 3, 4):
        wave = np.cos(order * turn + rng.uniform(0, 2 * np.pi))
        radius *= 1 + rng.normal(0, bumps / order) * wave
    return np.stack([disc.l0_y + radius * np.sin(turn), disc.l0_x + radius * np.cos(turn)], axis=1)


def _draw_matter(
    rng: np.random.Generator, layout: Layout, l0_size: tuple[int, int], mpp: float
) -> tuple[Image.Image, Image.Image]:
    """Return the masks of matter, and of eosinophilic structures: vessel walls and red cells."""
    matter, eosinophilic = _drawn(layout.tissue, l0_size), _drawn((), l0_size)
    holes, walls, cells = ImageDraw.Draw(matter), ImageDraw.Draw(eosinophilic), []
    for disc in layout.vessels:
        _polygon(walls, _disc_outline(rng, disc, 1.5, 0.05), 105)
        lumen = _disc_outline(rng, disc, 1.0, 0.3)
        _polygon(holes, lumen, 0)
        _polygon(walls, lumen, 0)
        box = (*lumen.min(axis=0), *lumen.max(axis=0))
        points = jittered_lattice(rng, box, 7.5 / mpp, 0.2)
        points = points[inside_any((lumen,), points)]
        cells.append(points[rng.random(len(points)) < rng.choice([0.1, 0.55, 0.85])])
    for disc in (*layout.fat, *layout.lumina):
        _polygon(holes, _disc_outline(rng, disc, 1.0, 0.12), 0)
    reach = 3.0 / mpp / _DRAWN_STEP
    for y, x in (np.concatenate(cells) / _DRAWN_STEP if cells else np.empty((0, 2))).tolist():
        for pen, value in ((holes, 255), (walls, int(rng.integers(170, 255)))):
            pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=value)
    soft = ImageFilter.GaussianBlur(0.45 / mpp)
    return matter.filter(soft), eosinophilic.filter(soft)


def _polygon(pen: ImageDraw.ImageDraw, outline: np.ndarray, value: int) -> None:
    corners = outline[:, ::-1] / _DRAWN_STEP - 0.5
    pen.polygon([(x, y) for x, y in corners.tolist()], fill=value)


def _draw_nuclei(
    rng: np.random.Generator,
    layout: Layout,
    angle: np.ndarray,
    l0_size: tuple[int, int],
    mpp: float,
) -> np.ndarray:
    """Return the canvas of nuclei, (height, width) uint8, hundredths of concentration."""
    canvas = np.zeros(l0_size, dtype=np.uint8)
    library = stamp_library(rng, mpp)
    everywhere = (0.0, 0.0, float(l0_size[0]), float(l0_size[1]))
    fibroblasts = jittered_lattice(rng, everywhere, 34 / mpp, 0.3)
    fibroblasts = fibroblasts[~inside_any(layout.islands, fibroblasts)]
    fibroblasts = np.clip(fibroblasts, 0, np.array(l0_size) - 1)
    near = np.clip((fibroblasts / _FIELD_STEP).astype(int), 0, np.array(angle.shape) - 1)
    turns = angle[near[:, 0], near[:, 1]] + rng.normal(0, 0.18, len(near))
    index = np.rint(turns / np.pi * ANGLES).astype(int) % ANGLES
    stamp_all(canvas, fibroblasts, library["spindle"], index, rng)
    lymphocytes = _lymphocyte_centres(rng, layout, l0_size, mpp)
    for name, centres in (
        ("lymphocyte", lymphocytes),
        ("tumour", _tumour_centres(rng, layout, mpp)),
    ):
        stamp_all(canvas, centres, library[name], np.zeros(len(centres), dtype=int), rng)
    return canvas


def _lymphocyte_centres(
    rng: np.random.Generator, layout: Layout, l0_size: tuple[int, int], mpp: float
) -> np.ndarray:
    """Return the centres of scattered lymphocytes and of small aggregates, outside the islands."""
    everywhere = (0.0, 0.0, float(l0_size[0]), float(l0_size[1]))
    scattered = jittered_lattice(rng, everywhere, 75 / mpp, 0.4)
    parts = [scattered[rng.random(len(scattered)) < 0.5]]
    seeds = jittered_lattice(rng, everywhere, 550 / mpp, 0.4)
    for centre in seeds[rng.random(len(seeds)) < 0.5]:
        count = int(rng.integers(10, 60))
        parts.append(centre + rng.normal(0, rng.uniform(14, 34) / mpp, (count, 2)))
    centres = np.concatenate(parts)
    return centres[~inside_any(layout.islands, centres)]


def _tumour_centres(rng: np.random.Generator, layout: Layout, mpp: float) -> np.ndarray:
    """Return the centres of the crowded tumour nuclei, ringed closely around each lumen."""
    parts: list[np.ndarray] = [np.empty((0, 2))]
    for island in layout.islands:
        box = (*island.min(axis=0), *island.max(axis=0))
        points = jittered_lattice(rng, box, rng.uniform(11.0, 12.5) / mpp, 0.16)
        points = points[inside_any((island,), points)]
        parts.append(points[rng.random(len(points)) < 0.94])
    crowd = np.concatenate(parts)
    for disc in layout.lumina:
        far = np.hypot(crowd[:, 0] - disc.l0_y, crowd[:, 1] - disc.l0_x)
        crowd = crowd[far > disc.l0_radius + 9 / mpp]
        ring = disc.l0_radius + 7.5 / mpp
        turn = np.arange(0, 2 * np.pi - 0.05, 8.5 / mpp / ring) + rng.uniform(0, 1)
        circle = np.stack([disc.l0_y + ring * np.sin(turn), disc.l0_x + ring * np.cos(turn)], 1)
        crowd = np.concatenate([crowd, circle + rng.normal(0, 0.8 / mpp, circle.shape)])
    return crowd


def _rows_of(field: Image.Image, step: int, l0_width: int, top: int, bottom: int) -> np.ndarray:
    """Return rows of a coarse field at level 0, (bottom - top, l0_width) float32."""
    box = (0, top / step, min(l0_width / step, field.width), min(bottom / step, field.height))
    size = (l0_width, bottom - top)
    values = field if field.mode == "F" else field.crop(_around(box)).convert("F")
    if field.mode != "F":
        box = (box[0], box[1] - _around(box)[1], box[2], box[3] - _around(box)[1])
    return np.asarray(values.resize(size, Image.Resampling.BILINEAR, box=box))


def _around(box: Sequence[float]) -> tuple[int, int, int, int]:
    """Return the whole pixels around a box, with the margin that interpolation reads."""
    return (0, max(0, int(box[1]) - 2), int(np.ceil(box[2])), int(np.ceil(box[3])) + 2)


def _step_up(values: np.ndarray, middle: float, width: float) -> np.ndarray:
    """Return a smooth step from 0 to 1, centred on ``middle``."""
    ramp = np.clip((values - middle) * np.float32(1 / width) + np.float32(0.5), 0, 1)
    return ramp * ramp * (3 - 2 * ramp)


def _paint_strip(scene: _Scene, top: int, bottom: int, rng: np.random.Generator) -> np.ndarray:
    """Return rows ``top`` to ``bottom`` as (rows, width, 3) uint8 RGB."""
    haematoxylin, eosin = _strip_stains(scene, top, bottom)
    shot = rng.standard_normal(haematoxylin.shape, dtype=np.float32)
    light = np.empty((*haematoxylin.shape, 3), dtype=np.uint8)
    for channel in range(3):
        od = haematoxylin * scene.stain_od[0, channel] + eosin * scene.stain_od[1, channel]
        value = np.exp(-od) * np.float32(GLASS[channel]) + shot * np.float32(0.9)
        light[..., channel] = np.clip(value + np.float32(0.5), 0, 255)
    return light


def _strip_stains(scene: _Scene, top: int, bottom: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the concentrations of haematoxylin and eosin, each (rows, width) float32."""
    width = scene.l0_size[1]
    matter = _step_up(_rows_of(scene.matter, _DRAWN_STEP, width, top, bottom), 127, 130)
    island = _step_up(_rows_of(scene.island, _DRAWN_STEP, width, top, bottom), 127, 160)
    walls = _rows_of(scene.eosinophilic, _DRAWN_STEP, width, top, bottom) / np.float32(255)
    along = _rows_of(scene.along, _FIELD_STEP, width, top, bottom).astype(np.int32)
    across = _rows_of(scene.across, _FIELD_STEP, width, top, bottom).astype(np.int32)
    tone = _rows_of(scene.tone, _FIELD_STEP, width, top, bottom)
    wrap = _TEXTURE_SIDE - 1
    fibre = scene.fibres.ravel()[((across & wrap) * _TEXTURE_SIDE) + (along & wrap)]
    side = scene.grain.shape[0]
    rows = np.take(scene.grain, np.arange(top, bottom) % side, axis=0)
    grain = np.tile(rows, (1, -(-width // side)))[:, :width]
    nuclei = scene.nuclei[top:bottom].astype(np.float32) * np.float32(0.01)
    cleft = 0.2 + 0.8 * _step_up(fibre + 0.45 * tone + 0.1 * grain, -1.25, 0.8)
    stroma_e = (0.33 + 0.13 * fibre + 0.06 * tone + 0.02 * grain) * cleft + 0.03 + 0.5 * walls
    stroma_h = (0.035 + 0.012 * fibre + 0.012 * grain) * cleft
    tumour_e = 0.30 + 0.05 * grain + 0.04 * tone
    tumour_h = 0.24 + 0.06 * grain + 0.03 * tone
    eosin = np.maximum(stroma_e + (tumour_e - stroma_e) * island, 0)
    haematoxylin = np.maximum(stroma_h + (tumour_h - stroma_h) * island, 0)
    eosin = eosin * (1 - 0.35 * np.minimum(nuclei, 1))
    haematoxylin = np.maximum(haematoxylin, nuclei * (1 + 0.08 * grain))
    return haematoxylin * matter, eosin * matter
