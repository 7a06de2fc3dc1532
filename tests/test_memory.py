"""Freed memory goes back to the system."""

import os
import platform
import subprocess
import sys

import numpy as np
import psutil
import pytest

from heatmaps_ome.memory import give_back

only_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc keeps memory so"
)


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


HEAPS = """
import ctypes, threading
from heatmaps_ome.memory import starting
with starting() if {started} else threading.Lock():
    pass
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
threads = [threading.Thread(target=libc.malloc, args=(100,)) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.malloc_info(0, ctypes.c_void_p.in_dll(libc, "stdout"))
libc.fflush(None)
"""


@only_glibc
def test_all_threads_take_memory_from_one_heap():
    def heaps(started):
        command = [sys.executable, "-c", HEAPS.format(started=started)]
        # malloc_info(3): one element for each.
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.count(
            "<heap nr="
        )

    assert heaps(started=True) == 1
    assert heaps(started=False) > 1


def test_on_other_systems_nothing_happens(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    give_back()


AT_IMPORT = """
import os, sys
class Watch:
    def find_spec(self, name, *more):
        if name == "torch":
            print([os.environ.get(key) for key in {keys}])
            raise SystemExit
sys.meta_path.insert(0, Watch())
from heatmaps_ome.cli.main import main
main(["create", "a.svs", "-m", "m.pkl", "-o", "{out}", "-t", "A"])
"""


@pytest.mark.parametrize(("given", "seen"), [({}, ["1", "128"]), ({0: "7"}, ["7", "128"])])
def test_the_command_line_tunes_torch_before_it_is_imported(tmp_path, given, seen):
    keys = ["THP_MEM_ALLOC_ENABLE", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"]
    env = {key: value for key, value in os.environ.items() if key not in keys}
    env |= {keys[index]: value for index, value in given.items()}
    command = [sys.executable, "-c", AT_IMPORT.format(keys=keys, out=tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.stdout.strip() == str(seen), done.stderr
