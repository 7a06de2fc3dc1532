"""The layouts of published weights whose names are not those of the networks here."""

from __future__ import annotations

from typing import Final

from heatmaps_ome.extractors.renaming import Renaming

SWIN: Final = Renaming(
    sign=r"layers\.0\.downsample\.",
    renames=tuple(
        (rf"^layers\.{stage}\.downsample\.", f"layers.{stage + 1}.downsample.")
        for stage in (2, 1, 0)
    ),
    left_out=(r".*\.relative_position_index$", r".*\.attn_mask$", r"head\."),
)
"""The original Swin's: a stage ends with the merging of patches with which timm's next begins.

Indices and masks of windows follow from their size.
"""
