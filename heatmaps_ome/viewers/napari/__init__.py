"""Slides' results in napari: a reader for its plugin system, and the command that opens it."""
