"""Work in threads: results in order, no more at once than wanted, no thread left at the end."""

import signal
import threading
from types import SimpleNamespace

import pytest

from heatmaps_ome.run.at_once import at_once
from heatmaps_ome.run.attempts import PreflightError
from heatmaps_ome.run.outcome import Outcome
from heatmaps_ome.run.progress import Display, Leading
from heatmaps_ome.run.slide_work import do_all, make_all

PATIENCE_S = 30


def threads_left():
    return [each for each in threading.enumerate() if each.name.startswith("slide")]


def test_results_come_in_order_however_long_each_takes():
    second_done = threading.Event()

    def work(item):
        if item == 0:
            assert second_done.wait(PATIENCE_S)
        if item == 1:
            second_done.set()
        return 10 * item

    assert list(at_once(work, range(5), 2, lambda: None)) == [0, 10, 20, 30, 40]
    assert not threads_left()


def test_as_many_are_at_work_as_wanted_and_no_more():
    at_work, most, together = [], [], threading.Barrier(3)

    def work(item):
        at_work.append(item)
        most.append(len(at_work))
        together.wait(PATIENCE_S)
        at_work.remove(item)

    list(at_once(work, range(9), 3, lambda: None))
    assert max(most) == 3


def test_one_at_a_time_needs_no_thread():
    names = list(at_once(lambda _: threading.current_thread().name, range(2), 1, lambda: None))
    assert set(names) == {threading.current_thread().name}


@pytest.mark.parametrize("error", [PreflightError([]), KeyboardInterrupt()])
def test_an_error_stops_what_is_at_work_and_leaves_the_rest_undone(error):
    stopped, begun = threading.Event(), []

    def work(item):
        begun.append(item)
        if item == 0:
            raise error
        assert stopped.wait(PATIENCE_S)

    with pytest.raises(type(error)):
        list(at_once(work, range(100), 2, stopped.set))
    assert len(begun) <= 4
    assert not threads_left()


def test_ctrl_c_stops_what_is_at_work():
    stopped = threading.Event()

    def work(item):
        if item == 0:
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        assert stopped.wait(PATIENCE_S)

    with pytest.raises(KeyboardInterrupt):
        list(at_once(work, range(9), 2, stopped.set))
    assert not threads_left()


def test_a_consumer_that_wants_no_more_leaves_no_thread():
    results = at_once(lambda item: item, range(9), 2, lambda: None)
    next(results)
    results.close()
    assert not threads_left()


class Shown(Display):
    """Notes what people see."""

    def __init__(self):
        self.seen = []

    def begin(self, slide, work, place, of):
        self.seen.append((slide, work, place, of))

    def __call__(self, slide, stage, done, total):
        self.seen.append((slide, stage))


def test_a_display_follows_the_first_of_the_slides_at_work():
    shown = Shown()
    progress = Leading(shown)
    progress.begin("a", "maps", 1, 3)
    progress.begin("b", "maps", 2, 3)
    progress("b", "reading", 0, 1)
    progress("a", "features", 0, 1)
    progress.begin("c", "maps", 3, 3)
    progress.end("b")
    progress("c", "reading", 0, 1)
    progress.end("a")
    progress("c", "features", 0, 1)
    progress.end("c")
    assert shown.seen == [
        ("a", "maps", 1, 3), ("a", "features"), ("c", "maps", 3, 3), ("c", "features"),
    ]  # fmt: skip


def test_a_function_learns_of_all_slides_until_all_is_stopped():
    told = []
    progress = Leading(lambda *report: told.append(report))
    progress.begin("a", "maps", 1, 2)
    progress.begin("b", "maps", 2, 2)
    progress("b", "reading", 0, 1)
    progress("a", "features", 1, 2)
    assert told == [("b", "reading", 0, 1), ("a", "features", 1, 2)]
    progress.stop()
    with pytest.raises(KeyboardInterrupt):
        progress("a", "features", 2, 2)


def slides(n):
    rows = [SimpleNamespace(path=None, origin="", name=name) for name in "abcdef"[:n]]
    return [(row, Outcome(f"{row.name}.svs", "done", name=row.name)) for row in rows]


def stage(at_once, act):
    """Return the stage that makes maps, or draws: ``act`` is called with the slide's name."""
    return SimpleNamespace(
        at_once=at_once, progress=Leading(lambda *_: None), output=None, stop=lambda: None,
        expect=lambda _: None,
        make=lambda row, outcome, scaling: act(row.name) or row,
        draw=lambda made, scaling, outcome: act(made.name),
    )  # fmt: skip


def test_a_slide_is_drawn_while_the_next_are_made_but_no_two_are_drawn_at_once():
    drawing, made_c, at_work = threading.Event(), threading.Event(), []

    def make(name):
        if name == "c":
            assert drawing.wait(PATIENCE_S)
            made_c.set()

    def draw(name):
        at_work.append(name)
        assert len(at_work) == 1
        drawing.set()
        assert made_c.wait(PATIENCE_S)
        at_work.remove(name)

    given = slides(5)
    do_all(stage(2, make), stage(2, draw), given, None)
    assert [outcome.status for _, outcome in given] == ["done"] * 5


def test_a_slide_that_fails_while_another_is_at_work_fails_alone():
    begun = threading.Barrier(2)

    def make(name):
        if name in "ab":
            begun.wait(PATIENCE_S)
        if name == "b":
            raise ValueError("damaged")

    given = slides(3)
    for row, _ in given:
        row.path = SimpleNamespace(name=f"{row.name}.svs")
    made = make_all(stage(2, make), given)
    assert [row.name for row, _ in made] == ["a", "c"]
    assert [outcome.status for _, outcome in given] == ["done", "failed", "done"]
    assert given[1][1].message == "b.svs: ValueError: damaged"


def test_what_no_slide_can_be_made_without_ends_all():
    def make(name):
        raise PreflightError([])

    with pytest.raises(PreflightError):
        make_all(stage(2, make), slides(6))
    assert not threads_left()
