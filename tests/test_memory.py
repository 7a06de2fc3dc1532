"""Freed memory goes back to the system."""

import ctypes
import platform
import resource

import numpy as np
import psutil
import pytest

from heatmaps_ome.memory import give_back, reusing

only_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc keeps memory so"
)
LARGE_BYTES = 100 * 2**20


def faults_of_large_arrays():
    """Return how many pages the system had to clear for ten arrays, one after the other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        # From malloc itself: numpy asks for larger pages, of which there are few.
        (ctypes.c_char * LARGE_BYTES)()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@only_glibc
def test_gaps_between_arrays_that_stay_are_given_back():
    process, rng = psutil.Process(), np.random.default_rng(0)
    # Small enough to come from the heap, where what stays holds what goes in its place.
    arrays = [np.ones(int(size), np.uint8) for size in rng.integers(20_000, 100_000, 6000)]
    full = process.memory_info().rss
    kept = arrays[::40]
    del arrays
    give_back()
    freed = full - process.memory_info().rss
    assert freed > 0.7 * 6000 * 60_000
    assert all((array == 1).all() for array in kept)


@only_glibc
def test_large_arrays_that_are_gone_are_used_again_only_where_it_is_wanted():
    plain = faults_of_large_arrays()
    with reusing():
        within = faults_of_large_arrays()
    assert within < plain / 2
    assert faults_of_large_arrays() > plain / 2


@only_glibc
def test_what_was_used_again_is_given_back():
    process = psutil.Process()
    before = process.memory_info().rss
    with reusing():
        faults_of_large_arrays()
        assert process.memory_info().rss > before + 0.8 * LARGE_BYTES
    give_back()
    assert process.memory_info().rss < before + 0.2 * LARGE_BYTES


def test_on_other_systems_nothing_happens(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    give_back()
    with reusing():
        pass
