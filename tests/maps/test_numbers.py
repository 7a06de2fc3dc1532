"""Numbers for people say what they are: three digits, however certain a model is."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heatmaps_ome.maps.numbers import (
    is_next_to_nothing,
    is_probability,
    number,
    percent,
    predicted_text,
    probability,
)

PROBABILITIES = st.one_of(
    st.floats(0, 1), st.floats(1e-12, 1e-3), st.floats(1e-12, 1e-3).map(lambda rest: 1 - rest)
)


def value_of(text):
    """Return the number that a text means, as a person would read it."""
    plain = text.replace("\u2212", "-")
    if plain.startswith("1 - "):
        return 1 - float(plain[4:])
    return float(plain)


@given(PROBABILITIES)
def test_a_probability_has_three_digits_of_itself_and_of_its_complement(p):
    text = probability(p)
    assert value_of(text) == pytest.approx(p, rel=0.00501)
    assert 1 - value_of(text) == pytest.approx(1 - p, rel=0.00501, abs=1e-16)


@given(PROBABILITIES)
def test_only_a_probability_of_zero_or_one_looks_like_one(p):
    # Smaller complements are below the resolution of a number near 1.
    if 0 < p < 1:
        assert set(probability(p)) - set("0.")
        assert probability(p) not in ("1", "1.0", "1.00", "1.000")


@given(st.floats(-1e12, 1e12))
def test_numbers_have_three_digits_or_all_of_a_large_whole_part(value):
    assert value_of(number(value)) == pytest.approx(value, rel=0.00501)
    assert "-" not in number(value).replace("e-", "")


def test_numbers_of_the_specification():
    assert [number(x) for x in (2.74, 0.00123, 1.2e-7)] == ["2.74", "0.00123", "1.2e-07"]
    assert probability(1 - 1.2e-7) == "1 \u2212 1.2e-07"
    assert (probability(0.5), probability(0.0999999), probability(0.99995)) == (
        "0.500", "0.100", "1 \u2212 5e-05",
    )  # fmt: skip
    assert (number(math.nan), number(-math.inf), probability(math.nan)) == (
        "unknown", "\u2212∞", "unknown",
    )  # fmt: skip


@given(st.floats(0, 1))
def test_a_share_is_none_or_all_only_where_it_is(share):
    text = percent(share)
    assert text.endswith(" %")
    if share > 0:
        assert text != "0 %"
    if share < 1 - 1e-9:
        assert text != "100 %"
    if text[0].isdigit():
        assert float(text[:-2]) / 100 == pytest.approx(share, rel=0.00501)


def test_shares_of_next_to_nothing_are_known():
    assert is_next_to_nothing(0.001, 2.7)
    assert not is_next_to_nothing(0.03, 2.7)
    assert is_next_to_nothing(0.0, 0.0)
    assert not is_next_to_nothing(0.5, 0.0)


def test_values_and_risks_are_not_written_as_probabilities():
    assert not is_probability({"task": "survival"})
    assert is_probability({})
    assert predicted_text(0.9999999, {"task": "regression"}) == "1"
    assert predicted_text(np.float64(0.9999999), {"task": "classification"}) == "1 \u2212 1e-07"
