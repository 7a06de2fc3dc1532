"""The lines of a dry run, and the sums behind them."""

from pathlib import Path

import pytest

from heatmaps_ome.cli.dry_run import lines_of
from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run.forecast import space
from heatmaps_ome.run.forecast.costs import Costs, Sum, megapixels_of
from heatmaps_ome.run.forecast.forecast import Forecast, forecast_of, too_small
from heatmaps_ome.run.forecast.space import Need, needs
from heatmaps_ome.run.forecast.standing import Standing
from heatmaps_ome.run.settings import settings_of

COSTS = Costs({
    "making": Sum(100, 10, 2), "drawing": Sum(30, 10, 5), "results": Sum(2e6, 10, 5),
    "features": Sum(5e6, 10, 5), "pixels": Sum(10e6, 10, 5),
}, 0.5)  # fmt: skip
SLIDES = (
    Standing("new.svs", "maps and files", megapixels=3),
    Standing("also.svs", "maps and files", megapixels=1),
    Standing("cached.svs", "maps and files", megapixels=2, is_cached=True),
    Standing("made.svs", "files", megapixels=4),
    Standing("old.svs", "unchanged"),
    Standing("bad.svs", "refused", "bad.svs cannot be opened"),
)


def test_costs_have_a_part_for_each_slide_and_one_for_its_size():
    costs = Sum()
    for megapixels in (1.0, 2.0, 6.0):
        costs = costs.plus(Sum.of_slide(5 + 2 * megapixels, megapixels))
    assert costs.expected(30, 4) == pytest.approx(4 * 5 + 2 * 30)
    # Sizes that are nearly the same tell nothing of it.
    alike = Sum.of_slide(10, 2).plus(Sum.of_slide(10.4, 2.04))
    assert alike.expected(8.08, 1) == pytest.approx(40.8)
    # No part is negative.
    smaller_are_slower = Sum.of_slide(10, 1).plus(Sum.of_slide(6, 3))
    assert smaller_are_slower.expected(100, 2) == pytest.approx(16)
    steep = Sum.of_slide(1, 2).plus(Sum.of_slide(9, 4))
    assert steep.expected(12, 3) == pytest.approx(20)


def settings(**changed):
    return settings_of(
        CreateOptions(
            model_path=Path("m.pkl"), output_path=Path("/out"), cache_dir=Path("/cache"), **changed
        )
    )


@pytest.fixture
def disks(monkeypatch):
    """Folders on one disk, with 100 of 1000 MB free; return what sets the free bytes."""
    usage = type("Usage", (), {"free": 100_000_000, "total": 1_000_000_000})
    monkeypatch.setattr(space.shutil, "disk_usage", lambda _: usage)
    return usage


def test_time_and_space_are_sums_over_the_work_that_is_left(disks):
    forecast = forecast_of(settings(), SLIDES, COSTS, scaling_is_known=True)
    assert forecast.seconds == pytest.approx(10 * (3 + 1) + 3 * (3 + 1 + 2 + 4))
    assert forecast.results == pytest.approx(0.2e6 * (3 + 1 + 2 + 4))
    assert forecast.cache == pytest.approx((0.5e6 + 1e6) * (3 + 1))
    assert forecast.measured_on == 5
    [need] = forecast.needs
    assert need.size == forecast.results + forecast.cache


@pytest.mark.parametrize(
    ("keep", "known", "kept"),
    [("always", True, 5), ("until-drawn", True, 4), ("until-drawn", False, 5), ("never", False, 4)],
)
def test_pixels_that_are_not_kept_count_as_many_as_there_are_at_once(disks, keep, known, kept):
    slides = (*SLIDES, Standing("more.svs", "maps and files", megapixels=1))
    forecast = forecast_of(settings(keep_pixels=keep), slides, COSTS, scaling_is_known=known)
    assert forecast.cache == pytest.approx(0.5e6 * 5 + 1e6 * kept)


def test_lines_tell_each_slide_and_the_sums(disks):
    lines = list(lines_of(forecast_of(settings(), SLIDES, COSTS, scaling_is_known=True)))
    assert lines[:6] == [
        "new.svs: maps and files", "also.svs: maps and files", "cached.svs: maps and files",
        "made.svs: files", "old.svs: unchanged", "bad.svs: refused (bad.svs cannot be opened)",
    ]  # fmt: skip
    assert lines[6:] == [
        "6 slides: 3 maps and files, 1 files, 1 unchanged, 1 refused",
        "time: about 1 min 10 s, slide after slide, by 5 slides that are done",
        "disk: results 2.00 MB, cache 6.00 MB (/out and /cache: 100 MB of 1.00 GB are free there)",
        "nothing was written",
    ]


def test_lines_warn_of_a_disk_that_is_too_small(disks):
    disks.free = 5_000_000
    lines = list(lines_of(forecast_of(settings(), SLIDES, COSTS, scaling_is_known=True)))
    assert lines[-2:] == [
        "warning: this will not fit: 8.00 MB are needed, and 5.00 MB of 1.00 GB are free there",
        "nothing was written",
    ]


def test_costs_that_are_not_known_are_no_numbers(disks):
    forecast = forecast_of(settings(), SLIDES, Costs(), scaling_is_known=True)
    assert (forecast.seconds, forecast.results, forecast.cache) == (None, None, None)
    lines = list(lines_of(forecast))
    assert "time: not known yet; the first slide will tell" in lines
    assert "results not known yet, cache not known yet" in lines[-2]
    only = forecast_of(settings(), SLIDES, COSTS.only("making"), scaling_is_known=True)
    assert only.seconds is None


def test_nothing_to_do_takes_neither_time_nor_disk():
    done = Forecast(Path("out"), SLIDES[4:5], 0.0, 0, 0.0, 0.0, ())
    assert list(lines_of(done)) == [
        "old.svs: unchanged", "1 slide: 1 unchanged", "nothing was written"
    ]  # fmt: skip
    [first, _] = lines_of(Forecast(Path("out"), (), 0.0, 0, 0.0, 0.0, ()))
    assert first == "0 slides: nothing to do"


def test_folders_on_two_disks_are_two_needs(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    devices = {tmp_path / "a": 1, tmp_path: 2}
    real = Path.stat

    def stat(self, **given):
        found = real(self, **given)
        return type("S", (), {"st_dev": devices[self], "st_mode": found.st_mode})()

    def usage(place):
        return type("U", (), {"free": devices[place], "total": 9})()

    monkeypatch.setattr(space.shutil, "disk_usage", usage)
    monkeypatch.setattr(Path, "stat", stat)
    sizes = {tmp_path / "a" / "x" / "y": 5.0, tmp_path / "b": 1.0, tmp_path / "a" / "z": 2.0}
    monkeypatch.setattr(Path, "is_dir", lambda self: self in devices)
    assert needs(sizes) == [
        Need((tmp_path / "a/x/y", tmp_path / "a/z"), 7.0, 1, 9), Need((tmp_path / "b",), 1.0, 2, 9)
    ]  # fmt: skip


def test_only_what_certainly_does_not_fit_is_warned_of(disks):
    assert too_small(Path("/out"), COSTS, 199_000_000) is None
    assert too_small(Path("/out"), Costs(), 10**15) is None
    sentence = too_small(Path("/out"), COSTS, 240_000_000)
    assert sentence.startswith("the disk of /out is too small for these slides: they leave at")
    assert "120 MB" in sentence
    assert "100 MB of 1.00 GB are free there" in sentence


def test_a_megapixel_is_one_at_the_resolution_of_the_network():
    assert megapixels_of(Shape(4000, 2000), YX(0.25, 0.5), 1.0) == pytest.approx(1.0)
