"""A device computes one block at a time, and notes what it waited for in between."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from stand_in_gpu import StandIn

from heatmaps_ome.features.lanes import BETWEEN, COMPUTED, WAITED, Lanes
from heatmaps_ome.slides import waiting as waiting_module
from heatmaps_ome.slides.waiting import (
    OTHER,
    READING,
    TISSUE,
    WRITING,
    Waits,
    awaited,
    waiting,
    waits_now,
    waits_of_this_thread,
)

PIXELS = np.zeros((32, 32, 3), np.uint8)
PATIENCE_S = 30


class Scripted(StandIn):
    """Does what it is told while it has the device."""

    def _begin(self):
        self.log[0](self.device)
        return super()._begin()


def scripted(act, *devices):
    return Lanes([Scripted(device, log=[act]) for device in devices])


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves only when it is told to."""

    class Clock:
        now = 100.0

        def perf_counter(self):
            return self.now

        def pass_s(self, seconds):
            self.now += seconds

    made = Clock()
    monkeypatch.setattr(waiting_module, "time", made)
    monkeypatch.setattr("heatmaps_ome.features.lanes.time", made)
    return made


def until(is_so):
    end = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_of_the_blocks_that_wait_the_earliest_slides_comes_first():
    taken, release = [], threading.Event()

    def act(_):
        taken.append(threading.current_thread().name)
        assert release.wait(PATIENCE_S)

    lanes = scripted(act, "cuda:0")
    queue = lanes._lanes[0]._queue

    def slide(turn, network):
        network(PIXELS)
        turn.__exit__(None, None, None)

    turns = {name: lanes.turn() for name in ("first", "second", "third")}
    networks = {name: turn.__enter__() for name, turn in turns.items()}
    threads = [
        threading.Thread(target=slide, args=(turns[name], networks[name]), name=name)
        for name in ("first", "third", "second")
    ]
    for n, thread in enumerate(threads):
        thread.start()
        until(lambda n=n: len(taken) == 1 and len(queue) == n)
    release.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert taken == ["first", "second", "third"]


@pytest.mark.parametrize("waits_for_pixels", [False, True])
def test_a_slide_has_the_device_to_itself_unless_it_waits_for_pixels(waits_for_pixels):
    taken, let_go = [], threading.Event()
    lanes = scripted(lambda _: taken.append(threading.current_thread().name), "cuda:0")
    begun = threading.Event()

    def first():
        with waits_of_this_thread(), lanes.turn() as network:
            network(PIXELS)
            begun.set()
            if waits_for_pixels:
                with waiting(READING):
                    assert let_go.wait(PATIENCE_S)
            else:
                assert let_go.wait(PATIENCE_S)
            network(PIXELS)

    def second():
        with lanes.turn() as network:
            network(PIXELS)

    threads = [threading.Thread(target=work, name=work.__name__) for work in (first, second)]
    threads[0].start()
    assert begun.wait(PATIENCE_S)
    threads[1].start()
    if waits_for_pixels:
        until(lambda: len(taken) == 2)
    else:
        # Far longer than the device is kept free for a slide that waits.
        time.sleep(0.2)
    let_go.set()
    for thread in threads:
        thread.join(PATIENCE_S)
    expected = ["first", "second", "first"] if waits_for_pixels else ["first", "first", "second"]
    assert taken == expected


def test_a_slide_stays_on_its_device_and_devices_compute_at_the_same_time():
    both, used = threading.Barrier(2), []

    def act(device):
        used.append((threading.current_thread().name, device))
        both.wait(PATIENCE_S)

    lanes = scripted(act, "cuda:0", "cuda:1")

    def slide(_):
        with lanes.turn() as network:
            for _ in range(3):
                network(PIXELS)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(slide, range(2)))
    assert len(used) == 6
    assert len(set(used)) == 2
    assert {device for _, device in used} == {"cuda:0", "cuda:1"}


def test_a_slide_gets_the_device_with_the_fewest_slides():
    lanes = scripted(lambda _: None, "cuda:0", "cuda:1", "cuda:2")
    with lanes.turn() as a:
        with lanes.turn() as b, lanes.turn() as c:
            assert [a.device, b.device, c.device] == ["cuda:0", "cuda:1", "cuda:2"]
            with lanes.turn() as d:
                assert d.device == "cuda:0"
        with lanes.turn() as e:
            assert e.device == "cuda:1"


def test_slides_that_wait_for_a_device_end_when_all_is_stopped():
    taken, release, ended = threading.Event(), threading.Event(), []

    def act(_):
        taken.set()
        assert release.wait(PATIENCE_S)

    lanes = scripted(act, "cuda:0")

    def slide():
        try:
            with lanes.turn() as network:
                network(PIXELS)
                network(PIXELS)
        except KeyboardInterrupt:
            ended.append(threading.current_thread().name)

    threads = [threading.Thread(target=slide, name=name) for name in ("has it", "waits")]
    threads[0].start()
    assert taken.wait(PATIENCE_S)
    threads[1].start()
    until(lambda: lanes._lanes[0]._queue)
    lanes.stop()
    threads[1].join(PATIENCE_S)
    assert ended == ["waits"]
    release.set()
    threads[0].join(PATIENCE_S)
    assert ended == ["waits", "has it"]


def test_a_block_that_fails_frees_the_device():
    def act(_):
        raise ValueError("no memory")

    lanes = scripted(act, "cuda:0")
    with lanes.turn() as network:
        for _ in range(2):
            with pytest.raises(ValueError, match="no memory"):
                network(PIXELS)


def test_the_time_of_a_device_is_counted_by_whom_it_waited_for(clock):
    lanes = scripted(lambda _: clock.pass_s(8), "cuda:0")
    with waits_of_this_thread() as waits, lanes.turn() as network:
        clock.pass_s(1)
        with waiting(READING):
            clock.pass_s(2)
        network(PIXELS)
        with waiting(TISSUE):
            clock.pass_s(0.25)
            with waiting(READING):
                clock.pass_s(0.5)
        with waiting(WRITING):
            clock.pass_s(4)
        network.tiles(PIXELS[None])
    assert waits.device == {
        COMPUTED: 16, WAITED[OTHER]: 1, WAITED[READING]: 2.5, WAITED[TISSUE]: 0.25,
        WAITED[WRITING]: 4,
    }  # fmt: skip
    clock.pass_s(32)
    with waits_of_this_thread() as later, lanes.turn() as network:
        with waiting(READING):
            clock.pass_s(3)
        network(PIXELS)
    # What the device waited for before the second slide began is nothing that this slide was at.
    assert later.device == {
        COMPUTED: 8, WAITED[OTHER]: 32, WAITED[READING]: 3, BETWEEN: 35,
    }  # fmt: skip


def test_what_a_slide_waits_for_while_the_device_is_at_another_is_no_time_of_the_device(clock):
    lanes = scripted(lambda _: clock.pass_s(8), "cuda:0")
    turn = lanes.turn()
    first = turn.__enter__()
    with waits_of_this_thread() as waits, lanes.turn() as second:
        with waiting(READING):
            clock.pass_s(1)
            first(PIXELS)
            turn.__exit__(None, None, None)
            clock.pass_s(2)
        second(PIXELS)
    assert waits.device == {COMPUTED: 8, WAITED[OTHER]: 0, WAITED[READING]: 2, BETWEEN: 2}


def test_a_thread_that_notes_no_waits_may_wait(clock):
    before = waits_now()
    with waiting(READING):
        clock.pass_s(1)
    assert before.during(0, 200) == {OTHER: 200}
    assert list(awaited(READING, "abc")) == ["a", "b", "c"]


def test_the_time_until_an_item_is_there_is_counted_and_not_the_work_on_it(clock):
    def slow():
        for item in range(3):
            clock.pass_s(1)
            yield item

    with waits_of_this_thread() as waits:
        for _ in awaited(READING, slow()):
            clock.pass_s(10)
    assert waits.during(100, 133) == {READING: 3, OTHER: 30}
    # Each time is counted once.
    assert waits.during(100, 133) == {OTHER: 33}


def test_waits_are_cut_to_the_time_asked_for(clock):
    waits = Waits()
    waits.switch(TISSUE)
    clock.pass_s(10)
    assert waits.during(104, 107) == {OTHER: 0, TISSUE: 3}
