"""A sheet of A4 that sums a slide up: its picture, maps, tiles, prediction, and how far to trust.

Sizes are in pt, 72 to an inch, from the sheet's top left corner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from heatmaps_ome.display.display_map import pictured
from heatmaps_ome.display.rasterise import BurntMap
from heatmaps_ome.exporters.figures.captions import (
    RESEARCH,
    answer_text,
    drawable,
    glued,
    shortened,
    width_px,
    wrapped,
)
from heatmaps_ome.exporters.figures.colour_bar import draw_legend
from heatmaps_ome.exporters.figures.layout import DPI, FAINT, INK, Layout, Line, draw_scale_bar
from heatmaps_ome.exporters.figures.trust import trust_sentences
from heatmaps_ome.maps.kinds import ATTENTION, CONTRIBUTION, EVIDENCE, LEAVE_ONE_OUT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from matplotlib.figure import Figure

    from heatmaps_ome.display.display_map import DisplayMap
    from heatmaps_ome.exporters.figures.tile_pictures import TilePicture
    from heatmaps_ome.exporters.protocol import SlideResult
    from heatmaps_ome.geometry import Grid
    from heatmaps_ome.maps.top_tiles import PickedTile

SHEET_DPI: Final = 200
"""Pixels per inch of the sheet as a picture."""
_SHEET: Final = (842, 595)
_MARGIN: Final = 26
_UNIT: Final = 7.5
"""Size of the text."""
_PANEL: Final = (272, 238)
"""Width and height of a picture with its title and legend."""
_PICTURE_HEIGHT: Final = 156
_GAP: Final = 16
_COLUMNS: Final = 2
_SIDE: Final = _MARGIN + _COLUMNS * (_PANEL[0] + _GAP)
"""Where the column with tiles and words begins."""
_TILES: Final = 4
"""Tiles for the class, and as many against it."""
_TILE_GAP: Final = 5
_LINE: Final = 1.4


@dataclass(frozen=True, eq=False)
class Photograph:
    """The slide in few pixels.

    Attributes
    ----------
    pixels : (rows, cols, 3) uint8
    lattice : Grid
        Where the pixels lie.
    """

    pixels: np.ndarray
    lattice: Grid


def overview(result: SlideResult, slide: Photograph, tiles: Sequence[TilePicture]) -> Figure:
    """Return the sheet of a slide.

    Parameters
    ----------
    tiles : sequence of TilePicture
        The first tiles for the class drawn hot and against it.
    """
    from matplotlib.figure import Figure

    figure = Figure((_SHEET[0] / DPI, _SHEET[1] / DPI), dpi=SHEET_DPI, facecolor="white")
    layout = Layout(figure, _SHEET, _UNIT)
    top = _head(layout, result) + 0.8 * _UNIT
    _panels(layout, result, slide, top)
    bottom = _tiles(layout, tiles, result.true_class, top)
    _words(layout, result, bottom)
    foot = Line(f"{RESEARCH} Made with heatmaps-ome.", _UNIT, False, FAINT)
    layout.text(_MARGIN, _SHEET[1] - _MARGIN, foot)
    return figure


def chosen_maps(result: SlideResult) -> tuple[DisplayMap, ...]:
    """Return at most three maps: attention, the score drawn hot, and the map that explains it."""
    maps = pictured(result.maps)
    hot = [drawn for drawn in maps if drawn.class_name == result.true_class]
    by_kind = {drawn.kind: drawn for drawn in (*hot, *(m for m in maps if m.kind == ATTENTION))}
    explaining = (CONTRIBUTION, EVIDENCE, LEAVE_ONE_OUT)
    wanted = [
        by_kind.get(ATTENTION),
        next((drawn for drawn in hot if drawn.kind not in explaining), None),
        next((by_kind[kind] for kind in explaining if kind in by_kind), None),
        *hot,
        *maps,
    ]
    unique = {drawn.name: drawn for drawn in wanted if drawn is not None}
    return tuple(unique.values())[:3]


def tiles_shown(result: SlideResult) -> list[PickedTile]:
    """Return the tiles that a sheet shows."""
    kinds = ("top", "bottom")
    by_kind = ([tile for tile in result.tiles if tile.kind == kind] for kind in kinds)
    return [tile for tiles in by_kind for tile in tiles[:_TILES]]


def _head(layout: Layout, result: SlideResult) -> float:
    """Write the slide's name and prediction across the sheet; return where they end."""
    room = _SHEET[0] - 2 * _MARGIN
    answer = answer_text(result.heatmaps, result.label)
    drawn_hot = glued(f"drawn hot: {result.true_class}")
    top = float(_MARGIN)
    for text, size, bold, colour in (
        (result.slide.name, 1.8 * _UNIT, True, INK),
        (" · ".join(filter(None, (answer, drawn_hot))), 1.2 * _UNIT, False, INK),
    ):
        line = Line(shortened(drawable(text), size, room), size, bold, colour)
        layout.text(_MARGIN, top, line)
        top += _LINE * size
    return top


def _panels(layout: Layout, result: SlideResult, slide: Photograph, top: float) -> None:
    """Draw the slide and its maps, two beside each other."""
    for index, (title, note, pixels, drawn) in enumerate(_pictures(result, slide)):
        row, column = divmod(index, _COLUMNS)
        left = _MARGIN + column * (_PANEL[0] + _GAP)
        _panel(layout, (left, top + row * _PANEL[1]), (title, note), (pixels, slide.lattice), drawn)


def _pictures(
    result: SlideResult, slide: Photograph
) -> Iterator[tuple[str, str, np.ndarray, DisplayMap | None]]:
    """Yield the title, the note, the pixels and, for a map, its colours of each picture."""
    yield "Slide", "", slide.pixels, None
    for drawn in chosen_maps(result):
        over = BurntMap(drawn, slide.lattice).over(slide.pixels, 0)
        yield drawn.title, drawn.note, over, drawn


def _panel(
    layout: Layout,
    place: tuple[float, float],
    words: tuple[str, str],
    picture: tuple[np.ndarray, Grid],
    drawn: DisplayMap | None,
) -> None:
    """Draw a picture with its title above, and a scale bar or a legend below."""
    left, top = place
    text = ": ".join(filter(None, words))
    size = 1.15 * _UNIT
    layout.text(left, top, Line(shortened(drawable(text), size, _PANEL[0]), size, True, INK))
    top += _LINE * size
    pixels, lattice = picture
    um = lattice.um_cell
    height_um, width_um = lattice.shape.rows * um.y, lattice.shape.cols * um.x
    pt_per_um = min(_PANEL[0] / width_um, _PICTURE_HEIGHT / height_um)
    size_pt = (width_um * pt_per_um, height_um * pt_per_um)
    axes = layout.axes((left, top, *size_pt))
    axes.imshow(pixels, aspect="auto")
    below = top + size_pt[1] + 0.6 * _UNIT
    if drawn is None:
        draw_scale_bar(layout, (left, below), 1 / pt_per_um, 0.4 * size_pt[0])
    else:
        draw_legend(layout, drawn, (round(left), round(below), _PANEL[0] - 12, round(_UNIT)))


def _tiles(layout: Layout, tiles: Sequence[TilePicture], class_name: str, top: float) -> float:
    """Draw the tiles for and against the class; return where they end."""
    room = _SHEET[0] - _MARGIN - _SIDE
    side = (room - (_TILES - 1) * _TILE_GAP) / _TILES
    for kind, word in (("top", "for"), ("bottom", "against")):
        pictures = [picture for picture in tiles if picture.tile.kind == kind]
        if not pictures:
            continue
        title = shortened(drawable(f"Tiles that speak {word} {class_name}"), 1.15 * _UNIT, room)
        layout.text(_SIDE, top, Line(title, 1.15 * _UNIT, True, INK))
        top += _LINE * 1.15 * _UNIT
        for index, picture in enumerate(pictures):
            axes = layout.axes((_SIDE + index * (side + _TILE_GAP), top, side, side))
            axes.imshow(picture.pixels, aspect="auto")
        um = pictures[0].um_pixel.x * pictures[0].pixels.shape[1] / side
        draw_scale_bar(layout, (_SIDE, top + side + 0.4 * _UNIT), um, 0.9 * side)
        top += side + 3.2 * _UNIT
    return top


def _words(layout: Layout, result: SlideResult, top: float) -> None:
    """Write how far to trust the maps, as much of it as the sheet has room for."""
    room, end = _SHEET[0] - _MARGIN - _SIDE, _SHEET[1] - _MARGIN - 2 * _UNIT
    layout.text(_SIDE, top, Line("How far to trust it", 1.15 * _UNIT, True, INK))
    top += _LINE * 1.15 * _UNIT
    sentences = sorted(trust_sentences(result), key=lambda text: not text.startswith("warning"))
    for sentence in sentences:
        begun = f"{sentence[:1].upper()}{sentence[1:]}.".replace(" %", "\u00a0%")
        lines = wrapped(drawable(begun), lambda part: width_px(part, _UNIT) <= room)
        if top + len(lines) * _LINE * _UNIT > end:
            layout.text(_SIDE, top, Line("More in the report.", _UNIT, False, FAINT))
            return
        for line in lines:
            layout.text(_SIDE, top, Line(line, _UNIT, False, INK))
            top += _LINE * _UNIT
        top += 0.5 * _UNIT
