"""The meaning of a model's outputs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from heatmaps_ome.models.refusals import Unusable
from heatmaps_ome.models.target import Target, classes_target


def test_the_middle_of_risks_survives_a_record():
    target = replace(Target.of_task("survival", (), 1), middle=0.25)
    assert Target.of_record(target.record()) == target
    assert Target.of_record({**target.record(), "middle": 1}).middle == 1.0


def test_targets_of_earlier_records_have_no_middle():
    record = Target.of_task("regression", (), 1).record()
    del record["middle"]
    assert Target.of_record(record).middle is None


@pytest.mark.parametrize("middle", ["0.5", float("nan"), [1]])
def test_a_middle_that_is_no_number_is_refused(middle):
    record = Target.of_task("survival", (), 1).record()
    with pytest.raises(Unusable):
        Target.of_record({**record, "middle": middle})


def test_classes_have_no_middle():
    with pytest.raises(Unusable, match="classification target with the middle"):
        replace(classes_target(("a", "b")), middle=0.5)
