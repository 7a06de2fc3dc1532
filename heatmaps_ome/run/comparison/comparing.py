"""Compares two folders of results and writes the comparison, whole or not at all."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome import __version__
from heatmaps_ome.errors import OutputError, ResultError
from heatmaps_ome.exporters import load_exporters
from heatmaps_ome.exporters.figures.picture_files import save_png
from heatmaps_ome.exporters.protocol import Settings
from heatmaps_ome.maps.heatmap_set import class_keys
from heatmaps_ome.ome.ngff import json_ready
from heatmaps_ome.run.comparison.difference_result import DifferenceWriter
from heatmaps_ome.run.comparison.page import SlidePictures, write_page
from heatmaps_ome.run.comparison.pairing import opened, paired
from heatmaps_ome.run.comparison.pictures import (
    Headings,
    drawn_categories,
    drawn_map,
    drawn_regions,
)
from heatmaps_ome.run.comparison.scales import ScaleFit
from heatmaps_ome.run.comparison.slide_comparison import compared_slide
from heatmaps_ome.run.comparison.summary import (
    RULES,
    differing,
    names_in,
    over_slides,
    side_record,
)
from heatmaps_ome.run.comparison.tables import write_table
from heatmaps_ome.run.faults import DISK, reason_of
from heatmaps_ome.storage.digests import now, write_json
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.private import private_path, remove
from heatmaps_ome.storage.result_folder import (
    COMPARISON,
    COMPARISON_FORMAT,
    exchange,
    is_comparison,
    require_writable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.exporters.protocol import Exporter
    from heatmaps_ome.options import CompareOptions
    from heatmaps_ome.run.comparison.pairing import Pair, Pairing, Side
    from heatmaps_ome.run.comparison.pictures import Pictures
    from heatmaps_ome.run.comparison.scales import Scales
    from heatmaps_ome.run.comparison.slide_comparison import SlideComparison
    from heatmaps_ome.run.progress import Progress

logger = logging.getLogger(__name__)

TABLE: Final = "compare.csv"
INDEX: Final = "index.html"
PICTURES: Final = "side-by-side"
"""Folder of a slide's pictures."""
_STAGE: Final = "compare"
_FILES: Final = "files"


@dataclass(frozen=True)
class Comparison:
    """A comparison as it was written.

    Attributes
    ----------
    output : Path
    record : dict
        The content of ``compare.json``.
    """

    output: Path
    record: dict[str, Any]

    @property
    def failed(self) -> dict[str, str]:
        """Why slides could not be compared, by their names."""
        slides = self.record["slides"]
        return {one["name"]: one["message"] for one in slides if one["status"] != "done"}


def compare(options: CompareOptions, progress: Progress) -> Comparison:
    """Compare two folders of results and write the comparison.

    Raises
    ------
    ResultError
        If either folder holds no results, they have no slide in common, or none could be compared.
    OutputError
        If the output exists and may not be replaced, or cannot be written.
    """
    sides = opened(options.a), opened(options.b)
    pairing = paired(*sides)
    output = options.output_path or Path(f"{sides[0].name}-vs-{sides[1].name}")
    _require_replaceable(output, (options.a, options.b), overwrite=options.overwrite)
    exporters = load_exporters(options.formats, Settings())
    formats = dict(zip(dict.fromkeys(options.formats), exporters, strict=True))
    job = _Job(sides, pairing, formats, progress)
    scales = job.numbers()
    partial, old = private_path(output), private_path(output, "old")
    try:
        partial.mkdir(parents=True)
        record = job.written(scales, partial)
        exchange(partial, output, old)
    except OSError as error:
        raise disk_error(output, error) from error
    finally:
        remove(partial)
    remove(old)
    return Comparison(output, record)


def _require_replaceable(output: Path, inputs: tuple[Path, Path], *, overwrite: bool) -> None:
    """Refuse an output that is no comparison, or may not be replaced, or lies in an input."""
    place = output.resolve()
    for own in map(Path.resolve, inputs):
        if place.is_relative_to(own) or own.is_relative_to(place):
            raise OutputError(
                f"{output} and the results {own.name} lie in one another; choose another "
                "--output-path"
            )
    require_writable(output.parent)
    with suppress(OSError):
        if not any(output.iterdir()):
            return
    if not output.exists() and not output.is_symlink():
        return
    if not is_comparison(output):
        raise OutputError(f"{output} exists and holds no comparison; choose another --output-path")
    if not overwrite:
        raise OutputError(
            f"{output} holds an earlier comparison; replace it with --overwrite, or choose another "
            "--output-path"
        )


@dataclass(eq=False)
class _Job:
    """The comparison of two folders: first all numbers, then all files."""

    sides: tuple[Side, Side]
    pairing: Pairing
    exporters: dict[str, Exporter]
    progress: Progress
    failures: dict[str, str] = field(default_factory=dict)

    def numbers(self) -> Scales:
        """Compare all slides, and return the scales that they share.

        Raises
        ------
        ResultError
            If no slide could be compared.
        """
        fit, done = ScaleFit(), 0
        for index, pair in enumerate(self.pairing.pairs):
            self.progress("all slides", _STAGE, index, len(self.pairing.pairs))
            for slide in self._compared(pair):
                fit.add(slide)
                done += 1
        self.progress("all slides", _STAGE, len(self.pairing.pairs), len(self.pairing.pairs))
        if not done:
            reason = next(iter(self.failures.values()))
            raise ResultError(f"no slide could be compared: {reason}")
        return fit.fit()

    def written(self, scales: Scales, output: Path) -> dict[str, Any]:
        """Write everything into an empty folder, and return the content of ``compare.json``."""
        writer = DifferenceWriter(*self.sides, scales, self.exporters)
        slides, pictures = [], []
        for index, pair in enumerate(self.pairing.pairs):
            self.progress("all slides", _FILES, index, len(self.pairing.pairs))
            slides.append(self._failure(pair))
            for slide in self._compared(pair):
                drawn = self._slide_files(slide, writer, output / slide.name)
                if drawn is not None:
                    slides[-1] = slide.record()
                    pictures.append(drawn)
                else:
                    slides[-1] = self._failure(pair)
        self.progress("all slides", _FILES, len(self.pairing.pairs), len(self.pairing.pairs))
        record = self._record(slides, scales)
        write_json(output / COMPARISON, record)
        write_table(slides, output / TABLE)
        write_page(output / INDEX, record, pictures)
        return record

    def _compared(self, pair: Pair) -> Iterator[SlideComparison]:
        """Yield the comparison of a slide, or note why it failed."""
        if pair.a in self.failures:
            return
        try:
            slide = compared_slide(pair, *self.sides)
        except Exception as error:
            logger.debug("the error of %s in full", pair.a, exc_info=error)
            self.failures[pair.a] = reason_of(error, Path(pair.a))
            return
        yield slide

    def _slide_files(
        self, slide: SlideComparison, writer: DifferenceWriter, folder: Path
    ) -> SlidePictures | None:
        """Write the files of a slide; None, and no folder, if that failed."""
        try:
            folder.mkdir()
            stored = writer.stored(slide)
            drawn = SlidePictures.of(slide, stored)
            pictures = folder / PICTURES
            pictures.mkdir()
            for name, title, own in self._pictures(slide, writer.scales):
                save_png(own.whole, pictures / f"{name}.png")
                drawn.add(title, own)
            if slide.maps:
                writer.write(slide, stored, folder)
        except Exception as error:
            remove(folder)
            # A full disk is no fault of the slide.
            if isinstance(error, OSError) and error.errno in DISK:
                raise
            logger.debug("the error of %s in full", slide.name, exc_info=error)
            self.failures[slide.name] = reason_of(error, Path(slide.name))
            return None
        return drawn

    def _pictures(
        self, slide: SlideComparison, scales: Scales
    ) -> Iterator[tuple[str, str, Pictures]]:
        """Yield the (file name, title, pictures) of all maps of a slide."""
        words = Headings(slide.name, (self.sides[0].name, self.sides[1].name))
        titles = [one.quantity.name for one in slide.maps]
        names = iter(class_keys([*titles, *(one.name for one in slide.categories), "regions"]))
        for one in slide.maps:
            title = one.quantity.name
            own = drawn_map(one, scales.maps[title], slide.cells, slide.numbers[title], words)
            yield next(names), title, own
        for one in slide.categories:
            yield next(names), one.name, drawn_categories(one, slide.cells, words)
        if slide.regions:
            own = drawn_regions(slide.regions, slide.cells, slide.true_class, words)
            yield next(names), "Regions", own

    def _failure(self, pair: Pair) -> dict[str, Any]:
        """Return the record of a slide that could not be compared."""
        return {
            "name": pair.a, "name_b": pair.b, "status": "failed",
            "message": self.failures.get(pair.a, ""),
        }  # fmt: skip

    def _record(self, slides: list[dict[str, Any]], scales: Scales) -> dict[str, Any]:
        """Return the content of ``compare.json``."""
        a, b = (
            side_record(side, names_in(self.pairing.pairs, index))
            for index, side in enumerate(self.sides)
        )
        return json_ready({
            "format": COMPARISON_FORMAT,
            "created": now(),
            "version": __version__,
            "a": a,
            "b": b,
            "differing": differing(a, b),
            "rules": RULES,
            "scales": [scale.record() for scale in scales.maps.values()],
            "summary": over_slides(slides),
            "slides": slides,
            "only_a": dict(self.pairing.only_a),
            "only_b": dict(self.pairing.only_b),
        })  # fmt: skip
