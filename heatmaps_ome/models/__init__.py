"""Trained attention-MIL models: safe reading, conversion and application."""

from heatmaps_ome.models.reading import (
    ModelDescription,
    describe_model,
    read_model,
    read_stored,
)

__all__ = ["ModelDescription", "describe_model", "read_model", "read_stored"]
