"""Slides: opening and reading them, and finding their tissue and artefacts."""
