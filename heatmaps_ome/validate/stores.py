"""Checks of single stores: an OME-Zarr with its labels, raw values, an OME-TIFF overlay."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from heatmaps_ome.slides.plain_zarr import inside, require_regular
from heatmaps_ome.validate.labels import LABEL, LISTED, Label, label_names
from heatmaps_ome.validate.levels import IMAGE_LEVELS, LABEL_LEVELS
from heatmaps_ome.validate.ngff import COLOURED, DRAWN, SHARED, Pyramid, open_pyramid
from heatmaps_ome.validate.ome_xml import ZARR_XML
from heatmaps_ome.validate.problems import UNREADABLE, Problem, Rule, one_line, problems_of
from heatmaps_ome.validate.tiff import OVERLAY, Overlay
from heatmaps_ome.validate.value_tiff import VALUE_TIFF, ValueTiff
from heatmaps_ome.validate.values import VALUES, Values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

SubjectT = TypeVar("SubjectT")

READABLE = "readable"


def _never(_: object) -> Iterator[str]:
    """Yield nothing: stores that break this rule are reported where they are opened."""
    yield from ()


OPENED: tuple[Rule[object], ...] = (
    Rule(READABLE, "stores can be opened, and hold what their metadata names", _never),
)
"""The rule for every store; one that breaks it is not checked further."""


@dataclass
class Findings:
    """The problems so far, and the rules checked."""

    problems: list[Problem] = field(default_factory=list)
    rules: set[str] = field(default_factory=lambda: {READABLE})

    def hold(self, subject: SubjectT, path: Path, *rules: Sequence[Rule[SubjectT]]) -> None:
        """Check a subject by rules."""
        for some in rules:
            self.rules |= {rule.name for rule in some}
            self.problems += problems_of(subject, path, some)

    def opened(self, path: Path, opener: Callable[[Path], SubjectT]) -> SubjectT | None:
        """Open a path and return its content; None, with a problem noted, if it is unreadable."""
        try:
            # A pipe would wait for ever, a link may lead anywhere.
            if not path.is_dir():
                require_regular(path)
            return opener(path)
        except UNREADABLE as error:
            self.problems.append(
                Problem(READABLE, path, f"this cannot be opened ({one_line(error)})")
            )
            return None


def check_image(path: Path, findings: Findings) -> tuple[Pyramid | None, dict[str, Label]]:
    """Check an OME-Zarr image and its labels; return those that can be read."""
    image = findings.opened(path, open_pyramid)
    if image is None:
        return None, {}
    findings.hold(image, path, SHARED, DRAWN, COLOURED, ZARR_XML, LISTED)
    # Each level of a picture with a map is compared with that of the slide image instead.
    if _kind(image) != "flat":
        findings.hold(image, path, IMAGE_LEVELS)
    labels = _checked_labels(image, findings)
    for label in labels.values():
        findings.hold(label.pyramid, label.pyramid.path, DRAWN)
    return image, labels


def _kind(image: Pyramid) -> object:
    """Return an image's kind by its own metadata; None without."""
    own = image.attributes.get("heatmaps_ome")
    return own.get("kind") if isinstance(own, dict) else None


def _checked_labels(image: Pyramid, findings: Findings) -> dict[str, Label]:
    """Check the labels of an image or of values; return those that can be read."""
    labels = {}
    for name in findings.opened(image.path, label_names) or []:
        pyramid = findings.opened(
            image.path / "labels", lambda labels, name=name: open_pyramid(inside(labels, name))
        )
        if pyramid is None:
            continue
        label = Label(name, pyramid, image)
        findings.hold(pyramid, pyramid.path, SHARED, LABEL_LEVELS)
        findings.hold(label, pyramid.path, LABEL)
        labels[name] = label
    return labels


def check_values(path: Path, findings: Findings, *, as_reference: bool = False) -> Values | None:
    """Check the raw values; return them if they can be read."""
    pyramid = findings.opened(path, open_pyramid)
    if pyramid is None:
        return None
    values = Values(pyramid, as_reference)
    findings.hold(pyramid, path, SHARED, COLOURED, ZARR_XML, LISTED)
    findings.hold(values, path, VALUES)
    _checked_labels(pyramid, findings)
    return values


@contextmanager
def checked_value_tiff(path: Path, findings: Findings) -> Iterator[ValueTiff | None]:
    """Check raw values in a TIFF, and give it, open, if it can be read."""
    tiff = findings.opened(path, ValueTiff)
    try:
        if tiff is not None:
            findings.hold(tiff, path, VALUE_TIFF)
        yield tiff
    finally:
        if tiff is not None:
            tiff.close()


@contextmanager
def checked_overlay(path: Path, findings: Findings) -> Iterator[Overlay | None]:
    """Check an overlay, and give it, open, if it can be read."""
    overlay = findings.opened(path, Overlay)
    try:
        if overlay is not None:
            findings.hold(overlay, path, OVERLAY)
        yield overlay
    finally:
        if overlay is not None:
            overlay.close()
