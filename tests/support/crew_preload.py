"""Loaded by the worker processes of tests: extractors without weights, slow, or deadly."""

import os
import signal
import time

from fake_extractors import MeanColourTiles

from heatmaps_ome import extractors

DEADLY, HANGING = 7, 11
"""Values of the red channel of a slide's first pixel that end, or stop, its worker."""


def dask_setup(worker):
    """Register the extractor; Dask calls it in each worker process."""
    extractors.REGISTRY["mean-colour"] = "crew_preload:load"


class Fateful(MeanColourTiles):
    """Mean colours, unless the environment has another fate for the slides of this process."""

    def __call__(self, pixels, keep=None):
        time.sleep(float(os.environ.get("CREW_SLEEP_S", "0")))
        if _is_marked(pixels, "deadly"):
            os.kill(os.getpid(), signal.SIGKILL)
        if _is_marked(pixels, "hanging"):
            time.sleep(600)
        return super().__call__(pixels, keep)


def _is_marked(pixels, fate):
    colour = {"deadly": (250, 0, 250), "hanging": (0, 250, 250)}[fate]
    return bool((abs(pixels.astype(int) - colour).max(axis=2) < 40).mean() > 0.2)


def load(weights, device, precision):
    """Return the extractor, as a registry's function does."""
    return Fateful()
