"""Extractors are found by name."""

import pytest

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.extractors import load_extractor


def test_a_mistyped_name_is_answered_with_the_nearest():
    with pytest.raises(ExtractorError, match=r"'retcll'; did you mean retccl\?"):
        load_extractor("retcll", None, "cpu", "float32")
    with pytest.raises(ExtractorError, match=r"'zzz'; choose from .*retccl, .*, timm:NAME or the"):
        load_extractor("zzz", None, "cpu", "float32")
