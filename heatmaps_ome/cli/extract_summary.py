"""The closing lines of ``extract``: the outcome of each slide, its tiles and its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heatmaps_ome.cli.layout import Page, wrapped
from heatmaps_ome.cli.streams import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heatmaps_ome.options import ExtractOptions
    from heatmaps_ome.run.extraction import Extracted

_WHOLE = Page()


def of_extraction(
    outcomes: Sequence[Extracted], options: ExtractOptions, page: Page = _WHOLE
) -> str:
    """Return the closing lines of an extraction, in lines that fit a page; paths are not broken."""
    paths = {f"  {outcome.file}" for outcome in outcomes if outcome.file is not None}
    lines: list[str] = []
    for outcome in outcomes:
        if outcome.file is None:
            lines += [f"{outcome.slide}: failed", f"  {outcome.message}"]
            continue
        lines.append(f"{outcome.slide}: {outcome.status} ({_tiles(outcome)})")
        lines.append(f"  {outcome.file}")
    side, mpp = options.asked_tiles.side_px, options.asked_tiles.network_mpp
    stride = options.asked_tiles.stride_px * mpp
    lines.append("")
    lines.append(
        f"Tiles of {side * mpp:.6g} µm ({side} network pixels of {mpp:.6g} µm), one every "
        f"{stride:.6g} µm; features of {options.extractor} as {options.feature_type}"
    )
    # Names of slides cannot begin a line of their own.
    laid_out = [
        part
        for line in lines
        for part in wrapped(one_line(line), None if line in paths else page.width)
    ]
    return "\n".join(laid_out) + "\n"


def _tiles(outcome: Extracted) -> str:
    """Return a slide's number of tiles in words."""
    if not outcome.n_tiles:
        return "no tissue found, so no tiles"
    tiles = "1 tile" if outcome.n_tiles == 1 else f"{outcome.n_tiles} tiles"
    if not outcome.n_beyond:
        return tiles
    return f"{tiles}, {outcome.n_beyond} of them padded with white beyond the slide's edge"
