"""Results that replace others: what is taken over from them is what would have been written."""

import json
import shutil

import pytest
from fake_extractors import CLASSES
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

from heatmaps_ome import extractors
from heatmaps_ome.exporters.earlier import SLIDE, PreviousResults
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.run.pipeline import create
from heatmaps_ome.run.progress import silent
from heatmaps_ome.storage.digests import file_digest, file_digests
from heatmaps_ome.storage.result_folder import PROVENANCE

CHANGES = (
    {"att_cmap": "viridis"},
    {"score_cmap": "PiYG", "score_alpha": 0.9},
    {"contribution_cmap": "PiYG"},
    {"att_alpha": 0.2},
    {"att_lower_threshold": 0.3, "att_upper_threshold": 0.6},
    {"score_threshold": 0.5},
    {"true_class": CLASSES[1]},
    {"classes": CLASSES[:1]},
    {"region_hot": 0.2, "region_cold": 0.9, "top_tiles": 2},
    {"formats": ("ome-tiff", "png")},
    {"leave_one_out": True},
    {"compat": "reference"},
    {"ngff": "0.5"},
    {"no_chain": True},
    {"flattened": False},
    {"flat_mpp": 4.0},
    {"overlay_px": 3},
    {"image_mpp": 2.0},
    {"target_mpp": 1.5},
    {"mask_threshold": 200.0},
    {"no_pool": True},
    {"consistency_tiles": 1},
    {"read_from": "level0"},
    {"model_path": "other.pkl"},
)


class World:
    """A folder with a slide and two models, and the means to run create there."""

    def __init__(self, path):
        self.path = path
        write_slide(path / "a.svs", speckled(500, 700, 0))
        write_export(path / "export.pkl", parts=make_parts(n_inputs=3))
        write_export(path / "other.pkl", parts=make_parts(n_inputs=3, seed=1))

    def run(self, output, model_path="export.pkl", **changed):
        given = {
            "slides": (self.path / "a.svs",),
            "model_path": self.path / model_path,
            "output_path": self.path / output,
            "cache_dir": self.path / "cache",
            "true_class": CLASSES[0],
            "extractor": "mean-colour",
            "block_size": 256,
            "overwrite": True,
            "refit": True,
            "flattened": True,
        }
        [outcome] = create(CreateOptions(**(given | changed)), silent)
        assert outcome.status == "done", outcome.message
        return self.path / output / "a"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
        yield World(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def base(world):
    return world.run("base").parent


def written(folder):
    """Return the digests of all files but the record of when and how they were made."""
    found = file_digests(folder)
    del found[PROVENANCE]
    return found


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: "-".join(change))
def test_they_are_those_of_a_new_folder(world, base, change):
    name = "-".join(change)
    shutil.copytree(base, world.path / f"{name}-changed")
    changed = world.run(f"{name}-changed", **change)
    assert written(changed) == written(world.run(f"{name}-new", **change))


def inodes(folder):
    return {
        path.relative_to(folder).as_posix(): path.stat().st_ino
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_only_what_shows_a_changed_map_is_written(world):
    before = inodes(world.run("linked"))
    after = inodes(world.run("linked", att_cmap="viridis"))
    assert before.keys() == after.keys()
    shown = ("ome.tiff", "flat.ome.zarr/0/0/0/0", "ome.zarr/labels/{}/0/0/0")
    for name in ("score-" + CLASSES[0], "contribution-" + CLASSES[1], "winner"):
        for place in (f"a.{name}.{shown[0]}", f"a.{name}.{shown[1]}", f"a.{shown[2].format(name)}",
                      f"previews/{name}-overlay.png", f"previews/{name}-map.png"):  # fmt: skip
            assert before[place] == after[place], place
    for place in ("a.cells.csv", "a.values.ome.tiff", "previews/slide.png"):
        assert before[place] == after[place], place
    for place in (f"a.attention.{shown[0]}", f"a.attention.{shown[1]}",
                  "previews/attention-map.png", "provenance.json"):  # fmt: skip
        assert before[place] != after[place], place


@pytest.mark.parametrize("damage", ["changed", "removed"])
def test_files_that_are_not_as_they_were_written_are_made_anew(world, damage):
    output = f"damaged-{damage}"
    folder = world.run(output)
    good = written(folder)
    for name in ("a.winner.ome.tiff", "previews/winner-map.png", "a.cells.csv",
                 "a.ome.zarr/labels/winner/.zattrs", "a.winner.flat.ome.zarr/0/0/0/0"):  # fmt: skip
        # A copy of its own, as other results may have the same file.
        content = (folder / name).read_bytes()
        (folder / name).unlink()
        if damage == "changed":
            (folder / name).write_bytes(content + b"?")
    world.run(output, att_cmap="viridis")
    assert written(world.run(output)) == good


def test_results_of_a_version_that_named_no_parts_are_replaced(world):
    folder = world.run("old")
    good = written(folder)
    record = json.loads((folder / PROVENANCE).read_text())
    del record["parts"]
    (folder / PROVENANCE).write_text(json.dumps(record))
    world.run("old", att_cmap="viridis")
    assert written(world.run("old")) == good


def test_nothing_is_taken_from_outside_the_results(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "into").mkdir()
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (tmp_path / "results" / "linked").symlink_to(secret)
    for path in ("labels/../../secret", "linked"):
        files = {path: file_digest(secret)}
        earlier = PreviousResults(tmp_path / "results", files, {SLIDE: "same"}, now={SLIDE: "same"})
        assert not earlier.take(SLIDE, tmp_path / "into", path.split("/")[0])
    assert not list((tmp_path / "into").iterdir())
