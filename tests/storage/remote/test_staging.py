"""Slides at URLs are files in scratch while they are at work, and scratch keeps to its bound."""

import threading
import time
from pathlib import Path

import pytest
from object_storage import client_of

from heatmaps_ome.errors import OutputError, RemoteError, SlideError
from heatmaps_ome.slides.staging import Staging
from heatmaps_ome.storage.owners import owner_of_this_process
from heatmaps_ome.storage.remote import scratch as scratches
from heatmaps_ome.storage.remote.scratch import Scratch

SIZE = 100_000


def put(s3, keys, size=SIZE):
    for key in keys:
        client_of(s3).put_object(Bucket="slides", Key=key, Body=key.encode().ljust(size, b"."))
    s3.forget()


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def watched(tmp_path):
    """Scratch for slides of at most 250 kB, with the largest size that it ever had."""
    peak = [0]
    is_done = threading.Event()

    def watch():
        while not is_done.wait(0.001):
            try:
                peak[0] = max(peak[0], size_of(tmp_path))
            except OSError:
                continue

    thread = threading.Thread(target=watch)
    thread.start()
    yield tmp_path, peak
    is_done.set()
    thread.join()


@pytest.fixture
def staging(client, watched):
    folder, peak = watched
    staging = Staging(client, lambda: Scratch(folder, 250_000))
    yield staging
    staging.close()
    assert list(folder.iterdir()) == []
    assert peak[0] <= 250_000


def urls(*numbers):
    return [Path(f"s3://slides/{number}.svs") for number in numbers]


def test_slides_are_files_while_they_are_at_work_and_the_next_one_comes_meanwhile(s3, staging):
    put(s3, [f"{number}.svs" for number in range(6)])
    places = urls(*range(6))
    for place, following in zip(places, [*places[1:], None], strict=True):
        with staging.local(place) as path:
            assert path.name == place.name
            assert path.read_bytes().startswith(place.name.encode())
            staging.ahead(following)
            deadline = time.monotonic() + 10
            while following and ("GET", f"/slides/{following.name}") not in s3.log:
                assert time.monotonic() < deadline, "the next slide does not come meanwhile"
                time.sleep(0.01)
    assert s3.requests["GET"] == 6  # each once


def test_slides_stay_while_there_is_room_and_the_next_pass_begins_with_them(s3, staging):
    put(s3, ["1.svs", "2.svs", "3.svs"])
    for place in [*urls(1, 2, 3), *urls(1, 2, 3)]:
        with staging.local(place):
            pass
    # Two have room: 3 took that of 2, 1 was there still, and then 2 that of 1.
    reads = [path for method, path in s3.log if method == "GET"]
    assert reads == ["/slides/1.svs", "/slides/2.svs", "/slides/3.svs", "/slides/2.svs"]


def test_a_slide_that_came_early_makes_room_for_one_that_is_needed_now(s3, staging):
    put(s3, ["1.svs", "2.svs", "3.svs"])
    with staging.local(urls(1)[0]):
        staging.ahead(urls(2)[0])
        while ("GET", "/slides/2.svs") not in s3.log:
            time.sleep(0.01)
        with staging.local(urls(3)[0]) as path:
            assert path.read_bytes().startswith(b"3.svs")


def test_a_slide_larger_than_scratch_is_refused_before_it_is_read(s3, staging):
    put(s3, ["large.svs"], 250_001)
    with pytest.raises(RemoteError) as refusal, staging.local(Path("s3://slides/large.svs")):
        pass
    assert str(refusal.value) == (
        "s3://slides/large.svs has 250 kB, and scratch may hold 250 kB; give more with "
        "--scratch-size, or another disk with --scratch"
    )
    assert s3.requests["GET"] == 0


def test_a_full_disk_is_refused_before_a_slide_is_read(s3, staging, monkeypatch):
    put(s3, ["1.svs"])
    usage = scratches.shutil.disk_usage("/")._replace(free=50_000)
    monkeypatch.setattr(scratches.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OutputError, match=r"has no room for s3://slides/1.svs: 100 kB are needed"):
        staging.local(urls(1)[0]).__enter__()
    assert s3.requests["GET"] == 0


def test_slides_of_several_files_come_with_all_of_them(s3, staging):
    put(s3, ["a/m.mrxs", "a/m/Slidedat.ini", "a/m/sub/Data0001.dat", "a/other.svs"], 1000)
    put(s3, ["d/one/1.dcm", "d/one/2.dcm", "d/one/notes.txt", "d/one/deep/3.dcm"], 1000)
    client_of(s3).put_object(
        Bucket="slides", Key="v/x.vms", Body=b"[V]\nImageFile=x.jpg\nMapFile=x_map.jpg\n"
    )
    put(s3, ["v/x.jpg", "v/x_map.jpg", "v/y.jpg"], 1000)

    def names(url):
        with staging.local(Path(url)) as path:
            folder = path.parent
            return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}

    assert names("s3://slides/a/m.mrxs") == {"m.mrxs", "m/Slidedat.ini", "m/sub/Data0001.dat"}
    assert names("s3://slides/d/one") == {"one/1.dcm", "one/2.dcm"}
    assert names("s3://slides/d/one/2.dcm") == {"1.dcm", "2.dcm"}
    assert names("s3://slides/v/x.vms") == {"x.vms", "x.jpg", "x_map.jpg"}


def test_a_mirax_slide_without_its_data_is_refused(s3, staging):
    put(s3, ["a/m.mrxs"], 10)
    with pytest.raises(SlideError, match="is a MIRAX slide without its data"):
        staging.local(Path("s3://slides/a/m.mrxs")).__enter__()


def test_errors_name_the_url_and_not_the_file_in_scratch(s3, staging):
    put(s3, ["1.svs"])
    with pytest.raises(SlideError) as refusal, staging.local(urls(1)[0]) as path:
        raise SlideError(f"{path} cannot be opened")
    assert str(refusal.value) == "s3://slides/1.svs cannot be opened"


def test_a_fault_of_the_next_slide_is_its_own(s3, staging):
    put(s3, ["1.svs"])
    with staging.local(urls(1)[0]):
        staging.ahead(urls(2)[0])
    with pytest.raises(RemoteError, match=r"2\.svs: there is nothing of this name"):
        staging.local(urls(2)[0]).__enter__()


def test_what_a_slide_states_changes_with_it(s3, staging):
    put(s3, ["1.svs"])
    before = staging.slide(urls(1)[0]).stamp()
    assert staging.slide(urls(1)[0]).stamp() == before == [["1.svs", SIZE, before[0][2]]]
    client_of(s3).put_object(Bucket="slides", Key="1.svs", Body=b"x" * SIZE)
    assert staging.slide(urls(1)[0]).stamp() != before
    assert s3.requests["GET"] == 0


def test_paths_on_disks_stay_as_they_are(staging, tmp_path):
    with staging.local(tmp_path / "1.svs") as path:
        assert path == tmp_path / "1.svs"


def test_scratch_of_a_process_that_was_killed_is_removed(tmp_path):
    host = owner_of_this_process().host
    dead = tmp_path / f".heatmaps-ome.{host}_99999999_1.0.scratch"
    (dead / "1").mkdir(parents=True)
    (dead / "1" / "slide.svs").write_bytes(b"x")
    living = Scratch(tmp_path, 10)
    again = Scratch(tmp_path, 10)
    assert not dead.exists()
    assert living.folder.is_dir()
    living.close()
    again.close()
    assert list(tmp_path.iterdir()) == []
