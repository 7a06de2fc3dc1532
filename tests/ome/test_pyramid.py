import numpy as np
import pytest
from fakes import noise_rgb
from hypothesis import given, settings
from hypothesis import strategies as st

from heatmaps_ome.geometry import Shape
from heatmaps_ome.ome.pyramid import halved, levels_from_strips, n_levels

shapes = st.builds(Shape, st.integers(1, 100_000), st.integers(1, 100_000))


@given(shapes)
def test_the_last_level_is_the_first_coarser_one_that_fits_a_tile_unless_it_would_be_3_or_4_wide(
    shape,
):
    levels = n_levels(shape)
    narrow = [shape.halved(level).cols in (3, 4) for level in range(levels + 1)]
    assert not any(narrow[1:levels])
    # The first level may fit as well: labels of an image with a single one are not drawn.
    fits = [max(shape.halved(level)) <= 1024 for level in range(levels)]
    assert not any(fits[1:-1])
    assert fits[-1] or narrow[-1]
    assert levels > 1 or narrow[-1] or max(shape) == 1


@pytest.mark.parametrize(
    ("shape", "levels"),
    [(Shape(1, 1), 1), (Shape(1, 2), 2), (Shape(512, 512), 2), (Shape(300, 7), 1)],
)
def test_small_slides_have_two_levels_if_they_can_be_halved(shape, levels):
    assert n_levels(shape) == levels


def test_a_slide_of_100_000_px_has_eight_levels():
    assert n_levels(Shape(80_000, 100_000)) == 8


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_halving_is_the_rounded_mean_of_two_by_two_with_replicated_edges(rows, cols, seed):
    rgb = noise_rgb(Shape(rows, cols), seed)
    padded = np.pad(rgb, [(0, rows % 2), (0, cols % 2), (0, 0)], mode="edge").astype(int)
    four = padded[::2, ::2] + padded[1::2, ::2] + padded[::2, 1::2] + padded[1::2, 1::2]
    np.testing.assert_array_equal(halved(rgb), (four + 2) // 4)


def test_halving_never_drifts_darker_or_lighter():
    rgb = np.full((64, 64, 3), 201, np.uint8)
    assert (halved(halved(halved(rgb))) == 201).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 70), st.integers(1, 9), st.sampled_from([2, 6, 16]), st.integers(1, 6))
def test_streamed_levels_equal_repeated_halving(rows, cols, strip_rows, levels):
    rgb = noise_rgb(Shape(rows, cols))
    strips = (rgb[row : row + strip_rows] for row in range(0, rows, strip_rows))
    parts: list[list[np.ndarray]] = [[] for _ in range(levels)]
    for level, row, strip in levels_from_strips(strips, levels, strip_rows):
        assert row == sum(map(len, parts[level]))
        assert row % strip_rows == 0, "strips must start on a row of chunks"
        assert len(strip) <= strip_rows
        parts[level].append(strip)
    expected = rgb
    for level in range(levels):
        np.testing.assert_array_equal(np.concatenate(parts[level]), expected)
        expected = halved(expected)


def test_streaming_takes_no_strip_before_the_one_before_is_given_out():
    taken = []

    def strips():
        for index in range(8):
            taken.append(index)
            yield np.zeros((4, 4, 3), np.uint8)

    for level, row, _ in levels_from_strips(strips(), 3, 4):
        if level == 0:
            assert taken[-1] == row // 4


@pytest.mark.parametrize("strip_rows", [0, 1, 7])
def test_strips_that_cannot_be_halved_are_refused(strip_rows):
    with pytest.raises(ValueError, match="cannot be halved"):
        next(levels_from_strips(iter([]), 2, strip_rows))
