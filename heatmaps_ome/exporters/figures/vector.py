"""Saves figures as PDF and SVG: text stays text, and a picture keeps its own pixels.

matplotlib draws the words and bars. The picture is added to its files afterwards, as matplotlib
stores no JPEG: photographs would take ten times the space and time.
"""

from __future__ import annotations

import base64
import io
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.exporters.figures.layout import DPI

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from matplotlib.figure import Figure

    from heatmaps_ome.exporters.figures.framed import Framed
    from heatmaps_ome.geometry import Grid

PICTURE_DPI: Final = 300
"""Pixels per inch of the pictures in a figure, as journals ask for."""
JPEG: Final = {"format": "JPEG", "quality": 92, "subsampling": 0}
"""How Pillow stores photographs: colours as fine as brightness, as the edges of cells are thin."""
_AS_TEXT: Final[dict[Any, Any]] = {
    # Type 42 embeds the font; with the default, programs for drawing see outlines.
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    # The same drawing gives the same bytes.
    "svg.hashsalt": "heatmaps-ome",
}
_LAYOUT_TABLES: Final = ("GDEF", "GPOS", "GSUB")
_EMBEDDING: Final = Lock()
_NO_DATE: Final = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {}}


@dataclass(frozen=True, eq=False)
class Placed:
    """A picture and its place in a figure; all in pt from the figure's top left corner.

    Attributes
    ----------
    pixels : (rows, cols, 3) uint8
    photograph : bool
        Whether it is stored as a JPEG; else without loss.
    box : tuple of four float
        Left, top, width and height of the part of the figure that shows it.
    size : tuple of two float
        Width and height of the whole picture, which may be cut at the right and the bottom.
    """

    pixels: np.ndarray
    photograph: bool
    box: tuple[float, float, float, float]
    size: tuple[float, float]


def placed(
    around: Framed, extent: Grid, pixels: np.ndarray, lattice: Grid, *, photograph: bool
) -> Placed:
    """Return a picture at its place in a frame.

    Parameters
    ----------
    extent : Grid
        The frame's pixels of the slide.
    pixels : (rows, cols, 3) uint8
    lattice : Grid
        Where these lie on the slide; they may reach beyond ``extent`` by a part of a pixel.
    """
    box = around.box
    per_um = box.cols / (extent.shape.cols * extent.um_cell.x)
    rows, cols = lattice.shape
    size = (cols * lattice.um_cell.x * per_um, rows * lattice.um_cell.y * per_um)
    return Placed(pixels, photograph, (box.col, box.row, box.cols, box.rows), size)


def save_figure(
    figure: Figure,
    path: Path,
    endings: Sequence[str] = ("pdf", "svg"),
    picture: Placed | None = None,
) -> list[Path]:
    """Write a figure as ``path`` with each of some endings, and return the files.

    Parameters
    ----------
    endings : sequence of "pdf", "svg" or "png"
        A PNG has the figure's own resolution, and no ``picture``.
    """
    import matplotlib

    add = {"pdf": _add_to_pdf, "svg": _add_to_svg}
    paths = []
    with matplotlib.rc_context(_AS_TEXT), _fonts_without_layout():
        for ending in endings:
            file = path.with_name(f"{path.name}.{ending}")
            figure.savefig(
                file, format=ending, metadata=_NO_DATE[ending], facecolor="white",
                dpi=figure.dpi if ending == "png" else PICTURE_DPI,
            )  # fmt: skip
            if picture is not None:
                add[ending](file, picture, figure.get_size_inches()[1] * DPI)
            paths.append(file)
    return paths


@contextmanager
def _fonts_without_layout() -> Iterator[None]:
    """Embed fonts without the tables for laying out text, which is laid out already.

    To reduce these tables to the letters of a figure takes a third of the time of its PDF.
    matplotlib lets nobody choose; so the default of fontTools is another one meanwhile.
    """
    from fontTools.subset import Options

    with _EMBEDDING:
        usual = Options._drop_tables_default
        Options._drop_tables_default = [*usual, *_LAYOUT_TABLES]
        try:
            yield
        finally:
            Options._drop_tables_default = usual


def _add_to_svg(path: Path, picture: Placed, _: float) -> None:
    """Put a picture over what an SVG file draws; matplotlib's unit there is the pt."""
    kind = "jpeg" if picture.photograph else "png"
    data = base64.b64encode(encoded(picture.pixels, photograph=picture.photograph)).decode()
    (left, top, width, height), (whole_width, whole_height) = picture.box, picture.size
    element = (
        f'<svg x="{left}" y="{top}" width="{width}" height="{height}" overflow="hidden">'
        f'<image width="{whole_width:.4f}" height="{whole_height:.4f}" preserveAspectRatio="none" '
        f'xlink:href="data:image/{kind};base64,{data}"/></svg>'
    )
    text, end, rest = path.read_text(encoding="utf-8").rpartition("</svg>")
    path.write_text(f"{text}{element}{end}{rest}", encoding="utf-8")


def _add_to_pdf(path: Path, picture: Placed, page_height: float) -> None:
    """Put a picture over what a PDF file draws, whose places count from the bottom."""
    import pikepdf

    (left, top, width, height), (whole_width, whole_height) = picture.box, picture.size
    with pikepdf.open(path, allow_overwriting_input=True) as pdf:
        page = pdf.pages[0]
        # A name of its own: without one, it is drawn by chance.
        name = pikepdf.Name("/Photograph")
        page.add_resource(_pdf_image(pdf, picture), pikepdf.Name.XObject, name)
        bottom, whole_bottom = page_height - top - height, page_height - top - whole_height
        page.contents_add(
            f"q {left} {bottom} {width} {height} re W n "
            f"{whole_width:.4f} 0 0 {whole_height:.4f} {left} {whole_bottom:.4f} cm "
            f"{name} Do Q".encode()
        )
        pdf.save(path, deterministic_id=True)


def _pdf_image(pdf: Any, picture: Placed) -> Any:
    """Return a picture as an image of a PDF file."""
    import pikepdf

    rows, cols = picture.pixels.shape[:2]
    photograph = picture.photograph
    data = encoded(picture.pixels, photograph=True) if photograph else picture.pixels.tobytes()
    image = pikepdf.Stream(
        pdf, data, Type=pikepdf.Name.XObject, Subtype=pikepdf.Name.Image, Width=cols, Height=rows,
        ColorSpace=pikepdf.Name.DeviceRGB, BitsPerComponent=8,
    )  # fmt: skip
    if photograph:
        image.Filter = pikepdf.Name.DCTDecode
    return image


def encoded(pixels: np.ndarray, *, photograph: bool) -> bytes:
    """Return (rows, cols, 3 or 4) uint8 as a JPEG or, if it is no photograph, as a PNG."""
    from PIL import Image

    kind: dict[str, Any] = dict(JPEG) if photograph else {"format": "PNG"}
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, dpi=(PICTURE_DPI, PICTURE_DPI), **kind)
    return file.getvalue()
