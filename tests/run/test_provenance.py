"""What records say of a run's options, by the effect that each option states."""

import json
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from heatmaps_ome.options import CreateOptions
from heatmaps_ome.options.fields import Effect, create_option
from heatmaps_ome.run.provenance import PRIVATE, all_options, effective_options, undrawn_options
from heatmaps_ome.storage.digests import digest_of

MOVED = {
    "mpp": None, "att_lower_threshold": 0.01, "att_upper_threshold": 1.0, "score_threshold": 0.95,
}  # fmt: skip
"""Options that records had until the numbers that they lead to were recorded, and their values."""
NONE = {
    "slides", "from_file", "output_path", "cache_dir", "model_path", "extractor_weights", "scaling",
    "block_size", "max_memory", "threads", "device", "force_cpu", "precision", "overwrite",
    "verbose", "covariate", *MOVED,
}  # fmt: skip
DRAWN = {
    "att_cmap", "score_cmap", "contribution_cmap", "att_alpha", "score_alpha",
    "true_class", "region_hot", "region_cold", "top_tiles", "formats",
}  # fmt: skip
VALUES = {
    "allow_pickle", "extractor", "target_mpp", "no_pool", "blur_kernel_size", "read_from",
    "consistency_tiles", "mask_threshold", "compat", "classes", "leave_one_out", "image_mpp",
    "flat_mpp", "flattened", "overlay_px", "ngff", "no_chain",
}  # fmt: skip
FORMATS = ("ome-zarr", "ome-tiff", "png", "cells", "regions", "tiles", "report")


def asked(**more):
    given = {
        "slides": (Path("a.svs"),), "model_path": (Path("p/m.pkl"), Path("q/n.pkl")),
        "output_path": Path("x/out"), "true_class": "MSIH", "covariate": (("age", "7"),),
        "formats": FORMATS,
    }  # fmt: skip
    return CreateOptions(**(given | more))


def test_every_option_states_a_known_effect():
    for each in fields(CreateOptions):
        assert each.metadata.get("effect") in get_args(Effect), each.name
    with pytest.raises(TypeError, match="effect"):
        create_option("inputs", "of no effect")


def test_options_have_the_effect_that_they_had_when_it_was_recorded_first():
    effects = {each.name: each.metadata["effect"] for each in fields(CreateOptions)}
    for effect, names in (("none", NONE), ("drawn", DRAWN), ("values", VALUES)):
        assert {effects[name] for name in names} == {effect}


REPLACED = {"no_flattened": False}
"""Options that others took the place of."""
DEFAULTS_THEN = {"contribution_cmap": "PuOr_r"}
"""Defaults that have changed since."""
# Digests of the records by the version before options stated their effects.
RECORDED = {
    "defaults": (
        {},
        "78a418daa4bb01d5c7877454b0a1691fa7470d03de2af83e33df9087d0d7a6bf",
        "b118cfee2dc6970a674fe26238eaa96013637083e0a521fe08fae67232829b79",
        "b7fa60140bb10285014c9cc4ead3c92c6ab7793153ee891fac9959caef79bf59",
    ),
    "others": (
        {
            "cache_dir": Path("p/c"), "classes": ("MSIH", "b"), "formats": ("png", "cells"),
            "att_cmap": "viridis", "block_size": 512, "compat": "reference", "image_mpp": 2.0,
            "read_from": "level0", "no_pool": True, "top_tiles": 2, "precision": "float32",
            "model_path": Path("z/k.pkl"),
        },
        "408034b6084388cec8f946738f321df22c00ea5c29c068484146f98fa1c3c959",
        "6ea3856bc4b982b83b98205e4a7e53b990c3fc7c21974ad83218606e23701aa5",
        "5dcf403edd44df4645de8d2d31fb2759a9f584dbed4c5d4b850ba2daf600a370",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RECORDED)
def test_records_of_the_same_options_stay_the_same(case):
    more, *digests = RECORDED[case]
    options, old = asked(**more), (NONE | DRAWN | VALUES | {*REPLACED}) - {"flattened"}
    names = {
        name: path and path.name
        for name in ("output_path", "cache_dir", "from_file")
        for path in [getattr(options, name)]
    }
    # Until 2026 the names of folders and lists were in the last one.
    every = all_options(options) | names
    effective = effective_options(options) | MOVED
    records = (effective, undrawn_options(options) | {"mpp": None}, every)
    for record, digest in zip(records, digests, strict=True):
        # Options that came later are in newer records only.
        then = {name: value for name, value in DEFAULTS_THEN.items() if name in record}
        replaced = record | REPLACED | then
        assert digest_of({name: replaced[name] for name in replaced if name in old}) == digest


def test_records_hold_the_options_of_their_effect_and_no_private_path():
    options = asked(scaling=Path("/home/jane-doe/scaling.json"), from_file=Path("/home/doe/list"))
    effective, undrawn, every = (
        record(options) for record in (effective_options, undrawn_options, all_options)
    )
    effects = {each.name: each.metadata["effect"] for each in fields(CreateOptions)}
    assert set(effective) == {name for name in effects if effects[name] != "none"}
    assert set(undrawn) == {name for name in effects if effects[name] == "values"}
    assert set(every) == set(effects) - PRIVATE
    assert {"slides", "covariate", "from_file", "output_path", "cache_dir"} <= PRIVATE
    text = json.dumps([effective, undrawn, every])
    assert "doe" not in text
    assert "/" not in text
    assert (every["scaling"], every["model_path"]) == ("scaling.json", ["m.pkl", "n.pkl"])
