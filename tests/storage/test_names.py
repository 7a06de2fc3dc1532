"""Names of folders from names that strangers chose."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heatmaps_ome.storage.names import LONGEST, safe_name, shortened
from heatmaps_ome.storage.result_folder import RESERVED


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("TCGA-AA-3492-01Z-00-DX1.1fd2b3a3", "TCGA-AA-3492-01Z-00-DX1.1fd2b3a3"),
        ("Präparat 7 (HE) 病理", "Präparat 7 (HE) 病理"),
        ("run.json", "run.json_slide"),
        ("Viewers", "Viewers_slide"),
        (".cache", "%2Ecache"),
        ("..", "%2E."),
        (os.fsdecode(b"latin1-\xe9"), "latin1-%E9"),
        ("a\x1b[31m\nb", "a%1B[31m%0Ab"),
        ("a/b", "a%2Fb"),
        ("", "slide"),
    ],
)
def test_names_that_mean_something_else_are_changed_and_no_others(name, safe):
    assert safe_name(name, RESERVED) == safe


def test_long_names_are_cut_and_stay_different():
    first, second = safe_name("病" * 100 + "a"), safe_name("病" * 100 + "b")
    assert first != second
    assert max(len(first.encode()), len(second.encode())) <= LONGEST
    assert first.startswith("病" * 30)


@given(st.text(st.characters(exclude_categories=())))
def test_any_name_is_a_visible_folder_of_its_own(text):
    name = safe_name(text, RESERVED)
    assert name.isprintable()
    assert name == Path(name).name
    assert not name.startswith(".")
    assert name.casefold() not in RESERVED
    assert 0 < len(name.encode("utf-8")) <= LONGEST


@given(st.text(max_size=300), st.integers(20, 200))
def test_shortened_texts_fit_and_short_ones_are_left_alone(text, most):
    size = len(text.encode("utf-8", "surrogatepass"))
    if any("\ud800" <= char <= "\udfff" for char in text):
        return
    cut = shortened(text, most)
    assert len(cut.encode()) <= most
    assert (cut == text) == (size <= most)
