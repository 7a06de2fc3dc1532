"""Keys of the cache: what a user has in one must be found again by every later version."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from heatmaps_ome.exporters import tiles
from heatmaps_ome.features.dense import Extraction, encoded
from heatmaps_ome.features.pooling import Pooling
from heatmaps_ome.geometry import YX
from heatmaps_ome.maps.raw_maps import Recipe
from heatmaps_ome.maps.top_tiles import L0Window, PickedTile
from heatmaps_ome.slides.bad_tiles import BadTiles
from heatmaps_ome.slides.reader import source_of
from heatmaps_ome.storage import cache
from heatmaps_ome.storage.cache import FeaturesKey, PixelsKey, TilesKey, folder_of

FINGERPRINT = "0f" * 32
SLIDE = SimpleNamespace(
    fingerprint=lambda: FINGERPRINT,
    mpp=YX(0.499, 0.5),
    read_from="level",
    name="a b",
    bad_tiles=BadTiles("fail"),
    pixels="",
)
PIXELS = SimpleNamespace(l0_cell=YX(2.29, 2.2857142857142856))
EXTRACTOR = SimpleNamespace(digest="e" * 64)


@pytest.fixture(autouse=True)
def first_version(monkeypatch):
    monkeypatch.setattr(cache, "__version__", "0.1.0")


def recipe(**changes):
    made = {
        "lanes": SimpleNamespace(extractor=EXTRACTOR),
        "model": SimpleNamespace(cache_digest="d" * 64),
        "pooling": Pooling("mean", 7), "extraction": Extraction(256 / 224, 1280, 4, Path("cache")),
        "mask_threshold": 224, "read_from": "level", "overlaps": False,
        "consistency_tiles": 64, **changes,
    }  # fmt: skip
    return Recipe(**made)


def result(**changes):
    tile = PickedTile(
        "top", 1, L0Window(10.5, 20.25, 448.0, 448.0), YX(117.0, 122.0), 0.75, 1.5, 0.125
    )
    heatmaps = SimpleNamespace(contributions=np.zeros(1), tiles=None)
    return SimpleNamespace(
        **{"slide": SLIDE, "true_class": "MSIH", "heatmaps": heatmaps, "tiles": (tile,), **changes}
    )


def seen():
    return encoded(SLIDE, EXTRACTOR, PIXELS)


# The folders of these layouts; earlier ones had no checksums.
KEYS = {
    "pixels/c70e8e1cd0161ba653d1d98442b3da13": lambda: PixelsKey(source_of(SLIDE), PIXELS.l0_cell),
    "features/64ebde3ba2fd234d4aad6466f93e8bd8": lambda: FeaturesKey(seen(), 40),
    "tiles/f29d5f9f1ee13c851dc33633d17d80c2": lambda: TilesKey(seen(), 7, ((0, 7), (14, 21))),
    "pictures/46102aad4de431f79bdc2b960401b311": lambda: tiles._key(result()),
}


@pytest.mark.parametrize("folder", KEYS)
def test_keys_do_not_change_without_a_new_layout(folder):
    assert folder_of(Path("cache"), KEYS[folder]()) == Path("cache") / folder


def test_the_key_of_maps_is_known():
    # It changed twice: with --mpp before the slide's own, and fills as background.
    assert recipe().kept_in(FINGERPRINT, None) == Path(
        "cache/maps/88ba3c8e869843c5f80d64b0427b340c"
    )


def test_another_version_makes_maps_and_pictures_anew_but_no_features(monkeypatch):
    def folders():
        cached = {folder_of(Path(), key()).parent.name: folder_of(Path(), key()) for key in
                  KEYS.values()}  # fmt: skip
        return {**cached, "maps": recipe().kept_in(FINGERPRINT, None)}

    before = folders()
    monkeypatch.setattr(cache, "__version__", "0.2.0")
    after = folders()
    assert {kind for kind in before if before[kind] != after[kind]} == {"maps", "pictures"}


@pytest.mark.parametrize(
    "changes",
    [
        {"pooling": Pooling("none", 1)}, {"mask_threshold": 200}, {"excluded": ("pen",)},
        {"bad_tiles": "blank"},
        {"read_from": "level0"}, {"consistency_tiles": 0},
        {"lanes": SimpleNamespace(extractor=SimpleNamespace(digest="f" * 64))},
        {"model": SimpleNamespace(cache_digest="f" * 64)},
        {"extraction": Extraction(0.5, 1280, 4, Path("cache"))},
    ],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_whatever_changes_maps_changes_their_key(changes):
    assert recipe(**changes).kept_in(FINGERPRINT, None) != recipe().kept_in(FINGERPRINT, None)


def test_block_size_and_threads_change_no_key_of_maps():
    other = recipe(extraction=Extraction(256 / 224, 512, 1, Path("cache")))
    assert other.kept_in(FINGERPRINT, None) == recipe().kept_in(FINGERPRINT, None)


def test_runs_with_and_without_the_users_pixel_size_have_maps_of_their_own():
    folders = {recipe().kept_in(FINGERPRINT, mpp) for mpp in (None, 0.25, 0.5)}
    assert len(folders) == 3


def test_the_order_of_kinds_left_out_changes_no_key():
    first, other = (recipe(excluded=kinds) for kinds in (("pen", "dark"), ("dark", "pen")))
    assert first.kept_in(FINGERPRINT, None) == other.kept_in(FINGERPRINT, None)


def test_pixels_with_blank_tiles_have_a_key_of_their_own():
    blank = SimpleNamespace(**{**vars(SLIDE), "bad_tiles": BadTiles("blank")})
    assert source_of(blank).identity() != source_of(SLIDE).identity()
