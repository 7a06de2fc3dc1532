"""Slides of a run shared between processes, here or on other machines, by Dask.

Only this folder imports Dask, and only when workers are asked for.
"""
