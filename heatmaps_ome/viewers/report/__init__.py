"""Puts the slides' parts together to ``index.html``, the report of a run."""
