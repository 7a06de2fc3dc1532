"""Viewer-ready heatmaps of attention-MIL models on whole-slide images."""

__all__ = ["__version__"]

__version__ = "0.1.0"
