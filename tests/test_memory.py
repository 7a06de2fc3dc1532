"""Freed memory goes back to the system, and a container's limits are kept to."""

import errno
import math
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from heatmaps_ome.memory import give_back, out_of_memory
from heatmaps_ome.memory import limits as memory_limits
from heatmaps_ome.memory.limits import ControlGroups, available_memory, usable_cores

ROOT = Path(__file__).parents[1]

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


GIB = 2**30
UNLIMITED_V1 = 9223372036854771712


def groups(folder, membership, files):
    """Return control groups as files describe them."""
    (folder / "membership").write_text(membership)
    for name, content in files.items():
        path = folder / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return ControlGroups(folder / "cgroup", folder / "membership")


STAT = f"anon 1\ninactive_file {GIB}\nactive_file {GIB // 2}\nshmem 7"
MEMORY = {
    "no groups": ("", {}, math.inf),
    "no limit": ("0::/", {"memory.max": "max", "memory.current": 5 * GIB}, math.inf),
    "a container": ("0::/", {"memory.max": 4 * GIB, "memory.current": GIB}, 3 * GIB),
    "copies of files are free": (
        "0::/",
        {"memory.max": 4 * GIB, "memory.current": 3 * GIB, "memory.stat": STAT},
        2.5 * GIB,
    ),
    "a group of systemd, by the limit around it": (
        "0::/user.slice/run.scope",
        {
            "user.slice/run.scope/memory.max": "max", "user.slice/run.scope/memory.current": GIB,
            "user.slice/memory.max": 8 * GIB, "user.slice/memory.current": 6 * GIB,
            "memory.max": 64 * GIB, "memory.current": GIB,
        },
        2 * GIB,
    ),
    "the soft limit": (
        "0::/a",
        {"a/memory.max": 8 * GIB, "a/memory.high": 2 * GIB, "a/memory.current": GIB},
        GIB,
    ),
    "a container that sees the machine's path": (
        "0::/docker/abc", {"memory.max": 4 * GIB, "memory.current": GIB}, 3 * GIB
    ),
    "a group beyond what is mounted": (
        "0::/../other", {"memory.max": 4 * GIB, "memory.current": GIB}, 3 * GIB
    ),
    "more than the limit": ("0::/", {"memory.max": GIB, "memory.current": 2 * GIB}, 0),
    "version 1": (
        "5:memory:/job\n4:cpu,cpuacct:/job\n0::/",
        {
            "memory/job/memory.limit_in_bytes": 4 * GIB,
            "memory/job/memory.usage_in_bytes": 2 * GIB,
            "memory/job/memory.stat": f"inactive_file 5\ntotal_inactive_file {GIB}",
            "memory/memory.limit_in_bytes": UNLIMITED_V1,
        },
        3 * GIB,
    ),
    "both versions": (
        "3:memory:/\n0::/x",
        {
            "memory/memory.limit_in_bytes": 4 * GIB, "memory/memory.usage_in_bytes": GIB,
            "unified/x/memory.max": 2 * GIB, "unified/x/memory.current": GIB,
        },
        GIB,
    ),
    "damaged": ("nonsense\n0", {"memory.max": "?", "cpu.max": "x y"}, math.inf),
}  # fmt: skip


@pytest.mark.parametrize("case", MEMORY)
def test_memory_is_that_of_the_container(tmp_path, case):
    membership, files, free = MEMORY[case]
    own = groups(tmp_path, membership, files)
    assert own.free_memory() == free
    least = min(free, psutil.virtual_memory().available)
    assert available_memory(own) == pytest.approx(least, abs=GIB / 2)


CORES = {
    "no groups": ("", {}, math.inf),
    "no limit": ("0::/", {"cpu.max": "max 100000"}, math.inf),
    "a container": ("0::/", {"cpu.max": "200000 100000"}, 2),
    "part of a core": ("0::/", {"cpu.max": "50000 100000"}, 0.5),
    "the limit around it": (
        "0::/a/b", {"a/b/cpu.max": "max 100000", "a/cpu.max": "150000 100000"}, 1.5
    ),
    "version 1": (
        "4:cpu,cpuacct:/job",
        {
            "cpu,cpuacct/job/cpu.cfs_quota_us": "300000",
            "cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            "cpu,cpuacct/cpu.cfs_quota_us": "-1",
            "cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
        3,
    ),
    "version 1 under its short name": (
        "4:cpu,cpuacct:/",
        {"cpu/cpu.cfs_quota_us": "100000", "cpu/cpu.cfs_period_us": "100000"},
        1,
    ),
    "damaged": ("0::/", {"cpu.max": "x"}, math.inf),
}  # fmt: skip


@pytest.mark.parametrize("case", CORES)
@pytest.mark.parametrize("own", [1, 2, 64])
def test_cores_are_those_of_the_container(tmp_path, monkeypatch, case, own):
    membership, files, cores = CORES[case]
    limited = groups(tmp_path, membership, files)
    assert limited.cores() == cores
    monkeypatch.setattr(os, "process_cpu_count", lambda: own, raising=False)
    assert usable_cores(limited) == min(own, math.inf if cores == math.inf else math.ceil(cores))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="needs Linux's affinity")
def test_cores_are_those_that_the_process_may_run_on():
    one = min(os.sched_getaffinity(0))
    code = (
        f"import os; os.sched_setaffinity(0, {{{one}}})\n"
        "from heatmaps_ome.memory.limits import usable_cores; assert usable_cores() == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_memory_is_what_ulimit_leaves(monkeypatch):
    own = psutil.Process().memory_info().vms
    monkeypatch.setattr(memory_limits, "address_space_limit", lambda: own + GIB // 4)
    assert available_memory() == pytest.approx(GIB // 4, abs=GIB // 8)
    monkeypatch.setattr(memory_limits, "address_space_limit", lambda: own // 2)
    assert available_memory() == 0


FIT = """
import sys
import heatmaps_ome.memory.limits as limits
from heatmaps_ome.memory import starting
limits.usable_cores = lambda: {cores}
with starting():
    import torch
    torch.set_num_threads(4)
print(torch.get_num_threads())
"""


@pytest.mark.parametrize(("cores", "threads"), [(2, "2"), (16, "4")])
def test_torch_has_no_more_threads_than_cores(cores, threads):
    command = [sys.executable, "-c", FIT.format(cores=cores)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == threads


THREADS = """
import os
import heatmaps_ome.memory.limits as limits
from heatmaps_ome.memory import starting
limits.usable_cores = lambda: 1
with starting():
    import numpy, pyvips
    numpy.ones((500, 500)) @ numpy.ones((500, 500))
    pyvips.Image.black(2000, 2000).avg()
names = [open(f"/proc/self/task/{task}/comm").read() for task in os.listdir("/proc/self/task")]
workers = sum("vips" in name for name in names)
print(workers, len(names) - workers)
print(os.environ["VIPS_CONCURRENCY"], os.environ["OPENBLAS_NUM_THREADS"])
"""


def threads_with(given):
    """Return the threads that libraries start with a core and given variables: vips's, others."""
    limited = ("VIPS_CONCURRENCY", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
    env = {key: value for key, value in os.environ.items() if key not in limited}
    command = [sys.executable, "-c", THREADS]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=env | given)
    return done.stdout.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_libraries_have_a_thread_for_each_core_of_the_container():
    assert threads_with({}) == ["1 1", "1 1"]


@pytest.mark.skipif(sys.platform != "linux", reason="counts threads in /proc")
def test_threads_are_as_many_as_the_user_wants():
    given = {"VIPS_CONCURRENCY": "3", "OMP_NUM_THREADS": "2"}
    assert threads_with(given)[1] == "3 2"


@pytest.mark.skipif(sys.platform != "linux", reason="needs ulimit -v")
def test_too_little_address_space_is_a_sentence(tmp_path):
    words = "create a.svs -m m.pkl -t A -o out"
    done = subprocess.run(
        ["bash", "-c", f"ulimit -v 2000000; {sys.executable} -m heatmaps_ome.cli.main {words}"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("heatmaps-ome: 1.91 GiB of address space do not suffice (")
    assert done.stderr.endswith("raise the limit, ulimit -v 8388608 or more\n")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "limited", "unlimited"),
    [
        (MemoryError(), True, True),
        (ImportError("libtorch.so: failed to map segment"), True, False),
        (ModuleNotFoundError("No module named 'x'"), False, False),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True, False),
        (OSError(errno.ENOENT, "No such file"), False, False),
        (RuntimeError("can't start new thread"), True, False),
        (RuntimeError("another"), False, False),
        (KeyError("memory"), False, False),
    ],
)
def test_lack_of_memory_is_recognised(monkeypatch, error, limited, unlimited):
    monkeypatch.setattr(memory_limits, "address_space_limit", lambda: GIB)
    assert (out_of_memory(error) is not None) is limited
    monkeypatch.setattr(memory_limits, "address_space_limit", lambda: None)
    assert (out_of_memory(error) is not None) is unlimited


def test_no_module_counts_cores_or_memory_by_itself():
    for path in (ROOT / "heatmaps_ome").rglob("*.py"):
        if path.name != "limits.py":
            text = path.read_text(encoding="utf-8")
            for count in ("cpu_count", "virtual_memory", "sched_getaffinity"):
                assert count not in text, f"{path} counts by {count}; see memory/limits.py"
