"""What tests share: where the real data is, and slides made on the spot."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from heatmaps_ome.memory import tune_torch

# As the command line does before torch is imported; without, blocks of many shapes fill the memory.
tune_torch()

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
