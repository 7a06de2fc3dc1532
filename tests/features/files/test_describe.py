"""A file of tiles is described without its slide."""

import numpy as np
import pytest
import torch
from tile_files import (
    FEATURES,
    SCORES,
    XY,
    write_clam,
    write_patches,
    write_stamp,
    write_table,
    write_trident,
)

from heatmaps_ome.cli.info import describe as info
from heatmaps_ome.errors import FeaturesError
from heatmaps_ome.features.files.describe import describe_tiles, may_hold_tiles


def test_features_scores_and_coordinates_are_told_apart(tmp_path):
    stamp = describe_tiles(write_stamp(tmp_path / "a.h5"))
    assert (stamp.holds, stamp.system, stamp.n_tiles, stamp.n_features, stamp.encoder) == (
        "features", "STAMP 2.3.0", len(XY), 8, "enc-1",
    )  # fmt: skip
    assert (stamp.unit, stamp.side) == ("µm", "128 µm")
    trident = describe_tiles(write_trident(tmp_path / "b.h5", level0_width=77))
    assert (trident.system, trident.side) == ("TRIDENT", "256 px")
    clam = describe_tiles(write_clam(tmp_path / "c.h5"))
    assert clam.side == "not given; neighbours are 256 px apart"
    patches = describe_tiles(write_patches(tmp_path / "d.h5"))
    assert (patches.holds, patches.n_features) == ("coordinates", None)
    slides = ["S1"] * 70 + ["S2"] * 70
    path = write_table(
        tmp_path / "e.csv", {"slide": slides, "x": XY[:, 0], "y": XY[:, 1], "s": SCORES}
    )
    table = describe_tiles(path)
    assert (table.holds, table.maps, table.n_tiles) == ("scores", ("s",), len(XY))


def test_info_describes_files_of_tiles(tmp_path):
    text = info(write_trident(tmp_path / "S1.h5"))
    assert "S1.h5: features of tiles" in text
    assert "8 per tile" in text
    assert "private" not in text
    torch.save(torch.from_numpy(FEATURES), tmp_path / "S1.pt")
    assert "S1.pt: features of tiles" in info(tmp_path / "S1.pt")
    np.save(tmp_path / "S1.npy", SCORES)
    assert "scores" in info(tmp_path / "S1.npy")


def test_other_files_are_none_of_tiles(tmp_path):
    (tmp_path / "a.svs").write_bytes(b"II*\0")
    assert not may_hold_tiles(tmp_path / "a.svs")
    assert not may_hold_tiles(tmp_path)
    (tmp_path / "a.csv").write_text("a,b\nc,d\n", "utf-8")
    with pytest.raises(FeaturesError, match="coordinates"):
        describe_tiles(tmp_path / "a.csv")
