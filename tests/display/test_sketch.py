import json
import random
import re
import tracemalloc
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from fakes import covering_grid, heatmap_set
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from heatmaps_ome.display import scaling_fit
from heatmaps_ome.display.scaling import CohortScaling, EarlierFit, Quantiles
from heatmaps_ome.display.scaling_fit import ScalingFit, fit_scaling
from heatmaps_ome.display.sketch import keys_of, sketch_of, values_of
from heatmaps_ome.display.sketch_file import open_sketch, write_sketch
from heatmaps_ome.errors import OutputError, ResultError, ScalingError
from heatmaps_ome.features.files.refusals import Unfit
from heatmaps_ome.geometry import Shape
from heatmaps_ome.maps.kinds import KINDS
from heatmaps_ome.models.target import Target

SLIDE = Shape(640, 480)
GRID = covering_grid(SLIDE)
AIM = Target("regression", ("a", "b"), "identity", middle=3.0)
DIGESTS = ("cohort", "model", "extractor")

FLOATS = st.floats(width=32) | st.sampled_from(
    [0.0, -0.0, 1e-45, -1e-45, 0.5, 0.99999, 1.0, 3.4028234663852886e38, -3.4028234663852886e38]
)
SHARES = st.sampled_from([0.0, 0.01, 0.25, 0.5, 0.95, 1.0]) | st.floats(0, 1)


def of_values(values, name="slide", classes=("a",), **changes):
    """Return a slide whose cells have these values in all of its maps; NaN counts as tissue."""
    values = np.asarray(values, np.float32)
    grid = covering_grid(Shape(32, 32 * max(1, values.size)))
    tissue = np.zeros(grid.shape, bool)
    tissue.ravel()[: values.size] = True
    cells = np.full(grid.shape, np.nan, np.float32)
    cells.ravel()[: values.size] = values
    maps = heatmap_set(grid, SLIDE, classes, tissue=tissue, slide_name=name)
    one_each = np.stack([cells] * len(classes))
    return replace(
        maps.with_maps(attention=cells, score=one_each, contribution=None, prediction=one_each),
        **changes,
    )


def numpys(slides, quantiles):
    """Return the ends of each map's range by numpy, over all cells at once."""
    ends = {}
    with np.errstate(over="ignore"):
        for key, kind in KINDS.items():
            if kind.scale == "categories" or slides[0].values(key) is None:
                continue
            drawn = [s.values(key)[..., s.tissue] * np.float32(s.factor(key)) for s in slides]
            joined = np.concatenate(drawn, axis=-1)
            ends[key] = [
                numpys_range(slides, kind.scale, index, row, quantiles)
                for index, row in enumerate(joined if kind.per_class else joined[None])
            ]
    return ends


def numpys_range(slides, scale, index, values, quantiles):
    cells = values[np.isfinite(values)].astype(np.float64)
    if scale == "quantiles":
        if cells.size == 0:
            return 0.0, 1.0
        low = np.quantile(cells, quantiles.attention_lower)
        high = np.quantile(cells, quantiles.attention_upper)
        least = max(1e-12, abs(low) * 1e-6)
        return (low, high) if low < high else (low - least, low + least)
    middle = {"around chance": slides[0].chance, "around the middle": median(slides, index)}.get(
        scale, 0.0
    )
    reach = np.quantile(np.abs(cells - middle), quantiles.score) if cells.size else 0.0
    reach = max(reach, 1e-12, abs(middle) * 1e-6)
    return (0.0, max(reach, 0.01)) if scale == "from zero" else (middle - reach, middle + reach)


def median(slides, index):
    if slides[0].target.middle is not None:
        return slides[0].target.middle
    known = [s.prediction[index] for s in slides if np.isfinite(s.prediction[index])]
    return np.median(known) if known else 0.0


def ends_of(scaling):
    return {
        kind: [(ends.lower, ends.upper) for ends in group] for kind, group in scaling.ranges.items()
    }


def written(slides, folder):
    paths = [folder / f"{index}.h5" for index in range(len(slides))]
    for slide, path in zip(slides, paths, strict=True):
        write_sketch(slide, path)
    return paths


@pytest.fixture(scope="module")
def slides():
    return [
        heatmap_set(GRID, SLIDE, ("a", "b", "c"), seed=seed, slide_name=f"slide {seed}")
        for seed in range(4)
    ]


@given(arrays(np.float32, st.integers(0, 40), elements=FLOATS.filter(lambda x: x == x)))
def test_keys_keep_order_and_give_the_values_back(values):
    keys = keys_of(values)
    np.testing.assert_array_equal(values_of(keys), values.astype(np.float64))
    np.testing.assert_array_equal(keys[:, None] < keys, values[:, None] < values)
    np.testing.assert_array_equal(keys[:, None] == keys, values[:, None] == values)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(arrays(np.float32, st.integers(0, 12), elements=FLOATS), min_size=1, max_size=4),
    st.tuples(SHARES, SHARES).filter(lambda pair: pair[0] != pair[1]),
    SHARES,
    st.none() | st.floats(-1e3, 1e3),
)
def test_ranges_are_numpys_of_any_values(parts, ends, share, middle):
    aim = Target("regression", ("a",), "identity", middle=middle)
    slides = [
        of_values(part, aim=aim, prediction=np.append(part, np.nan)[:1].astype(np.float64))
        for part in parts
    ]
    quantiles = Quantiles(min(ends), max(ends), share)
    fit = ScalingFit(quantiles)
    for slide in slides:
        fit.add(slide)
    assert ends_of(fit.fit(*DIGESTS)) == numpys(slides, quantiles)


def spread_out(rng, n):
    """Return scores of an all but certain model: many tiny ones, and many next to 1."""
    return (1 / (1 + np.exp(-rng.normal(size=n) * 30))).astype(np.float32)


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.normal(size=n),
        spread_out,
        lambda rng, n: 0.5 + 1e-4 * rng.normal(size=n),
        lambda rng, n: rng.integers(0, 3, n) / 7,
        lambda rng, n: rng.normal(size=n) * 10.0 ** rng.integers(-40, 30, n),
    ],
    ids=["normal", "certain", "undecided", "ties", "all sizes"],
)
@pytest.mark.parametrize("most_counters", [1 << 23, 1 << 10], ids=["keys", "finer bins"])
def test_ranges_are_numpys_in_any_order_and_split(draw, most_counters, tmp_path, monkeypatch):
    monkeypatch.setattr(scaling_fit, "_MOST_COUNTERS", most_counters)
    rng = np.random.default_rng(5)
    values = draw(rng, 6000)
    slides = [of_values(values[:1], "one"), of_values(values[1:2500], "two"),
              of_values(values[2500:], "three")]  # fmt: skip
    paths = written(slides, tmp_path)
    scaling = fit_scaling(paths, Quantiles(), *DIGESTS)
    assert ends_of(scaling) == numpys(slides, Quantiles())
    assert scaling.cells == 6000
    random.Random(1).shuffle(paths)
    assert fit_scaling(paths, Quantiles(), *DIGESTS) == scaling
    whole = fit_scaling([sketch_of(of_values(values))], Quantiles(), *DIGESTS)
    # Its one prediction is another median.
    for kind in set(scaling.ranges) - {"prediction"}:
        assert whole.ranges[kind] == scaling.ranges[kind]


def test_all_kinds_of_maps_are_fitted_as_they_are_drawn(slides, tmp_path):
    scaling = fit_scaling(written(slides, tmp_path), Quantiles(), *DIGESTS)
    expected = numpys(slides, Quantiles())
    assert {"attention", "contribution", "evidence", "leave-one-out", "margin"} <= expected.keys()
    assert ends_of(scaling) == expected
    assert (scaling.slides, scaling.cells) == (4, sum(slide.tissue_cells for slide in slides))


def test_a_cohort_without_tissue_has_ranges_of_its_attention(tmp_path):
    empty = heatmap_set(GRID, SLIDE, tissue=np.zeros(GRID.shape, bool))
    scaling = fit_scaling(written([empty], tmp_path), Quantiles(), *DIGESTS)
    assert (scaling.attention.lower, scaling.attention.upper, scaling.cells) == (0.0, 1.0, 0)
    assert ends_of(fit_scaling([], Quantiles(), *DIGESTS)) == {"attention": [(0.0, 1.0)]}


def test_a_file_gives_back_the_sketch_and_is_the_same_each_time(slides, tmp_path):
    path, other = tmp_path / "a.h5", tmp_path / "b.h5"
    write_sketch(slides[0], path)
    write_sketch(slides[0], other)
    assert path.read_bytes() == other.read_bytes()
    own = sketch_of(slides[0])
    with open_sketch(path) as sketch:
        assert sketch.facts == own.facts
        for one, two in zip(sketch.histogram(), own.histogram(), strict=True):
            np.testing.assert_array_equal(one, two)
        wanted = np.concatenate([codes for codes, _ in own.histogram()])
        for one, two in zip(sketch.cells_in(wanted), own.cells_in(wanted), strict=True):
            np.testing.assert_array_equal(one, two)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.h5", "b.h5"]


def test_h5py_reads_the_cells_without_us(slides, tmp_path):
    path = tmp_path / "a.h5"
    write_sketch(slides[0], path)
    with h5py.File(path) as file:
        facts = json.loads(file["facts"][()].tobytes())
        [n_bins] = facts["maps"]["attention"]
        bins = np.cumsum(file["steps"][:n_bins], dtype=np.uint16).astype(np.uint32)
        counts = file["counts"][:n_bins]
        keys = np.repeat(bins, counts) << 16 | file["low"][: counts.sum()]
    cells = np.sort(slides[0].attention[slides[0].tissue])
    bits = cells.view(np.uint32)
    np.testing.assert_array_equal(keys, np.where(bits >> 31, ~bits, bits + (1 << 31)))


def read_bytes():
    facts = Path("/proc/self/io").read_text().split()
    return int(facts[facts.index("rchar:") + 1])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="no count of the bytes read")
def test_a_fit_reads_a_part_of_large_sketches(tmp_path):
    rng = np.random.default_rng(0)
    grid = covering_grid(Shape(32 * 200, 32 * 200))
    large = heatmap_set(grid, SLIDE, tissue=np.ones(grid.shape, bool))
    large = large.with_maps(attention=rng.normal(size=grid.shape).astype(np.float32))
    path = tmp_path / "a.h5"
    write_sketch(large, path)
    n_values = large.tissue_cells * 9
    assert path.stat().st_size < 2.2 * n_values
    before = read_bytes()
    fit_scaling([path] * 3, Quantiles(), *DIGESTS)
    # Three slides in two or three rounds.
    assert (read_bytes() - before) / 9 < 0.3 * path.stat().st_size


def test_memory_does_not_grow_with_slides(slides, tmp_path):
    paths = written(slides[:2], tmp_path)
    peaks = []
    for times in (2, 20):
        tracemalloc.start()
        fit_scaling(paths * times, Quantiles(), *DIGESTS)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + (1 << 17)


def test_an_extended_scaling_is_that_of_all_slides_and_names_its_part(slides, tmp_path):
    paths = written(slides, tmp_path)
    part = fit_scaling(paths[:2], Quantiles(), "part", *DIGESTS[1:])
    longer = fit_scaling(paths[:3], Quantiles(), "longer", *DIGESTS[1:], extended=part)
    whole = fit_scaling(paths, Quantiles(), *DIGESTS, extended=longer)
    assert whole.history == (
        EarlierFit("part", 2, part.cells), EarlierFit("longer", 3, longer.cells),
    )  # fmt: skip
    anew = fit_scaling(paths, Quantiles(), *DIGESTS)
    assert replace(whole, history=()) == anew
    assert whole.numbers == anew.numbers
    whole.save(tmp_path / "scaling.json")
    assert CohortScaling.load(tmp_path / "scaling.json") == whole
    assert "history" not in anew.record()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (of_values([1], "odd", ("a", "c")), "classes"),
        (of_values([1], "odd", ("a", "b")).with_maps(prediction=None), "kinds of maps"),
        (of_values([1], "odd", ("a", "b"), aim=AIM), "middle of the training (3.0; None)"),
    ],
)
def test_slides_of_other_maps_are_named(other, words, tmp_path):
    first = of_values([1, 2], "first", ("a", "b"))
    with pytest.raises(ScalingError, match=re.escape(f"odd and first have different {words}")):
        fit_scaling([sketch_of(first), sketch_of(other)], Quantiles(), *DIGESTS)
    paths = written([first, other], tmp_path)
    with pytest.raises(ScalingError, match=r"1\.h5 and .*0\.h5 have different"):
        fit_scaling(paths, Quantiles(), *DIGESTS)


def changed(path, facts=(), **rows):
    """Write a sketch again with other facts or rows."""
    with h5py.File(path) as file:
        stored = {name: file[name][()] for name in file}
    record = json.loads(stored.pop("facts").tobytes())
    record.update(facts)
    with h5py.File(path, "w") as file:
        file["facts"] = np.frombuffer(json.dumps(record).encode(), np.uint8)
        for name, row in {**stored, **rows}.items():
            chunk = 1024 if name == "low" else 8192
            options = {"chunks": (chunk,), "shuffle": True, "compression": "gzip"}
            file.create_dataset(name, data=row, maxshape=(None,), **options)


@pytest.mark.parametrize(
    "damage",
    [
        {"facts": {"format": "heatmaps-ome sketch 99"}},
        {"facts": {"maps": {"attention": [70_000]}}},
        {"facts": {"maps": {"attention": [-1]}}},
        {"facts": {"maps": {"attention": [1, 1]}}},
        {"facts": {"maps": {"no such kind": [1]}}},
        {"facts": {"maps": 7}},
        {"facts": {"prediction": [0.5]}},
        {"facts": {"cells": None}},
        {"facts": {"names": []}},
        {"low": np.zeros(3, np.uint16)},
        {"low": np.zeros(3, np.float32)},
        {"steps": np.zeros(10_000, np.uint16)},
        {"counts": np.full(10_000, 1 << 31, np.uint32)},
        {"counts": np.zeros(0, np.uint32)},
    ],
    ids=str,
)
def test_a_sketch_whose_numbers_do_not_fit_is_refused(damage, slides, tmp_path):
    path = tmp_path / "a.h5"
    write_sketch(slides[0], path)
    changed(path)
    fit_scaling([path], Quantiles(), *DIGESTS)
    changed(path, **damage)
    with pytest.raises(ResultError, match=r"a\.h5 .*the slide's maps again"):
        fit_scaling([path], Quantiles(), *DIGESTS)


def test_a_damaged_or_foreign_file_is_refused_and_never_misread(slides, tmp_path):
    path = tmp_path / "a.h5"
    write_sketch(slides[0], path)
    whole = path.read_bytes()
    scaling = fit_scaling([path], Quantiles(), *DIGESTS)
    rng = np.random.default_rng(0)
    outcomes = set()
    for place in rng.integers(0, len(whole), 60).tolist():
        damaged = bytearray(whole)
        damaged[place : place + 4] = rng.integers(0, 256, 4, np.uint8).tobytes()
        for content in (damaged, whole[:place]):
            path.write_bytes(content)
            try:
                outcomes.add(fit_scaling([path], Quantiles(), *DIGESTS) == scaling)
            except (ResultError, ScalingError) as error:
                outcomes.add("a.h5" in str(error) or "have changed" in str(error))
    assert outcomes == {True}


@pytest.mark.parametrize("content", [b"", b"no HDF5", None], ids=["empty", "text", "missing"])
def test_a_file_that_is_no_sketch_is_named(content, tmp_path):
    path = tmp_path / "a.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ResultError, match=r"a\.h5"):
        fit_scaling([path], Quantiles(), *DIGESTS)


def test_another_hdf5_file_is_no_sketch(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["features"] = np.zeros((3, 4), np.float32)
    with pytest.raises(ResultError, match="is another HDF5 file"):
        fit_scaling([tmp_path / "a.h5"], Quantiles(), *DIGESTS)


def test_a_chunk_that_unpacks_to_more_than_its_size_does_not_fill_memory(slides, tmp_path):
    import zlib

    path = tmp_path / "a.h5"
    write_sketch(slides[0], path)
    with h5py.File(path, "r+") as file:
        bomb = zlib.compress(bytes(3 << 20), 9)
        assert len(bomb) < 2 * 2048
        file["low"].id.write_direct_chunk((0,), bomb)
    with open_sketch(path) as sketch:
        tracemalloc.start()
        with pytest.raises(Unfit, match="damaged chunk"):
            sketch.low[0:10]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 1 << 20
    with pytest.raises(ResultError, match=r"a\.h5 .*damaged chunk"):
        fit_scaling([path], Quantiles(), *DIGESTS)


def test_a_sketch_that_changes_meanwhile_is_noticed(slides, monkeypatch, tmp_path):
    path = tmp_path / "a.h5"
    write_sketch(slides[0], path)
    counted = scaling_fit._counted

    def after_a_change(*args):
        write_sketch(slides[1], path)
        return counted(*args)

    monkeypatch.setattr(scaling_fit, "_counted", after_a_change)
    with pytest.raises(ScalingError, match="have changed"):
        fit_scaling([path], Quantiles(), *DIGESTS)


def test_a_sketch_that_cannot_be_written_leaves_the_former_one(slides, tmp_path):
    (tmp_path / "a.h5").mkdir()
    with pytest.raises(OutputError, match=r"a\.h5"):
        write_sketch(slides[0], tmp_path / "a.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]
