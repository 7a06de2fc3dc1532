"""The closing lines of ``compare``: each slide's main numbers, and where the report is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heatmaps_ome.cli.streams import one_line
from heatmaps_ome.run.comparison.page_tables import number, signed, summary_sentences

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from heatmaps_ome.run.comparison.comparing import Comparison


def of_comparison(comparison: Comparison) -> str:
    """Return the closing lines of a comparison."""
    record, lines = comparison.record, []
    lines.append(f"A: {record['a']['name']}, B: {record['b']['name']}; differences are B − A")
    for slide in record["slides"]:
        lines += _slide_lines(slide)
    for key in ("a", "b"):
        for name, reason in record[f"only_{key}"].items():
            lines.append(f"{name}: only in {key.upper()}{f', {reason}' if reason else ''}")
    lines += ["", *summary_sentences(record["summary"])]
    lines.append(f"{comparison.output / 'index.html'}: the report, for any browser")
    lines.append(f"heatmaps-ome view {comparison.output}: the difference maps on the slides")
    # Names of slides cannot begin a line of their own.
    return "\n".join(map(one_line, lines)) + "\n"


def _slide_lines(slide: Mapping[str, Any]) -> Iterator[str]:
    """Yield a slide's lines."""
    if slide["status"] != "done":
        yield f"{slide['name']}: failed"
        yield f"  {slide['message']}"
        return
    yield f"{slide['name']}: {_prediction(slide)}"
    parts = [
        f"{entry['map']} r {number(entry['pearson'])}"
        for entry in slide["maps"]
        if entry["class"] in (None, slide["true_class"]) and entry["form"] != "percentile"
    ]
    if parts:
        yield f"  {'; '.join(parts)}"


def _prediction(slide: Mapping[str, Any]) -> str:
    """Return how a slide's prediction differs."""
    predictions = slide["predictions"]
    outputs = predictions["outputs"]
    hot = next((one for one in outputs if one["output"] == slide["true_class"]), None)
    if hot is None:
        return "no prediction in common"
    flips = ", another class is predicted" if predictions["flips"] else ""
    return (
        f"{hot['output']} {number(hot['a'])} in A, {number(hot['b'])} in B "
        f"({signed(hot['difference'])}){flips}"
    )
