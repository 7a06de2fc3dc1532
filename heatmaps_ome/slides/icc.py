"""Profiles of colours (ICC): their names, and pixels of a slide converted by one to sRGB."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from PIL import Image, ImageCms

from heatmaps_ome.errors import SlideError

if TYPE_CHECKING:
    from collections.abc import Callable

Icc = Literal["ignore", "apply"]
"""Whether pixels are as the scanner stored them, or converted to sRGB by the slide's profile."""

_MOST_BYTES: Final = 2**24
"""Profiles of scanners have some kB, with tables up to a few MB."""
_SPACE: Final = slice(16, 20)
"""The signature of the colour space in a profile's header (ICC.1:2022, 7.2.6)."""
_WHITE = 255


def profile_name(profile: bytes) -> str:
    """Return the name in a profile; "" if it has none, or is damaged."""
    try:
        return ImageCms.getProfileDescription(_parsed(profile)).strip()
    except (ImageCms.PyCMSError, OSError, ValueError):
        return ""


def profile_digest(profile: bytes) -> str:
    """Return the sha256 of a profile."""
    return hashlib.sha256(profile).hexdigest()


def profile_record(profile: bytes | None, *, applied: bool) -> dict[str, Any] | None:
    """Return the facts on a profile as plain JSON values; None if there is none."""
    if not profile:
        return None
    return {
        "name": profile_name(profile),
        "bytes": len(profile),
        "sha256": profile_digest(profile),
        "applied": applied,
    }


def to_srgb(profile: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """Return the conversion of pixels to sRGB, relative to the profile's white, by LittleCMS.

    The intent is relative colorimetric without compensation of the black point. White stays white:
    it is also the colour of what was never scanned. The conversion may be called by several
    threads.

    Returns
    -------
    callable
        Takes (rows, cols, 3) uint8, and returns the same shape and type.

    Raises
    ------
    SlideError
        If the profile is damaged, or not one of RGB; the end of a sentence.
    """
    if len(profile) > _MOST_BYTES:
        raise SlideError(f"has an ICC profile of {len(profile)} bytes, which none has")
    space = profile[_SPACE].decode("ascii", "replace").strip()
    if len(profile) >= _SPACE.stop and space != "RGB":
        raise SlideError(f"has an ICC profile of the colour space {space!r}, not of RGB")
    try:
        # Without LittleCMS's memory of the last pixel, which threads would share.
        transform = ImageCms.buildTransform(
            _parsed(profile), ImageCms.createProfile("sRGB"), "RGB", "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.NOCACHE,
        )  # fmt: skip
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise SlideError(f"has a damaged ICC profile ({error})") from error

    def convert(rgb: np.ndarray) -> np.ndarray:
        image = ImageCms.applyTransform(Image.fromarray(np.ascontiguousarray(rgb)), transform)
        out = np.array(image)
        out[(rgb == _WHITE).all(axis=-1)] = _WHITE
        return out

    return convert


def _parsed(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.getOpenProfile(io.BytesIO(profile))
