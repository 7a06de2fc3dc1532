"""Slides overlap where the network has a device of its own, and nothing else changes."""

import json
import signal
import threading

import numpy as np
import pytest
import stand_in_gpu
from fake_extractors import CLASSES
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

from heatmaps_ome import make_maps
from heatmaps_ome.cli.layout import Page
from heatmaps_ome.cli.summary import of_run
from heatmaps_ome.errors import OptionError
from heatmaps_ome.features.lanes import BETWEEN, COMPUTED, WAITED
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run import devices
from heatmaps_ome.run.made_maps import all_made
from heatmaps_ome.run.making import Making
from heatmaps_ome.run.outcome import Outcome
from heatmaps_ome.run.settings import Encoder, settings_of
from heatmaps_ome.slides import reading
from heatmaps_ome.slides.opened_slide import OpenedSlide
from heatmaps_ome.slides.reading import reading_threads

PATIENCE_S = 60


@pytest.fixture
def world(tmp_path):
    for seed, name in enumerate("abc"):
        write_slide(tmp_path / f"{name}.svs", speckled(400, 500, seed))
    write_export(tmp_path / "export.pkl", parts=make_parts(n_inputs=3))

    class World:
        path = tmp_path

        def make(self, out, **options):
            return make_maps(
                [tmp_path / f"{name}.svs" for name in "abc"], tmp_path / "export.pkl", CLASSES[0],
                tmp_path / out, extractor=stand_in_gpu.NAME, precision="float32", block_size=64,
                **options,
            )  # fmt: skip

        def values(self, out):
            return {made.name: made.parts()[0] for made in all_made(tmp_path / out)}

    return World()


@pytest.fixture
def slides_read(monkeypatch):
    """Event for each slide: its pixels are being read."""
    events = {name: threading.Event() for name in "abc"}
    read = OpenedSlide.read

    def noted(self, lattice, window):
        events[self.path.stem].set()
        return read(self, lattice, window)

    monkeypatch.setattr(OpenedSlide, "read", noted)
    return events


def computing(monkeypatch, act):
    """Have the stand-in call a function while it has a device, with that device's name."""
    begin = stand_in_gpu.StandIn._begin

    def acting(self):
        act(self.device)
        return begin(self)

    monkeypatch.setattr(stand_in_gpu.StandIn, "_begin", acting)


def test_the_next_slide_is_read_while_the_network_is_at_one(world, monkeypatch, slides_read):
    stand_in_gpu.install(monkeypatch, "cpu")
    world.make("serial")
    for event in slides_read.values():
        event.clear()
    stand_in_gpu.install(monkeypatch, "cuda:0")
    read_ahead = []

    def act(_):
        if not read_ahead:
            read_ahead.append(slides_read["b"].wait(PATIENCE_S))
            # Not more than one ahead.
            read_ahead.append(slides_read["c"].is_set())

    computing(monkeypatch, act)
    outcomes = world.make("overlapped")
    assert read_ahead == [True, False]
    assert [(outcome.slide, outcome.status) for outcome in outcomes] == [
        ("a.svs", "done"), ("b.svs", "done"), ("c.svs", "done"),
    ]  # fmt: skip
    expected, found = world.values("serial"), world.values("overlapped")
    assert list(found) == list(expected) == ["a", "b", "c"]
    for name in found:
        assert found[name].tissue_cells > 20
        for key in ("tissue", "attention", "scores", "contributions", "logits"):
            one, other = getattr(found[name], key), getattr(expected[name], key)
            assert np.array_equal(one, other, equal_nan=True)
    for outcome in outcomes:
        spent = outcome.stages["network"]
        assert {COMPUTED, *WAITED.values()} >= set(spent) - {BETWEEN}
        assert spent[COMPUTED] > 0
        # What else is at work shares the process's counts, so only seconds are this slide's.
        assert set(outcome.stages["features"]) == {"seconds"}
    assert sum(BETWEEN in outcome.stages["network"] for outcome in outcomes) == 2


def test_each_device_takes_slides(world, monkeypatch):
    stand_in_gpu.install(monkeypatch, "cuda:0", "cuda:1")
    both, seen = threading.Barrier(2), []

    def act(device):
        if device not in seen:
            seen.append(device)
            both.wait(PATIENCE_S)

    computing(monkeypatch, act)
    outcomes = world.make("out")
    assert [outcome.status for outcome in outcomes] == ["done"] * 3
    assert sorted(seen) == ["cuda:0", "cuda:1"]
    [record] = [json.loads(path.read_text()) for path in (world.path / "out" / "runs").iterdir()]
    assert [entry["device"] for entry in record["devices"]] == ["cuda:0", "cuda:1"]
    for measure in (COMPUTED, *WAITED.values(), BETWEEN):
        of_devices = sum(entry.get(measure, 0) for entry in record["devices"])
        of_slides = sum(outcome.stages["network"].get(measure, 0) for outcome in outcomes)
        assert of_devices == pytest.approx(of_slides, abs=0.01)


def test_a_slide_that_is_damaged_fails_alone_though_it_is_read_ahead(world, monkeypatch):
    stand_in_gpu.install(monkeypatch, "cuda:0")
    (world.path / "b.svs").write_bytes(b"no slide")
    outcomes = world.make("out")
    assert [outcome.status for outcome in outcomes] == ["done", "failed", "done"]
    assert "b.svs" in outcomes[1].message


def test_ctrl_c_ends_all_threads_and_leaves_nothing_but_the_cache(world, monkeypatch, slides_read):
    stand_in_gpu.install(monkeypatch, "cuda:0")
    before, stopped, stop = threading.active_count(), threading.Event(), Making.stop

    def act(_):
        assert slides_read["b"].wait(PATIENCE_S)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        assert stopped.wait(PATIENCE_S)

    computing(monkeypatch, act)
    monkeypatch.setattr(Making, "stop", lambda self: (stop(self), stopped.set()))
    with pytest.raises(KeyboardInterrupt):
        world.make("out")
    assert threading.active_count() <= before
    left = {path.name for path in (world.path / "out").rglob("*") if ".cache" not in path.parts}
    assert left <= {".maps", "job.json"}
    assert not list((world.path / "out").rglob("*.partial"))
    monkeypatch.undo()
    stand_in_gpu.install(monkeypatch, "cuda:0")
    assert [outcome.status for outcome in world.make("out")] == ["done"] * 3


def test_a_device_of_its_own_gets_as_many_reading_threads_as_there_are_cores(monkeypatch):
    monkeypatch.setattr(reading, "usable_cores", lambda: 16)
    assert reading_threads(None) == 4
    assert reading_threads(None, cpu_computes=False) == 16
    assert reading_threads(None, cpu_computes=False, slides=3) == 6
    assert reading_threads(7, cpu_computes=False, slides=2) == 4
    assert reading_threads(3) == 3
    assert reading_threads(1, cpu_computes=False, slides=8) == 1


def test_the_closing_lines_tell_how_busy_a_device_was(tmp_path):
    times = {COMPUTED: 9, WAITED["reading"]: 0.75, WAITED["rest"]: 0.25, BETWEEN: 0.5}
    (tmp_path / "run.json").write_text(json.dumps({"devices": [{"device": "cuda:3", **times}]}))
    line = (
        "cuda:3 computed for 9 of 10 s (90%) and waited 0.75 s for pixels, 0 s for tissue, 0 s for "
        "features to be written, 0.25 s for all else; of this 0.5 s between slides"
    )
    outcomes = [Outcome("a.svs", "done", name="a")]
    assert line in of_run(outcomes, tmp_path, Page(verbose=True)).splitlines()
    assert "cuda:3" not in of_run(outcomes, tmp_path, Page(verbose=False))


def options(tmp_path, **changed):
    return CreateOptions(
        slides=(tmp_path / "a.svs",), model_path=tmp_path / "m", output_path=tmp_path, **changed
    )


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"devices": ("cuda:0", "gpu1")}, "--devices: 'gpu1' is no GPU by its number"),
        ({"devices": ("cuda",)}, "--devices: 'cuda' is no GPU by its number"),
        ({"devices": ("all", "cuda:0")}, "--devices: 'all' is no GPU by its number"),
        ({"devices": ("cuda:1", "cuda:1")}, "--devices names cuda:1 twice"),
        ({"devices": ("cuda:1",), "device": "cpu"}, "--devices contradicts --device"),
        ({"devices": ("all",), "force_cpu": True}, "--devices contradicts --force-cpu"),
        ({"devices": ("all",), "workers": 2}, "--devices contradicts --workers"),
    ],
)
def test_devices_that_cannot_be_meant_are_refused(tmp_path, given, sentence):
    with pytest.raises(ValueError, match=sentence):
        options(tmp_path, **given)


def test_devices_are_those_that_were_asked_for(tmp_path, monkeypatch):
    import torch

    assert settings_of(options(tmp_path)).encoder.devices == ("auto",)
    assert settings_of(options(tmp_path, force_cpu=True)).encoder.devices == ("cpu",)
    several = settings_of(options(tmp_path, devices=("cuda:0", "cuda:2"))).encoder
    assert several.devices == ("cuda:0", "cuda:2")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(OptionError, match="--devices all: there is no GPU here"):
        devices.devices_of(Encoder("tiny", None, ("all",), "auto"))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert devices.devices_of(Encoder("tiny", None, ("all",), "auto")) == (
        "cuda:0", "cuda:1", "cuda:2",
    )  # fmt: skip


def test_all_devices_compute_with_the_same_number_type(monkeypatch):
    fast = {"cuda:0": (9, 0), "cuda:1": (7, 5), "cuda:2": (8, 0)}
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device: fast[str(device)])
    encoder = Encoder("tiny", None, ("all",), "auto")
    mixed = devices.extractors_of(encoder, ("cuda:0", "cuda:1"))
    assert [(one.device, one.precision) for one in mixed] == [
        ("cuda:0", "float32"), ("cuda:1", "float32"),
    ]  # fmt: skip
    alike = devices.extractors_of(encoder, ("cuda:0", "cuda:2"))
    assert [(one.device, one.precision) for one in alike] == [
        ("cuda:0", "bfloat16"), ("cuda:2", "bfloat16"),
    ]  # fmt: skip
    assert alike[0].digest == alike[1].digest
