import io
import time

import pytest

from heatmaps_ome.run.progress import Bars, Lines, for_stream

BETWEEN_DRAWINGS_S = 0.12
"""tqdm draws ten times a second at most."""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_with_the_time_left():
    stream = Terminal()
    shown = for_stream(stream)
    assert isinstance(shown, Bars)
    for done in range(4):
        shown("a", "features", done, 3)
        time.sleep(BETWEEN_DRAWINGS_S)
    shown.close()
    assert "a: features" in stream.getvalue()
    assert "33 %" in stream.getvalue()
    assert "left" in stream.getvalue()


def test_an_estimate_of_the_whole_may_change_on_the_way():
    stream = Terminal()
    shown = Bars(stream)
    for done, total in ((0, 10), (4, 10), (6, 8), (8, 8)):
        shown("a", "features", done, total)
        time.sleep(BETWEEN_DRAWINGS_S)
    assert "75 %" in stream.getvalue()


def test_anything_else_gets_plain_lines():
    stream = io.StringIO()
    shown = for_stream(stream)
    assert isinstance(shown, Lines)
    shown("a", "features", 0, 2)
    shown("a", "features", 1, 2)
    shown("a", "features", 2, 2)
    assert stream.getvalue() == "a: features 0%\na: features 100%\n"


def test_the_time_left_counts_only_what_this_run_did(monkeypatch):
    clock = iter([0.0, 40.0, 80.0])
    monkeypatch.setattr("heatmaps_ome.run.progress.time.monotonic", lambda: next(clock))
    stream = io.StringIO()
    shown = Lines(stream, every_s=30)
    shown("a", "features", 90, 100)  # found in the cache
    shown("a", "features", 92, 100)  # 20 s each
    assert stream.getvalue().endswith("a: features 92%, about 2 min 40 s left\n")


def test_lines_are_rare_between_beginning_and_end(monkeypatch):
    times = iter(float(second) for second in range(1000))
    monkeypatch.setattr("heatmaps_ome.run.progress.time.monotonic", lambda: next(times))
    stream = io.StringIO()
    shown = Lines(stream, every_s=30)
    for done in range(101):
        shown("a", "features", done, 100)
    assert len(stream.getvalue().splitlines()) == pytest.approx(5, abs=1)
