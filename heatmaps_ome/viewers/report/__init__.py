"""Joins the slides' parts into ``index.html``, the report of a run."""
