"""A short run of scripts/fuzz.py: damaged files are read or refused, and run no code."""

import pickle

import fuzz
import numpy as np
import pytest
from broken_results import shared_good_run

CASES = 12
HEAVY = {"image", "list", "table"}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return shared_good_run(tmp_path_factory)


@pytest.mark.parametrize("name", [name for name in fuzz.known_formats() if name not in HEAVY])
def test_damaged_files_are_answered_without_code_or_traceback(name, results):
    counts = fuzz.fuzzed(name, results, CASES, seed=1)
    assert counts.read + counts.refused == CASES
    assert (counts.code_run, counts.tracebacks, counts.too_long) == ({}, {}, 0)
    assert counts.peak_mib - counts.start_mib <= fuzz.MOST_MIB


def test_the_watch_sees_code_that_runs(results, monkeypatch, tmp_path):
    def read(path):
        if path.read_bytes() != (tmp_path / "good").read_bytes():
            pickle.loads(pickle.dumps(fuzz.Attack(path.parent.parent / "ran")))
            raise KeyError("x")

    def sample(_, folder):
        for path in (tmp_path / "good", folder / "a.bin"):
            path.write_bytes(bytes(100))
        return folder / "a.bin"

    monkeypatch.setitem(fuzz.FORMATS, "leaky", fuzz.Format(sample, read))
    counts = fuzz.fuzzed("leaky", results, 5, seed=0)
    assert counts.code_run == {"os.system": 5, "mark": 5}
    assert sum(counts.tracebacks.values()) == 5
    assert not counts.is_good


def test_damage_is_the_same_for_a_seed():
    given = [
        [fuzz.damaged(b"x" * 99, "a.bin", None, np.random.default_rng(n)) for n in range(20)]
        for _ in range(2)
    ]
    assert given[0] == given[1]
    assert len(set(given[0])) > 10
