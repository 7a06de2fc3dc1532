"""An OME-Zarr at a URL is a slide: in a bucket, and on a web server that lists nothing."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from object_storage import client_of, web_server
from slide_files import speckled
from zarr_slides import by_hand, planes

from heatmaps_ome.errors import SlideError
from heatmaps_ome.geometry import Window
from heatmaps_ome.run.slide_urls import rows_at
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.remote_slide import name_at
from heatmaps_ome.slides.staging import Staging
from heatmaps_ome.storage.remote import client as clients
from heatmaps_ome.storage.remote.scratch import Scratch

RGB = speckled(301, 437)


def store(path, zarr_format):
    settings = {"chunks": (3, 128, 128)} if zarr_format == 2 else {
        "chunks": (3, 64, 64), "shards": (3, 128, 128)}  # fmt: skip
    levels = [planes(RGB), planes(RGB[::2, ::2])]
    by_hand(path, levels, zarr_format=zarr_format, fill_value=9, **settings)
    missing = path / ("0/0.1.1" if zarr_format == 2 else "0/c/0/1/1")
    missing.unlink()
    return path


def read(client, tmp_path, url):
    """Return name, pixels of both levels and fingerprint of the slide at a URL."""
    staging = Staging(client, lambda: Scratch(tmp_path / "scratch", 10**8))
    with closing(staging), staging.local(Path(url)) as path, closing(open_slide(path)) as slide:
        whole = [
            slide._file.read_tile(level, Window(0, 0, *shape))
            for level, shape in enumerate(slide.level_shapes)
        ]
        return slide.name, whole, slide.fingerprint()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_store_is_the_same_slide_from_disk_and_from_the_web(client, tmp_path, zarr_format):
    path = store(tmp_path / "web" / "a b.ome.zarr", zarr_format)
    with closing(open_slide(path)) as slide:
        print_ = slide.fingerprint()
    with closing(web_server(tmp_path / "web")) as server:
        url = f"{server.url}/a%20b.ome.zarr"
        name, (first, second), fingerprint = read(client, tmp_path, url)
        assert (name_at(url), name, fingerprint) == ("a b", "a b", print_)
    expected = RGB.copy()
    expected[128:256, 128:256] = 9
    assert np.array_equal(first, expected)
    assert np.array_equal(second, RGB[::2, ::2])


def test_a_folder_of_the_web_without_an_image_is_one_sentence(client, tmp_path):
    (tmp_path / "web").mkdir()
    with closing(web_server(tmp_path / "web")) as server:
        staging = Staging(client, lambda: Scratch(tmp_path / "scratch", 10**8))
        with (
            closing(staging),
            pytest.raises(SlideError, match="is a zarr folder without an OME-Zarr image"),
            staging.local(Path(f"{server.url}/a.zarr")),
        ):
            pass


def test_a_store_in_a_bucket_is_a_slide_without_its_labels(s3, client, tmp_path, monkeypatch):
    path = store(tmp_path / "a.ome.zarr", 2)
    by_hand(path / "labels" / "x", [RGB[..., 0]], "yx")
    for file in path.rglob("*"):
        if file.is_file():
            key = f"cases/{file.relative_to(tmp_path)}"
            client_of(s3).put_object(Bucket="slides", Key=key, Body=file.read_bytes())
    monkeypatch.setattr(clients, "remote_client", lambda: client)
    monkeypatch.setattr("heatmaps_ome.run.slide_urls.remote_client", lambda: client)
    url = "s3://slides/cases/a.ome.zarr"
    assert [row.url for row in rows_at("s3://slides/cases", "")] == [url]
    assert [row.url for row in rows_at(url, "")] == [url]
    s3.forget()
    with closing(open_slide(path)) as slide:
        print_ = slide.fingerprint()
    name, (first, _), fingerprint = read(client, tmp_path, url)
    assert (name, fingerprint) == ("a", print_)
    assert (first[128:256, 128:256] == 9).all()
    assert not [place for _, place in s3.log if "labels/x" in place and not place.endswith("/")]
