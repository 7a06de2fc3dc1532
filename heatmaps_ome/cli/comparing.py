"""Runs ``compare`` and prints each slide's main numbers, and where the report is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from heatmaps_ome.cli.streams import one_line
from heatmaps_ome.run.comparison.page_tables import answer, number, signed, summary_sentences

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from heatmaps_ome.options import CompareOptions
    from heatmaps_ome.run.comparison.comparing import Comparison


def run_compare(options: CompareOptions) -> int:
    """Compare two folders of results, print the main numbers and return the exit code."""
    from heatmaps_ome.run import progress
    from heatmaps_ome.run.comparison import comparing

    display = progress.for_stream(sys.stderr)
    try:
        comparison = comparing.compare(options, display)
    finally:
        display.close()
    sys.stdout.write(of_comparison(comparison))
    return 1 if comparison.failed else 0


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
    answers = [answer(hot[key], predictions["probabilities"]) for key in ("a", "b")]
    flips = ", another class is predicted" if predictions["flips"] else ""
    return (
        f"{hot['output']} {answers[0]} in A, {answers[1]} in B ({signed(hot['difference'])}){flips}"
    )
