"""The page that is shipped is what its sources build, and its pure parts do what they say."""

import shutil
import subprocess

import pytest

from heatmaps_ome.viewers.files import viewer_files

PAGE = viewer_files() / "page"
MOST_BYTES = 1_000_000


def npm(*words):
    """Run npm in the page's folder; skip where it or the page's packages are missing."""
    if shutil.which("npm") is None:
        pytest.skip("needs npm")
    if not (PAGE / "node_modules").is_dir():
        pytest.skip("needs the page's packages: run scripts/install-viewers")
    done = subprocess.run(
        ["npm", *words], cwd=PAGE, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_pages_own_tests_pass():
    npm("test", "--silent")


def test_the_built_page_is_what_its_sources_build_byte_by_byte():
    npm("run", "--silent", "check")


def test_the_built_page_is_small_and_names_no_other_host():
    files = [path for path in (PAGE / "dist").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    licences = (PAGE / "dist" / "LICENSES.txt").read_text(encoding="utf-8")
    assert {"openseadragon", "zarrita", "fzstd"} <= set(licences.lower().split()), licences[:300]
    for path in files:
        if path.suffix in (".html", ".css"):
            text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
            assert "http" not in text
