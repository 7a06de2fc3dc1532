"""Slides and results in object storage and on servers, by any URL that fsspec knows."""
