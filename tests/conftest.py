"""What tests share: the number of processes, where the real data is, and a browser."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
import threading
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

from heatmaps_ome.memory import tune_torch

# What runs note on this machine goes by no user's folder.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="heatmaps-ome-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

_GIB_PER_WORKER = 4
_MOST_WORKERS = 4

if "PYTEST_XDIST_WORKER" in os.environ:
    # Read when torch is imported. Threads of several workers would only wait for each other.
    _threads = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, _threads)))

# Examples of Hypothesis may have to wait for the other processes: no limit of 0.2 s for each.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes share the tests: as many as cores and free memory carry.

    A file is never divided, as its tests share what is costly to make; so one file needs one
    process, which is 0 workers.
    """
    paths = [Path(argument.partition("::")[0]) for argument in config.args]
    if len(set(paths)) == 1 and paths[0].is_file():
        return 0
    carried = psutil.virtual_memory().available // (_GIB_PER_WORKER << 30)
    workers = min(os.cpu_count() or 1, carried, _MOST_WORKERS)
    return workers if workers > 1 else 0


# As the command line does before torch is imported; without, blocks of many shapes fill the memory.
tune_torch()
if threading.current_thread() is threading.main_thread() and (
    signal.getsignal(signal.SIGINT) == signal.SIG_IGN
):
    # Shells have programs in the background ignore Ctrl-C, which tests send, and children inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real slides and models beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"needs the real data in {SHARED}")
    return SHARED


_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def chromium():
    """The machine's own browser, one for all tests, or a reason to skip."""
    pytest.importorskip("playwright.sync_api", reason="needs playwright: run scripts/install dev")
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("needs chromium; scripts/install-viewers brings it")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        browser.close()
