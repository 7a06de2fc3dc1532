"""Raw maps do not depend on the number of threads that a process may use."""

import numpy as np
import pytest
import torch
from fake_extractors import CLASSES
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

import heatmaps_ome
from heatmaps_ome import extractors
from heatmaps_ome.maps.store import read_values


@pytest.mark.parametrize("rows", [230, 350, 410])
def test_threads_change_no_digit(tmp_path, monkeypatch, rows):
    monkeypatch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
    slide = write_slide(tmp_path / "a.svs", speckled(rows, 300, rows))
    model = tmp_path / "m.pkl"
    write_export(model, parts=make_parts(n_inputs=3))
    before, made = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 8):
            torch.set_num_threads(threads)
            out = tmp_path / str(threads)
            heatmaps_ome.make_maps(slide, model, CLASSES[0], out, extractor="mean-colour")
            assert torch.get_num_threads() == threads
            made.append(read_values(out / ".maps" / "a" / "0" / "a.values.ome.zarr"))
    finally:
        torch.set_num_threads(before)
    for other in made[1:]:
        assert np.array_equal(other.logits, made[0].logits)
        for kind, values in made[0].maps.items():
            np.testing.assert_array_equal(other.maps[kind], values)
