"""Chooses the image of a TIFF that is the slide, and the directories of its levels."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from heatmaps_ome.geometry import Shape
from heatmaps_ome.slides import tiff_head
from heatmaps_ome.slides.readers.ome_xml import NoOmeXml, OmeImage, parse_ome
from heatmaps_ome.slides.refusals import channels_sentence
from heatmaps_ome.slides.sizes import alike_levels

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from heatmaps_ome.slides.tiff_head import Directory

QPI: Final = "PerkinElmer-QPI-ImageDescription"
"""Root of the XML that Akoya's (PerkinElmer's) scanners write."""
_APERIO: Final = "Aperio"
_QPI_LEVEL: Final = re.compile(r"<ImageType>\s*(FullResolution|ReducedResolution)\s*</ImageType>")
_QPI_TYPE: Final = re.compile(r"<ImageType>")
_BESIDE: Final = re.compile(r"\b(label|macro|overview|thumbnail|preview|navigator|barcode)\b", re.I)
"""Names of the pictures that lie beside a slide's own."""
_IMAGEJ_STACK: Final = re.compile(r"^(channels|slices|frames)=(\d+)", re.M)
_REDUCED = 1
"""Bit of the subfile type of a page that is a smaller version of another."""
_GREY, _RGB = (0, 1), 2
_FULL_SHARE: Final = 4
"""An image of unknown pixel size counts as a second full one from this share of the first's
pixels."""
_SAME: Final = 0.01
"""Relative difference up to which pixel sizes are the same."""
_BFCONVERT: Final = "with Bio-Formats: bfconvert {options} {name} slide.ome.tif"


class Unfit(Exception):
    """A TIFF holds no slide that can be read; the message is the end of a sentence."""


class Place(NamedTuple):
    """A directory of a TIFF: its number in the chain, and in the SubIFDs of that one."""

    number: int
    sub: int | None = None


@dataclass(frozen=True)
class SlideImage:
    """The image that is the slide.

    Attributes
    ----------
    format : str
        Display name.
    levels : tuple of tuple of Place
        Of each level, finest first, its directory, or those of its red, green and blue planes.
    directories : tuple of Directory
        The fields of each level's first directory.
    ome : OmeImage or None
        Its metadata in OME-XML.
    notes : tuple of str
        Sentences on the images that were left out.
    """

    format: str
    levels: tuple[tuple[Place, ...], ...]
    directories: tuple[Directory, ...]
    ome: OmeImage | None = None
    notes: tuple[str, ...] = ()


def slide_image(directories: Sequence[Directory], name: str) -> SlideImage:
    """Return the image of a TIFF that is the slide.

    Parameters
    ----------
    directories : sequence of Directory
        The chain; at least one.
    name : str
        The file's name.

    Raises
    ------
    Unfit
        If there is none, or several that could be it.
    Damaged
        If a directory lies beyond the file's end.
    """
    text = directories[0].text(tiff_head.DESCRIPTION)
    try:
        ome = parse_ome(text, name)
    except NoOmeXml:
        return _plain(directories, text, name)
    if ome.companion is not None:
        raise Unfit(
            f"is one file of an OME-TIFF of several files, whose metadata lies in {ome.companion}; "
            f"join them {_BFCONVERT.format(options='', name=ome.companion)}"
        )
    return _of_ome(directories, ome.images, name)


# --- OME-TIFF -----------------------------------------------------------------------------------


def _of_ome(directories: Sequence[Directory], images: Sequence[OmeImage], name: str) -> SlideImage:
    image, reduced, notes = _main_image(images, name)
    image = _joined(image, directories)
    _refuse_stacks(image, name)
    if max(image.directories) >= len(directories):
        raise Unfit(
            f"should have {max(image.directories) + 1} directories by its OME-XML, but has "
            f"{len(directories)}; the file is damaged: copy it again"
        )
    first = directories[image.directories[0]]
    if shape_of(first) != image.shape:
        raise Unfit(
            f"has {image.shape.cols} × {image.shape.rows} pixels by its OME-XML, but "
            f"{shape_of(first).cols} × {shape_of(first).rows} in its directory; write it again"
        )
    used = {number for other in images for number in other.directories}
    levels = [tuple(Place(number) for number in image.directories)]
    levels += _sub_levels(directories, image.directories)
    if len(levels) == 1:
        later = [
            number
            for number in range(image.directories[-1] + 1, len(directories))
            if number not in used and _is_level(directories[number], first)
        ]
        flat = [other.directories[0] for other in reduced]
        levels += [(Place(number),) for number in flat + later if len(image.directories) == 1]
    return _sorted(SlideImage("OME-TIFF", tuple(levels), (), image, notes), directories)


def _joined(image: OmeImage, directories: Sequence[Directory]) -> OmeImage:
    """Return an image as one channel of several samples, if that is how its pixels lie.

    Programs that join planes keep the OME-XML, which then states channels that are no more.
    """
    first, n_samples = image.directories[0], sum(image.samples)
    if len(image.samples) == 1 or first >= len(directories):
        return image
    if directories[first].number(tiff_head.PHOTOMETRIC, _RGB) in _GREY:
        return image
    if directories[first].number(tiff_head.SAMPLES, 1) != n_samples:
        return image
    return replace(image, samples=(n_samples,), channels=image.channels[:1], directories=(first,))


def _main_image(
    images: Sequence[OmeImage], name: str
) -> tuple[OmeImage, list[OmeImage], tuple[str, ...]]:
    """Return the slide's image, other images that are levels of it, and a note on those left out.

    Images named as labels and overviews are left out, and the largest other is the slide; one
    whose pixels are larger as it is smaller is a level of it. A second one with the same pixel
    size, or of unknown size but of a quarter of its pixels, could be as much the slide.
    """
    named = [image for image in images if not _BESIDE.search(image.name)] or list(images)
    main = max(named, key=lambda image: image.shape.rows * image.shape.cols)
    others = [image for image in images if image is not main]
    reduced = [other for other in others if other in named and _is_reduced(other, main)]
    beside = [other for other in others if other not in reduced]
    full = [other for other in beside if other in named and _is_full(other, main)]
    if full:
        raise Unfit(
            f"holds {len(full) + 1} full images ({_listed([main, *full])}), and a slide is one; "
            f"take one out {_BFCONVERT.format(options='-series 0', name=name)}"
        )
    note = (
        f"of {len(images)} images, {_quoted(main)} was read, and not {_listed(beside)}"
        if beside
        else None
    )
    return main, reduced, () if note is None else (note,)


def _is_reduced(other: OmeImage, main: OmeImage) -> bool:
    """Return whether an image is a smaller version of another, by its size and pixel size."""
    if other.mpp is None or main.mpp is None or other.samples != main.samples:
        return False
    smaller = main.shape.cols / other.shape.cols
    same = all(
        abs(own / whole / smaller - 1) < _SAME + 2 / min(other.shape)
        for own, whole in zip(other.mpp, main.mpp, strict=True)
    )
    return smaller > 1.1 and same and alike_levels(main.shape, other.shape)


def _is_full(other: OmeImage, main: OmeImage) -> bool:
    if other.mpp is not None and main.mpp is not None:
        return abs(other.mpp.x / main.mpp.x - 1) < _SAME if main.mpp.x else False
    own, whole = (image.shape.rows * image.shape.cols for image in (other, main))
    return own * _FULL_SHARE >= whole


def _refuse_stacks(image: OmeImage, name: str) -> None:
    """Refuse focal planes, points in time, separate channels, and pixels in other files."""
    if image.elsewhere is not None:
        raise Unfit(
            f"is one file of an OME-TIFF of several files, such as {image.elsewhere}; join them "
            f"{_BFCONVERT.format(options='', name=name)}"
        )
    for count, kind, option in (
        (image.n_z, "focal planes (a z-stack)", "-z"),
        (image.n_t, "points in time", "-timepoint"),
    ):
        if count > 1:
            raise Unfit(
                f"holds {count} {kind}, and a slide has one; take one out "
                f"{_BFCONVERT.format(options=f'{option} {count // 2}', name=name)}"
            )
    if len(image.samples) > 1 and not image.primaries:
        raise Unfit(channels_sentence(len(image.samples), name))


def _sub_levels(
    directories: Sequence[Directory], numbers: Iterable[int]
) -> list[tuple[Place, ...]]:
    """Return the levels in the SubIFDs of a directory, or of the directories of three planes."""
    counts = [len(directories[number].subdirectories()) for number in numbers]
    return [tuple(Place(number, sub) for number in numbers) for sub in range(min(counts))]


# --- other TIFFs --------------------------------------------------------------------------------


def _plain(directories: Sequence[Directory], text: str, name: str) -> SlideImage:
    """Return the largest picture of a TIFF without OME-XML, with its smaller versions."""
    is_qpi = QPI in text
    numbers = [n for n, own in enumerate(directories) if not is_qpi or _is_qpi_level(own)]
    whole = [n for n in numbers if not _is_reduced_page(directories[n])] or numbers or [0]
    first = max(whole, key=lambda n: (_area(directories[n]), -n))
    main = directories[first]
    _refuse_pages(main, [directories[n] for n in whole], text, name)
    levels = [(Place(first),), *_sub_levels(directories, [first])]
    if len(levels) == 1:
        levels += [(Place(n),) for n in numbers if n != first and _is_level(directories[n], main)]
    kind = "QPTIFF" if is_qpi else "ImageJ TIFF" if text.startswith("ImageJ=") else "TIFF"
    return _sorted(SlideImage(kind, tuple(levels), ()), directories)


def _is_qpi_level(directory: Directory) -> bool:
    """Return whether a directory of a QPTIFF is the slide's or a level of it; others are beside."""
    text = directory.text(tiff_head.DESCRIPTION)
    return bool(_QPI_LEVEL.search(text)) or not _QPI_TYPE.search(text)


def _refuse_pages(main: Directory, whole: list[Directory], text: str, name: str) -> None:
    """Refuse a picture in several pages, such as channels or focal planes."""
    pages = sum(shape_of(page) == shape_of(main) for page in whole)
    counts = {key: int(n) for key, n in _IMAGEJ_STACK.findall(text)}
    is_grey = main.number(tiff_head.PHOTOMETRIC, _RGB) in _GREY
    channels = max(pages if is_grey else 1, counts.get("channels", 1))
    if channels > 1:
        raise Unfit(channels_sentence(channels, name))
    stack = max(pages, *counts.values(), 1) if counts else pages
    if stack > 1:
        raise Unfit(
            f"holds {stack} pictures of the same size, as of focal planes, and a slide is one; "
            f'take one out with: vips copy "{name}[page=0]" '
            '"slide.tif[tile,pyramid,compression=jpeg,Q=90]"'
        )


def _sorted(image: SlideImage, directories: Sequence[Directory]) -> SlideImage:
    """Return an image with its levels finest first, without those that are no versions of it."""
    fields = {level: _directory(directories, level[0]) for level in image.levels}
    first = image.levels[0]
    shapes = {level: shape_of(own) for level, own in fields.items()}
    levels = [
        level
        for level in sorted(image.levels, key=lambda level: -_area(fields[level]))
        if level == first
        or (_same_kind(fields[level], fields[first]) and _is_smaller(shapes[level], shapes[first]))
    ]
    return SlideImage(
        image.format, tuple(levels), tuple(fields[level] for level in levels), image.ome,
        image.notes,
    )  # fmt: skip


def _directory(directories: Sequence[Directory], place: Place) -> Directory:
    own = directories[place.number]
    return own if place.sub is None else own.subdirectories()[place.sub]


def _is_level(directory: Directory, main: Directory) -> bool:
    """Return whether a page may be a smaller version of another.

    Overviews and thumbnails may have the slide's shape too, but lie in strips. Aperio's labels
    are marked as smaller versions besides.
    """
    is_aperio = main.text(tiff_head.DESCRIPTION).startswith(_APERIO)
    return (
        (
            (tiff_head.TILE_WIDTH in directory) == (tiff_head.TILE_WIDTH in main)
            or (_is_reduced_page(directory) and not is_aperio)
        )
        and _same_kind(directory, main)
        and _is_smaller(shape_of(directory), shape_of(main))
    )


def _is_smaller(shape: Shape, whole: Shape) -> bool:
    return min(shape) > 0 and max(shape) < max(whole) and alike_levels(whole, shape)


def _same_kind(directory: Directory, main: Directory) -> bool:
    tags = (tiff_head.SAMPLES, tiff_head.BITS)
    return all(directory.number(tag, 1) == main.number(tag, 1) for tag in tags)


def _is_reduced_page(directory: Directory) -> bool:
    return bool(directory.number(tiff_head.SUBFILE_TYPE) & _REDUCED)


def shape_of(directory: Directory) -> Shape:
    """Return the pixels of a directory's picture, as it claims."""
    return Shape(directory.number(tiff_head.LENGTH), directory.number(tiff_head.WIDTH))


def _area(directory: Directory) -> int:
    shape = shape_of(directory)
    return shape.rows * shape.cols


def _quoted(image: OmeImage) -> str:
    return f"“{image.name}”" if image.name else f"{image.shape.cols} × {image.shape.rows}"


def _listed(images: Iterable[OmeImage]) -> str:
    return ", ".join(
        f"{_quoted(image)} of {image.shape.cols} × {image.shape.rows} px" for image in images
    )
