import io
import re
import threading
import time

import pytest

from heatmaps_ome.run.progress import Bars, Clock, Lines, for_stream

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
    shown.close()
    assert "75 %" in stream.getvalue()


def test_the_clock_moves_while_nothing_is_reported():
    stream, others = Terminal(), set(threading.enumerate())
    shown = Bars(stream)
    shown.begin("a", "maps", 1, 2)
    shown("a", "features", 0, 3)
    time.sleep(2.5)
    shown.close()
    text = stream.getvalue()
    assert "maps of 2 slides" in text
    assert "[1/2] a: features" in text
    assert {"00:01", "00:02"} <= set(re.findall(r"maps of 2 slides.*?\| (\d\d:\d\d)", text))
    assert {"00:01", "00:02"} <= set(re.findall(r"a: features.*?\| (\d\d:\d\d)", text))
    assert "clock" not in {thread.name for thread in set(threading.enumerate()) - others}


def test_no_bar_of_all_slides_is_drawn_for_one():
    stream = Terminal()
    shown = Bars(stream)
    shown.begin("a", "maps", 1, 1)
    shown("a", "features", 0, 3)
    shown.close()
    assert "1 slides" not in stream.getvalue()
    assert "[1/1]" not in stream.getvalue()
    assert "a: features" in stream.getvalue()


def test_a_long_name_leaves_room_for_the_bar(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    stream = Terminal()
    shown = Bars(stream)
    shown("TCGA-CR-7395-01A-01-TS1.9F3B5C2E-5C22-4B1C-8A29-1A1F0C1D2E3F", "features", 1, 3)
    time.sleep(BETWEEN_DRAWINGS_S)
    shown.close()
    assert "TCGA-CR-7395-…" in stream.getvalue()
    assert "33 %" in stream.getvalue()


def test_anything_else_gets_plain_lines():
    stream = io.StringIO()
    shown = for_stream(stream)
    assert isinstance(shown, Lines)
    for place, slide in enumerate("ab", 1):
        shown.begin(slide, "maps", place, 2)
        for stage in ("tissue", "features"):
            for done in range(3):
                shown(slide, stage, done, 2)
    first, second = stream.getvalue().splitlines()
    assert first == "[1/2] a: maps"
    assert re.fullmatch(r"\[2/2\] b: maps, about \d s left for the maps", second)


def test_the_time_left_counts_only_what_this_run_did(monkeypatch):
    clock = iter([0.0, 0.0, 40.0, 40.0])
    monkeypatch.setattr("heatmaps_ome.run.progress.time.monotonic", lambda: next(clock))
    stream = io.StringIO()
    shown = Lines(stream, every_s=30)
    shown("a", "features", 90, 100)  # found in the cache
    shown("a", "features", 92, 100)  # 20 s each
    assert stream.getvalue().endswith("a: features 92 %, about 2 min 40 s left\n")


def test_the_time_left_follows_the_latest_slides_and_a_slow_one(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("heatmaps_ome.run.progress.time.monotonic", lambda: now[0])
    clock = Clock()
    clock.begin("maps", 1, 20)
    assert clock.left_s() is None
    for place in range(2, 9):  # found in the cache: a second each
        now[0] += 1
        clock.begin("maps", place, 20)
    assert clock.left_s() == pytest.approx(13)
    now[0] += 100  # the eighth takes long, so the rest may, too
    assert clock.left_s() == pytest.approx(100 * 13 - 100)
    for place in range(9, 14):
        clock.begin("maps", place, 20)
        now[0] += 60
    assert clock.left_s() == pytest.approx((100 + 4 * 60) / 5 * 8 - 60)
    clock.begin("files", 1, 20)
    assert clock.left_s() is None


def test_lines_are_rare_between_beginning_and_end(monkeypatch):
    times = iter(float(second) for second in range(1000))
    monkeypatch.setattr("heatmaps_ome.run.progress.time.monotonic", lambda: next(times))
    stream = io.StringIO()
    shown = Lines(stream, every_s=30)
    for done in range(101):
        shown("a", "features", done, 100)
    assert len(stream.getvalue().splitlines()) == pytest.approx(4, abs=1)


def test_slides_at_once_are_counted_when_they_are_done(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    lines = Lines(stream)
    lines.finish("", "maps", 0, 12, 0.0)
    # Four workers, whose slides of 80 s end in bursts.
    for done in range(1, 13):
        now[0] = 80.0 * -(-done // 4)
        lines.finish(f"s{done}", "maps", done, 12, 20.0)
    lines.note("Dask's dashboard: http://a")
    text = stream.getvalue().splitlines()
    assert text[0] == "[1/12] s1: maps done, about 3 min 40 s left for the maps"
    assert text[3] == "[4/12] s4: maps done, about 2 min 40 s left for the maps"
    assert text[-2:] == ["[12/12] s12: maps done", "Dask's dashboard: http://a"]


def test_the_bar_of_slides_at_once_counts_those_that_are_done():
    stream = Terminal()
    bars = Bars(stream)
    bars.finish("", "maps", 0, 4, 0.0)
    bars("a", "features", 1, 3)
    bars.finish("b", "maps", 1, 4, 1.0)
    bars.note("a line that stays")
    bars.finish("a", "maps", 2, 4, 1.0)
    whole = bars._whole
    assert whole is not None
    assert (whole.n, whole.total) == (2, 4)
    assert bars._stage is None
    bars.close()
    assert "a line that stays\n" in stream.getvalue()
