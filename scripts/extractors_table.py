#!/usr/bin/env python3
"""Print the recipes of encoders as the Markdown table in heatmaps_ome/extractors/README.md.

``scripts/extractors_table.py --write`` writes it to the file.
"""

from __future__ import annotations

from pathlib import Path

from readme_table import print_or_write

from heatmaps_ome.extractors import find_recipe
from heatmaps_ome.extractors.recipe_files import packaged_names

README = Path(__file__).parents[1] / "heatmaps_ome" / "extractors" / "README.md"
BEGIN, END = "<!-- extractors: begin -->", "<!-- extractors: end -->"


def table() -> str:
    """Return the table of the package's recipes."""
    rows = [_row(name) for name in packaged_names()]
    return "\n".join(
        ["| `--extractor` | encoder | features | tile | applied | licence | weights |",
         "|---|---|---|---|---|---|---|", *rows]
    )  # fmt: skip


def _row(name: str) -> str:
    """Return an encoder's row."""
    recipe = find_recipe(name)
    weights = recipe.weights
    title = f"[{recipe.title}]({recipe.paper})" if recipe.paper else recipe.title
    place = (
        f"[{weights.hub}](https://huggingface.co/{weights.hub})"
        if weights.hub
        else (weights.page or weights.url)
    )
    gated = ", gated" if weights.gated else ""
    applied = "dense" if recipe.is_dense else "tiles"
    return (
        f"| `{name}` | {title} | {recipe.channels} | {recipe.tile_px} px | {applied} | "
        f"{recipe.licence or 'not known'} | {place}{gated} |"
    )


if __name__ == "__main__":
    print_or_write(table(), README, BEGIN, END)
