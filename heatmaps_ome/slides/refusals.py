"""Why no reader reads a file, as it looks from its first bytes: the case, and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from heatmaps_ome.slides import tiff_head
from heatmaps_ome.slides.tiff_head import MAGICS, Damaged, TiffHead

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.slides.tiff_head import Directory

_ACCEPTED: Final = (
    "give a whole-slide image (SVS, NDPI, MRXS, SCN, BIF, DICOM, CZI, OME-TIFF, TIFF or "
    "OME-Zarr), or a PNG or JPEG with --mpp"
)
_START_BYTES = 4096
MAKE_TILED: Final = (
    "make it a tiled pyramid with: vips tiffsave {name} slide.tif --tile --pyramid "
    "--compression jpeg --Q 90"
)
_PYRAMID: Final = "tile,pyramid,compression=jpeg,Q=90"
"""Options of a tiled pyramid that libvips writes."""
_CONVERT: Final = "convert it to a pyramidal OME-TIFF with Bio-Formats' bfconvert or with QuPath"
_OTHERS: Final = {
    b"PK\3\4": ("a ZIP archive", "unpack it and give the slide in it"),
    b"\x1f\x8b": ("packed with gzip", "unpack it"),
    b"\x89HDF\r\n\x1a\n": ("an HDF5 file, as features are stored", _ACCEPTED),
    b"%PDF": ("a PDF document", _ACCEPTED),
    b"\xd0\xcf\x11\xe0": ("an OLE file, such as old Zeiss ZVI or Office documents", _CONVERT),
    b"version https://git-lfs": (
        "a pointer of Git LFS, not the slide",
        "fetch it with: git lfs pull",
    ),
    b"<!DOCTYPE html": ("a web page, as failed downloads leave it", "download the slide again"),
    b"<html": ("a web page, as failed downloads leave it", "download the slide again"),
}
"""Beginnings of other files → the kind of file, and the remedy."""
_FOREIGN: Final = {
    ".i2syntax": "Philips", ".kfb": "KFBio", ".lif": "Leica",
    ".nd2": "Nikon", ".oir": "Olympus", ".sdpc": "SQRay", ".tron": "InTelePath",
    ".ets": "Olympus", ".zvi": "Zeiss",
}  # fmt: skip
"""Endings of slides that are not read → their maker."""
_READ: Final = {
    ".bif": "Ventana BIF", ".czi": "Zeiss CZI", ".isyntax": "Philips iSyntax",
    ".mrxs": "MIRAX", ".ndpi": "Hamamatsu NDPI", ".qptiff": "Akoya QPTIFF", ".scn": "Leica SCN",
    ".svs": "Aperio SVS", ".tif": "TIFF", ".tiff": "TIFF", ".vsi": "Olympus VSI",
}  # fmt: skip
"""Endings of slides that are read → their format."""
_COMPRESSIONS: Final = {
    2: "CCITT", 3: "CCITT fax 3", 4: "CCITT fax 4", 32773: "PackBits", 34925: "LZMA",
    34926: "Zstandard", 50000: "Zstandard", 50001: "WebP",
}  # fmt: skip
"""Compressions of TIFF that OpenSlide may not read in slides of vendors, but libvips does."""
_RARE_COMPRESSIONS: Final = {
    6: "old-style JPEG", 22610: "JPEG XR", 34712: "JPEG 2000", 34887: "LERC",
    34892: "lossy JPEG of DNG", 34933: "PNG", 34934: "JPEG XR", 50002: "JPEG XL", 52546: "JPEG XL",
}  # fmt: skip
"""Compressions of TIFF that neither OpenSlide, in such slides, nor libvips reads."""
_GREY: Final = (0, 1)
"""Photometric interpretations of a single channel: white is zero, black is zero."""
_REDUCED = 1
"""Bit of the subfile type of a page that is a smaller version of another."""


def reason_unread(path: Path, readers: str) -> str:
    """Return why a regular file is in no format that can be read, as the end of a sentence.

    Parameters
    ----------
    readers : str
        Names of all readers, for files that look like nothing known.
    """
    with path.open("rb") as file:
        start = file.read(_START_BYTES)
    if start[:4] in MAGICS:
        return _tiff_reason(path)
    for magic, (kind, remedy) in _OTHERS.items():
        if start.lstrip().lower().startswith(magic.lower()):
            return f"is {kind}; {remedy}"
    if not any(start):
        return "begins with nothing but zeros, as unfinished copies do; copy it again"
    maker = _FOREIGN.get(path.suffix.lower())
    if maker is not None:
        return f"is a {maker} slide in a format that is not read; {_CONVERT}"
    ending = path.suffix.lower()
    if ending in _READ:
        return f"ends in {ending}, but does not begin like {_READ[ending]}; copy it again"
    return f"is in no format that one of the readers ({readers}) knows; {_ACCEPTED}"


def reason_not_opened(path: Path) -> str | None:
    """Return why OpenSlide failed on a TIFF that it recognised; None if it does not show."""
    with path.open("rb") as file:
        if file.read(4) not in MAGICS:
            return None
    try:
        with TiffHead(path) as head:
            for directory in head.directories:
                directory.text(tiff_head.DESCRIPTION)
            return _compression_reason(path, head.directories)
    except Damaged as damage:
        return _cut_sentence(damage)


def channels_reason(path: Path) -> str | None:
    """Return why a plain TIFF is no RGB image, as the end of a sentence; None if it is one.

    OpenSlide shows a single channel, or the first of several, in grey, without a word.
    """
    try:
        with TiffHead(path) as head:
            channels = _n_channels(head.directories)
    except Damaged:
        return None
    if channels < 1:
        return None
    return channels_sentence(channels, path.name)


def channels_sentence(n_channels: int, name: str) -> str:
    """Return why grey channels are no slide, as the end of a sentence, and what helps."""
    remedies = {
        1: "give a brightfield slide in RGB; if it is one without its colours, write it as RGB "
        f'with: vips colourspace "{name}" "slide.tif[{_PYRAMID}]" srgb (and give --mpp)',
        3: "if they are red, green and blue, join them with: vips bandjoin "
        f'"{name}[page=0] {name}[page=1] {name}[page=2]" joined.v && vips copy '
        f'joined.v "slide.tif[{_PYRAMID}]" --interpretation srgb (and give --mpp)',
    }
    remedy = remedies.get(n_channels, "give a brightfield slide in RGB")
    channels = f"{n_channels} separate channels" if n_channels > 1 else "one channel"
    return f"holds {channels} in grey, as fluorescence is stored, not an RGB image; {remedy}"


def _n_channels(directories: list[Directory]) -> int:
    """Return the number of grey channels of the first image; 0 if it is not grey."""
    first = directories[0] if directories else None
    if first is None or first.number(tiff_head.PHOTOMETRIC, 2) not in _GREY:
        return 0
    samples = first.number(tiff_head.SAMPLES, 1)
    size = (tiff_head.WIDTH, tiff_head.LENGTH)
    alike = [
        directory
        for directory in directories
        if all(directory.number(tag) == first.number(tag) for tag in size)
        and not directory.number(tiff_head.SUBFILE_TYPE) & _REDUCED
    ]
    # A grey image may have an alpha channel.
    return len(alike) if len(alike) > 1 else samples if samples > 2 else 1


def _tiff_reason(path: Path) -> str:
    """Return why a TIFF is left by all readers: it has no directory that can be read."""
    try:
        with TiffHead(path) as head:
            if not head.directories:
                return "is a TIFF without an image; copy it again"
    except Damaged as damage:
        return _cut_sentence(damage)
    return f"is a TIFF of no kind that is known here; {MAKE_TILED.format(name=path.name)}"


def _cut_sentence(damage: Damaged) -> str:
    return f"is a TIFF that is cut off or damaged ({damage}); copy it again"


def compression_sentence(number: int, name: str) -> str:
    """Return the end of the sentence about a compression that is not read, and what helps."""
    vips = MAKE_TILED.format(name=name)
    remedies = {**dict.fromkeys(_COMPRESSIONS, vips), **dict.fromkeys(_RARE_COMPRESSIONS, _CONVERT)}
    kind = {**_COMPRESSIONS, **_RARE_COMPRESSIONS}.get(number)
    named = f"{kind} (number {number})" if kind else f"method {number}"
    return f"is a TIFF compressed with {named}, which is not read; {remedies.get(number, _CONVERT)}"


def _compression_reason(path: Path, directories: list[Directory]) -> str | None:
    """Return the sentence about a compression that is not read; None if it is not to blame."""
    for directory in directories:
        number = directory.number(tiff_head.COMPRESSION, 1)
        if tiff_head.TILE_WIDTH in directory and number in {**_COMPRESSIONS, **_RARE_COMPRESSIONS}:
            return compression_sentence(number, path.name)
    return None
