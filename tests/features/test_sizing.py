"""Blocks are as large as memory allows, and a run that cannot fit is told so beforehand."""

from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from fake_extractors import MeanColourTiles
from hypothesis import assume, given
from hypothesis import strategies as st

from heatmaps_ome.errors import OptionError
from heatmaps_ome.features.block_size import block_px
from heatmaps_ome.options import CreateOptions

GIB = 2**30


def options(**given_):
    return CreateOptions(
        model_path=Path("m.pkl"), output_path=Path("out"), true_class="MSIH", **given_
    )


def peak(side_px, extractor):
    return (side_px + 2 * extractor.halo_px) ** 2 * extractor.bytes_per_px


@given(st.floats(0.1, 64), st.integers(10, 2000), st.sampled_from([0, 64, 224]))
def test_blocks_fit_into_the_memory_that_is_given(gib, bytes_per_px, halo_px):
    extractor = MeanColourTiles(bytes_per_px=bytes_per_px, halo_px=halo_px)
    before = psutil.Process().memory_info().rss
    try:
        side = block_px(extractor, "cpu", max_memory=gib)
    except OptionError:
        assert before + peak(256, extractor) > 0.9 * (gib - 0.6) * GIB
        assume(False)
    assert side % 256 == 0
    assert before + peak(side, extractor) <= gib * GIB
    if side < 1280:
        assert before + peak(side + 256, extractor) > (gib - 0.6) * GIB


def test_too_little_memory_is_refused_with_what_is_enough():
    extractor = MeanColourTiles(bytes_per_px=200, halo_px=224)
    with pytest.raises(OptionError, match=r"--max-memory 0\.2 .* needs ([\d.]+) GiB") as refused:
        block_px(extractor, "cpu", max_memory=0.2)
    enough = float(str(refused.value).split(" needs ")[1].split()[0])
    assert block_px(extractor, "cpu", max_memory=enough + 0.1) >= 256


def test_a_size_that_is_asked_for_is_taken():
    assert block_px(MeanColourTiles(), "cpu", 1000) == 1000


def test_without_a_limit_the_machine_decides(monkeypatch):
    @dataclass
    class Memory:
        available: float

    extractor = MeanColourTiles(bytes_per_px=180, halo_px=224)
    sides = []
    for gib in (64, 0.9, 0.05):
        monkeypatch.setattr(psutil, "virtual_memory", lambda gib=gib: Memory(gib * GIB))
        sides.append(block_px(extractor, "cpu"))
    # The largest; what half of the free memory holds; and without any, the smallest there is.
    assert sides == [1280, 1024, 32]


@pytest.mark.parametrize("wrong", [0, -1.5])
def test_no_memory_at_all_is_a_usage_error(wrong):
    with pytest.raises(ValueError, match="--max-memory"):
        options(max_memory=wrong)
