"""A damaged cache heals: results are right, and one warning names each damaged piece."""

import re
import shutil
from collections import Counter

import numpy as np
import pytest
from cache_damage import DAMAGES, KINDS, damage
from cached_work import CachedWork, Warnings

WARNING = re.compile(r"the cache's (\S+) is damaged \(.+\) and is made anew")
QUIET = {"piece_deleted", "kind_file"}
"""Damages that leave nothing of a piece."""


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    return CachedWork(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def filled(work):
    """Return a cache, and the results made with it."""
    cache = work.folder / "cache"
    return cache, work(cache)


def heals(work, filled, scratch, damage_it, forget=()):
    """Damage a copy of the cache; return the warnings of a run, and whether results are right."""
    cache, expected = filled
    damaged = shutil.copytree(cache, scratch)
    for kind in forget:
        shutil.rmtree(damaged / kind)
    damage_it(damaged)
    with Warnings() as warnings:
        results = work(damaged)
    with Warnings() as later:
        again = work(damaged)
    assert later.messages == []
    assert results.keys() == again.keys() == expected.keys()
    assert [part for part in results if results[part] != expected[part]] == []
    assert [part for part in again if again[part] != expected[part]] == []
    matches = [WARNING.fullmatch(message) for message in warnings.messages]
    assert None not in matches, warnings.messages
    folders = [match[1] for match in matches]
    assert len(set(folders)) == len(folders), warnings.messages
    return folders


def random_damage(seed, work, filled, scratch, name=None):
    """Damage at random, forgetting results that hide other pieces; return the damage's name."""
    rng = np.random.default_rng(seed)
    done = []
    forget = [(), ("maps",), ("maps", "features"), ("maps", "tiles", "pictures")][rng.integers(4)]
    folders = heals(
        work, filled, scratch, lambda cache: done.append(damage(cache, rng, name)), forget
    )
    [(name, path)] = done
    assert len(folders) <= (2 if name == "piece_swapped" else 1)
    return name, path.relative_to(scratch).parts[0], bool(folders)


@pytest.mark.parametrize("name", DAMAGES)
def test_whatever_is_damaged_is_made_anew(name, work, filled, tmp_path):
    for seed in range(2):
        random_damage([seed, *name.encode()], work, filled, tmp_path / str(seed), name)


@pytest.mark.slow
def test_random_damages_change_no_result(work, filled, tmp_path):
    """A few of the many seeds that were tried once: each takes a second."""
    counts = Counter()
    for seed in range(30):
        name, kind, reported = random_damage(seed, work, filled, tmp_path / "cache")
        counts.update([name, kind, "reported" if reported else "silent"])
        shutil.rmtree(tmp_path / "cache")
    assert set(KINDS) <= set(counts)
    assert counts["reported"] > 10


METADATA = {
    "pixels": ["0/.zarray", "1/.zarray", "0/.zattrs", "piece.json", "checksums/*"],
    "features": ["zarr.json", "piece.json", "checksums/*"],
    "tiles": ["piece.json"],
    "maps": ["a.values.ome.zarr/0/.zarray", "a.values.ome.zarr/.zattrs", "piece.json"],
    "pictures": ["piece.json"],
}


@pytest.mark.parametrize("how", ["cut", "garbage", "folder"])
@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in METADATA.items() for name in names]
)
def test_metadata_of_any_piece_heal_with_one_warning(kind, name, how, work, filled, tmp_path):
    damaged = []

    def damage_it(cache):
        path = next(path for path in sorted(cache.glob(f"{kind}/*/{name}")) if path.is_file())
        damaged.append(path)
        DAMAGES[how](path, np.random.default_rng(0))

    folders = heals(
        work, filled, tmp_path / "cache", damage_it, () if kind == "maps" else ("maps",)
    )
    assert [folder for folder in folders if folder in str(damaged[0])] == folders
    # Checksums that end one line early are like those of a run that was killed.
    assert len(folders) == 1 or (how == "cut" and "checksums" in name)


CHUNKS = {
    "pixels": "0/0/0/0", "features": "c/0/1/0", "tiles": "features.npy",
    "maps": "a.values.ome.zarr/0/0/0/0", "pictures": "tiles.jpg",
}  # fmt: skip


@pytest.mark.parametrize("how", ["flip", "empty", "delete", "folder", "sibling", "foreign"])
@pytest.mark.parametrize("kind", KINDS)
def test_data_of_any_piece_heal_with_one_warning(kind, how, work, filled, tmp_path):
    def damage_it(cache):
        path = next(iter(sorted(cache.glob(f"{kind}/*/{CHUNKS[kind]}"))))
        DAMAGES[how](path, np.random.default_rng(0))

    folders = heals(
        work, filled, tmp_path / "cache", damage_it, () if kind == "maps" else ("maps",)
    )
    assert len(folders) == 1
    assert f"/{kind}/" in folders[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_piece_of_another_slide_is_no_piece_of_this(kind, work, filled, tmp_path):
    def swap(cache):
        path = next(path for path in (cache / kind).glob("*/piece.json"))
        DAMAGES["piece_swapped"](path, np.random.default_rng(0))

    folders = heals(work, filled, tmp_path / "cache", swap, () if kind == "maps" else ("maps",))
    assert 1 <= len(folders) <= 2


def test_a_result_that_is_edited_in_place_spoils_no_later_one(work, filled, tmp_path):
    """Chunks of the copy are links that results share."""
    cache, expected = filled
    own = shutil.copytree(cache, tmp_path / "cache")
    work(own)
    chunk = work.folder / f"results-{work.n_results}" / "0" / "0" / "0" / "0"
    assert chunk.stat().st_nlink > 1
    with chunk.open("r+b") as file:
        file.seek(1000)
        file.write(b"edited")
    edited = chunk.read_bytes()
    with Warnings() as warnings:
        assert work(own) == expected
    assert len(warnings.messages) == 1
    assert chunk.read_bytes() == edited
