"""Runs share a cache: at once, killed at any time, and while pieces are removed under them."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cached_work import MPP, CachedWork, Warnings
from fakes import FakeSlide, noise_rgb

from heatmaps_ome.errors import OutputError
from heatmaps_ome.geometry import Shape, Window, network_pixels
from heatmaps_ome.maps import raw_maps
from heatmaps_ome.slides.working_copy import WorkingCopy
from heatmaps_ome.storage import cache_users, pieces
from heatmaps_ome.storage.cache import Encoded, FeaturesKey, Source, TilesKey
from heatmaps_ome.storage.cache_users import leftovers, partial_name, pieces_in_use, release
from heatmaps_ome.storage.inventory import discard
from heatmaps_ome.storage.owners import owner_of_this_process
from heatmaps_ome.storage.pieces import GrowingPiece, WholePiece

ROOT = Path(__file__).parents[2]
CHILD = """
import sys
sys.path[:0] = {paths!r}
from pathlib import Path
from cached_work import CachedWork
work = CachedWork(Path({folder!r}))
print("ready", flush=True)
sys.stdin.readline()
work(Path({cache!r}))
"""
ENCODED = Encoded(Source("0f" * 32, (0.5, 0.5), "level"), "e" * 64, (2.0, 2.0))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return CachedWork(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def expected(work):
    return work(work.folder / "undisturbed")


def partials(cache):
    return [path for path in cache.rglob("*") if ".partial" in path.name]


def started(folder, cache):
    """Return a process that fills a cache once it gets a line."""
    folder.mkdir()
    paths = [str(ROOT / "tests" / "support"), str(ROOT)]
    code = CHILD.format(paths=paths, folder=str(folder), cache=str(cache))
    return subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_two_runs_at_once_fill_one_cache(work, expected, tmp_path):
    others = [work, CachedWork(tmp_path)]
    start = threading.Barrier(2)

    def made(one):
        start.wait()
        return one(tmp_path / "cache")

    with Warnings() as warnings, ThreadPoolExecutor(2) as pool:
        results = list(pool.map(made, others))
    assert results == [expected, expected]
    assert warnings.messages == []
    assert work(tmp_path / "cache") == expected


@pytest.mark.slow
def test_processes_killed_at_any_time_spoil_nothing(work, expected, tmp_path):
    cache = tmp_path / "cache"
    delays_s = np.random.default_rng(0).uniform(0, 0.5, 3).tolist()
    survivor = started(tmp_path / "survivor", cache)
    for number, delay_s in enumerate(delays_s):
        with started(tmp_path / str(number), cache) as child:
            assert child.stdout.readline() == "ready\n"
            if number == 1:
                assert survivor.stdout.readline() == "ready\n"
                survivor.stdin.write("\n")
                survivor.stdin.flush()
            child.stdin.write("\n")
            child.stdin.flush()
            time.sleep(delay_s)
            child.send_signal(signal.SIGKILL)
    with survivor:
        survivor.stdin.close()
        assert survivor.wait() == 0
    with Warnings() as warnings:
        assert work(cache) == expected
    assert warnings.messages == []
    assert partials(cache) == []
    assert list((cache / ".users").iterdir()) == []


def copied(slide, cache):
    lattice = network_pixels(slide.shape, slide.mpp, MPP)
    return WorkingCopy(slide, slide.fingerprint(), lattice, cache, threads=1), lattice


def removed(folder):
    """Remove a folder in which files may appear meanwhile."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


def test_a_copy_removed_while_it_is_read_is_made_anew(tmp_path):
    slide = FakeSlide(noise_rgb(Shape(1300, 400)))
    copy, lattice = copied(slide, tmp_path)
    window = Window(0, 0, *lattice.shape)
    pixels = copy.read(lattice, window)
    removed(copy.folder)
    assert np.array_equal(copy.read(lattice, window), pixels)
    removed(tmp_path)
    for folder in copy.level_folders(lattice):
        assert (folder / "0" / "0" / "0").is_file()
    copy.close()


def test_a_copy_removed_while_it_is_filled_is_made_anew(tmp_path):
    class Removing(FakeSlide):
        def read(self, lattice, window):
            if window.row >= 1024 and not self.l0_reads[2:]:
                # Files may appear in it meanwhile.
                shutil.rmtree(copy.folder, ignore_errors=True)
            return super().read(lattice, window)

    slide = Removing(noise_rgb(Shape(2600, 300)))
    copy, lattice = copied(slide, tmp_path)
    found = copy.read(lattice, Window(0, 0, *lattice.shape)).astype(int)
    again, _ = copied(FakeSlide(slide.rgb), tmp_path / "other")
    assert np.array_equal(found, again.read(lattice, Window(0, 0, *lattice.shape)))
    assert len(copy.level_folders(lattice)) == len(again.level_folders(lattice))
    copy.close()
    again.close()


@pytest.mark.parametrize("event", ["removed", "replaced", "damaged"])
def test_features_lost_before_the_model_sees_them_are_computed_again(
    event, work, expected, tmp_path, monkeypatch
):
    compute, calls = raw_maps.compute_heatmaps, []

    def interfered(slide, grid, tissue, store, *others):
        calls.append(event)
        if len(calls) == 1:
            chunk = next(chunk for chunk in store.chunks if tissue[chunk.slices].any())
            if event == "removed":
                shutil.rmtree(store.folder)
            elif event == "replaced":
                # As a run with another tissue does that read the chunk before it was written.
                store._written[chunk.slices] = np.full((*chunk[2:], 3), np.nan, np.float32)
            else:
                (store.folder / "c" / "0" / "0" / "0").write_bytes(b"")
        return compute(slide, grid, tissue, store, *others)

    monkeypatch.setattr(raw_maps, "compute_heatmaps", interfered)
    with Warnings() as warnings:
        assert work(tmp_path / "cache") == expected
    assert len(calls) == 3
    assert len(warnings.messages) == (event == "damaged")


def test_features_that_are_lost_again_and_again_end_the_slide(work, tmp_path, monkeypatch):
    compute = raw_maps.compute_heatmaps

    def interfered(slide, grid, tissue, store, *others):
        shutil.rmtree(store.folder)
        return compute(slide, grid, tissue, store, *others)

    monkeypatch.setattr(raw_maps, "compute_heatmaps", interfered)
    with pytest.raises(OutputError, match="--cache-dir"):
        work(tmp_path / "cache")


def foreign(path, label):
    """Return the same partial name of another owner."""
    return path.with_name(path.name.replace(owner_of_this_process().label, label))


def aged(path, days):
    at = time.time() - days * 86400
    os.utime(path, (at, at))
    return path


def test_only_what_dead_processes_left_is_removed(tmp_path, work):
    kind = tmp_path / "cache" / "maps"
    own = kind / partial_name("0" * 32)
    alive = owner_of_this_process()
    dead = foreign(own, replace(alive, started=alive.started - 1).label)
    elsewhere = foreign(own, replace(alive, host="node8-1").label)
    earlier = kind / f".{'0' * 32}.{2**22 + 1}.partial"
    strange = kind / ".something.partial"
    for path in (own, dead, elsewhere, earlier, strange):
        (path / "x.zarr").mkdir(parents=True)
    aged(elsewhere, 30)
    aged(earlier, 1)
    assert set(leftovers(kind)) == {dead, earlier}
    assert set(leftovers(kind, 8 * 86400)) == {dead, earlier, elsewhere}
    assert set(leftovers(kind, 40 * 86400)) == {dead, earlier}
    work(tmp_path / "cache")
    assert {path for path in kind.iterdir() if path.name.startswith(".")} == {
        own, elsewhere, strange,
    }  # fmt: skip


def test_a_file_that_a_killed_run_was_writing_is_removed(tmp_path):
    key = FeaturesKey(ENCODED, 4)
    alive = owner_of_this_process()
    folder = GrowingPiece(tmp_path, key, "a").folder / "partial"
    own = folder / partial_name()
    dead = foreign(own, replace(alive, started=alive.started - 1).label)
    for path in (own, dead):
        path.write_bytes(b"half")
    GrowingPiece(tmp_path, key, "a")
    assert own.exists()
    assert not dead.exists()


def test_pieces_are_in_use_until_the_run_ends(tmp_path):
    key = FeaturesKey(ENCODED, 4)
    with cache_users.caches_in_use():
        folder = GrowingPiece(tmp_path, key, "a").folder
        assert pieces_in_use(tmp_path) == {f"features/{folder.name}"}
    assert pieces_in_use(tmp_path) == set()


def test_pieces_of_dead_processes_are_not_in_use(tmp_path):
    alive = owner_of_this_process()
    (tmp_path / ".users").mkdir()
    for number, owner in enumerate(
        (alive, replace(alive, started=alive.started - 1), replace(alive, host="node8-1"))
    ):
        (tmp_path / ".users" / owner.label).write_text(f"maps/{number}\n")
    assert pieces_in_use(tmp_path) == {"maps/0", "maps/2"}
    aged(tmp_path / ".users" / replace(alive, host="node8-1").label, 8)
    assert pieces_in_use(tmp_path) == {"maps/0"}


@pytest.mark.parametrize("kind", ["growing", "whole", "copy"])
def test_a_full_disk_is_named_with_the_option(kind, tmp_path, monkeypatch):
    slide = FakeSlide(noise_rgb(Shape(300, 300)))
    copy, _ = copied(slide, tmp_path)
    piece = GrowingPiece(tmp_path, FeaturesKey(ENCODED, 4), "a")

    def full(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pieces.Path, "write_bytes", full)
    whole = WholePiece(tmp_path, TilesKey(ENCODED, 7, ()), "a")
    work = {
        "growing": lambda: piece.write("c/0/0/0", b"data"),
        "whole": lambda: whole.write(lambda folder: (folder / "x").write_bytes(b"data")),
        "copy": copy.fill,
    }
    with pytest.raises(OutputError, match=r"no space is left on the disk .*--cache-dir"):
        work[kind]()
    assert partials(tmp_path) == []
    copy.close()


def test_a_piece_that_may_not_be_read_is_reported_so(tmp_path, monkeypatch):
    key = TilesKey(ENCODED, 7, ())
    WholePiece(tmp_path, key, "a").write(lambda folder: (folder / "x").write_bytes(b"data"))
    read = Path.read_bytes

    def denied(self):
        if self.name == "x":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return read(self)

    piece = WholePiece(tmp_path, key, "a")
    with monkeypatch.context() as patch, Warnings() as warnings:
        patch.setattr(pieces.Path, "read_bytes", denied)
        assert not piece.is_intact()
    assert "Permission denied" in warnings.messages[0]
    assert str(piece.folder) in warnings.messages[0]


@pytest.mark.parametrize("event", ["removed", "replaced"])
def test_a_piece_that_goes_while_it_is_verified_is_not_damaged(event, tmp_path, monkeypatch):
    piece = WholePiece(tmp_path, TilesKey(ENCODED, 7, ()), "a")
    verify, calls = pieces._verified, []

    def made(data):
        piece.write(lambda folder: (folder / "x").write_bytes(data))

    def meanwhile(folder, name, content):
        calls.append(name)
        if len(calls) == 1:
            shutil.rmtree(folder)
            if event == "replaced":
                made(b"other data")
        return verify(folder, name, content)

    made(b"data")
    monkeypatch.setattr(pieces, "_verified", meanwhile)
    with Warnings() as warnings:
        assert piece.is_intact() == (event == "replaced")
    assert warnings.messages == []
    assert piece.copy_to(tmp_path / "copy") == (event == "replaced")


def test_what_cannot_be_replaced_is_a_sentence(tmp_path, monkeypatch):
    piece = GrowingPiece(tmp_path, FeaturesKey(ENCODED, 4), "a")

    def denied(self, target):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(pieces.Path, "replace", denied)
    with pytest.raises(OutputError, match=r"permission is denied; .* --cache-dir"):
        piece.write("zarr.json", b"{}")


def test_a_file_where_the_caches_folder_should_be_keeps_its_content(tmp_path):
    (tmp_path / "features").write_text("of the user")
    GrowingPiece(tmp_path, FeaturesKey(ENCODED, 4), "a").write("zarr.json", b"{}")
    [aside] = tmp_path.glob("features.file-*")
    assert aside.read_text() == "of the user"


def test_a_slide_that_fails_while_its_pictures_are_drawn_keeps_its_own_error(tmp_path):
    from heatmaps_ome.errors import SlideError

    piece = WholePiece(tmp_path, TilesKey(ENCODED, 7, ()), "a")

    def fails(folder):
        raise SlideError("a.svs cannot be read near level-0 pixel (y 3, x 4)")

    with pytest.raises(SlideError, match="y 3"):
        piece.write(fails)
    assert partials(tmp_path) == []


def test_a_piece_is_discarded_unless_another_process_uses_it(tmp_path, caplog):
    pieces_ = [GrowingPiece(tmp_path, FeaturesKey(ENCODED, cells), "a") for cells in (4, 8)]
    one, two = (piece.folder for piece in pieces_)
    other = replace(owner_of_this_process(), host="node8-1")
    (tmp_path / ".users" / other.label).write_text(f"features/{two.name}\n")
    for folder in (one, two, one):
        discard(tmp_path, folder)
    assert (one.exists(), two.exists()) == (False, True)
    # Its end is known by its age.
    aged(tmp_path / ".users" / other.label, 8)
    discard(tmp_path, two)
    assert not two.exists()
    assert partials(tmp_path) == []
    assert caplog.text == ""


def test_a_piece_that_a_process_released_is_not_in_use(tmp_path):
    other = replace(owner_of_this_process(), host="node8-1")
    key = FeaturesKey(ENCODED, 4)
    with cache_users.caches_in_use():
        folder = GrowingPiece(tmp_path, key, "a").folder
        own = tmp_path / ".users" / owner_of_this_process().label
        release(tmp_path, folder)
        assert pieces_in_use(tmp_path) == set()
        GrowingPiece(tmp_path, key, "a")
        assert pieces_in_use(tmp_path) == {f"features/{folder.name}"}
        release(tmp_path, folder)
        own.rename(tmp_path / ".users" / other.label)
        discard(tmp_path, folder)
        assert not folder.exists()


def test_a_piece_that_cannot_be_discarded_is_warned_of(tmp_path, monkeypatch, caplog):
    folder = GrowingPiece(tmp_path, FeaturesKey(ENCODED, 4), "a").folder

    def refused(self, target):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "rename", refused)
    discard(tmp_path, folder)
    assert f"{folder} cannot be removed (Permission denied)" in caplog.text
