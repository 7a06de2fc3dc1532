"""Text fits the terminal and breaks only between words; the closing lines fit a screen."""

import io
import logging
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heatmaps_ome.cli.layout import Page, page_for, table, width_of, wrapped
from heatmaps_ome.cli.streams import BesideBars, Guarded, OneLineFormatter
from heatmaps_ome.cli.summary import of_run
from heatmaps_ome.maps.consistency import Consistency
from heatmaps_ome.run.cautions import cautions, logged_cautions, trust
from heatmaps_ome.run.outcome import Outcome

OUT = Path("/data/out of june")
CLASSES = ("MSIH", "nonMSIH")
WORDS = st.lists(st.text("abc腫-/", min_size=1, max_size=12), min_size=1, max_size=30)


def outcome(name="a", p=0.9, gap=0.01, areas=None, **changed):
    """Return the outcome of a slide without any warning."""
    return replace(
        Outcome(
            f"{name}.svs", "done", name=name, prediction={"MSIH": p, "nonMSIH": 1 - p},
            true_class="MSIH", target={"task": "classification", "link": "softmax"},
            consistency=Consistency(9, 20, CLASSES, (0.9, 0.1), (0.9 - gap, 0.1 + gap)),
            faithfulness={"MSIH": areas or {"contribution": 0.2, "attention": 0.6, "random": 0.5}},
        ),
        **changed,
    )  # fmt: skip


def failed(name="bad"):
    return Outcome(f"{name}.svs", "failed", message=f"/scans/{name}.svs cannot be opened")


@given(WORDS, st.integers(10, 60))
def test_lines_fit_and_no_word_is_broken(words, width):
    lines = wrapped("  " + " ".join(words), width)
    assert " ".join(lines).split() == words
    for line in lines:
        assert width_of(line) <= width or len(line.split()) == 1
    assert all(line.startswith("    ") for line in lines[1:])


def test_paths_with_blanks_and_numbers_with_their_units_are_not_broken():
    text = "of the slides in /data/out of june many are 60 % pen"
    assert wrapped(text, 30, ["/data/out of june"]) == [
        "of the slides in", "  /data/out of june many are", "  60 % pen",
    ]  # fmt: skip


def test_a_table_too_wide_gives_each_name_a_line_and_keeps_its_columns():
    rows = [("slide", "P", "empty"), ("a" * 30, "0.9", ""), ("b", "0.12345", "")]
    assert table(rows, 60, (1,)) == [
        "slide                                 P", f"{'a' * 30}      0.9", f"b{' ' * 31}0.12345",
    ]  # fmt: skip
    assert table(rows, 20, (1,)) == [
        "slide", "        P", "a" * 30, "      0.9", "b", "  0.12345",
    ]  # fmt: skip


@pytest.mark.parametrize("width", [50, 80, 100, 200])
@pytest.mark.parametrize("count", [2, 6, 1000])
def test_the_closing_lines_fit_a_terminal_and_a_screen(width, count):
    outcomes = [outcome(f"TCGA-AA-{n:04}-01Z-00-DX1", folder=OUT / str(n)) for n in range(count)]
    outcomes[1:1] = [failed(f"bad {n}") for n in range(count // 10)]
    outcomes[-1] = replace(outcomes[-1], artefacts={"cells": {"pen": 0.6}, "evidence": {}})
    lines = of_run(outcomes, OUT, Page(width, verbose=False)).splitlines()
    prose = [line for line in lines if str(OUT) not in line]
    assert all(width_of(line) <= width for line in prose)
    assert len(lines) < 80
    assert lines.count("For research, not for diagnosis.") == 1
    for n in range(min(count // 10, 6)):
        assert any(f"/scans/bad {n}.svs cannot be opened" in line for line in lines)


def test_of_many_slides_those_to_look_at_come_first():
    outcomes = [outcome(f"s{n}") for n in range(30)] + [failed(), outcome("odd", gap=0.3)]
    text = of_run(outcomes, OUT, Page(100, verbose=False))
    rows = text.split("warnings\n", 1)[1].splitlines()
    assert [row.split()[0] for row in rows[:3]] == ["bad.svs", "odd.svs", "s0.svs"]
    assert "and 12 more, which run.json lists and --verbose shows" in rows
    whole = of_run(outcomes, OUT, Page(100, verbose=True))
    assert all(f"s{n}.svs: done (MSIH 0.900" in whole for n in range(30))


def test_a_row_tells_prediction_truth_trust_and_the_number_of_warnings():
    text = of_run(
        [outcome("a", 1 - 1.2e-7, label="nonMSIH"), outcome("b", 0.2, gap=0.3)], OUT,
        Page(100, verbose=False),
    )  # fmt: skip
    assert "2 slides: 2 done; drawn hot: MSIH" in text
    a, b = (line.split("  ") for line in text.splitlines() if line[:6] in ("a.svs ", "b.svs "))
    assert [cell.strip() for cell in a if cell] == [
        "a.svs", "MSIH", "1 \u2212 1.2e-07", "nonMSIH", "good",
    ]  # fmt: skip
    assert [cell.strip() for cell in b if cell] == ["b.svs", "nonMSIH", "0.800", "low", "1"]


def test_trust_follows_from_what_was_measured():
    assert trust(outcome()) == "good"
    assert trust(outcome(consistency=None)) == "fair"
    assert trust(outcome(p=1e-7)) == "fair"  # too little to lose
    assert trust(outcome(consistency=None, faithfulness={})) == "unknown"
    beaten = outcome(areas={"contribution": 0.6, "random": 0.5})
    assert trust(beaten) == "low"
    assert cautions(beaten) == [
        "the map of contribution does not beat a random order, so it explains nothing of MSIH"
    ]
    assert logged_cautions(beaten) == []


def test_every_kind_of_caution_is_told_once():
    artefacts = {
        "cells": {"pen": 0.1}, "evidence": {"MSIH": {"pen": 0.5}},
        "attention": {"MSIH": {"pen": 0.7}}, "brightness": 150,
    }  # fmt: skip
    members = [{"prediction": {"MSIH": p, "nonMSIH": 1 - p}} for p in (0.9, 0.2)]
    told = cautions(outcome(gap=0.3, artefacts=artefacts, members=members))
    begins = ("the dense grid", "more than 20 %", "70 % of the cells hottest", "the models do not")
    assert len(told) == len(begins)
    assert all(text.startswith(begin) for text, begin in zip(told, begins, strict=True))
    assert cautions(outcome(prediction=dict.fromkeys(CLASSES, float("nan")))) == [
        "there is no prediction: no tissue was found"
    ]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_log_messages_are_wrapped_on_a_terminal_and_records_of_one_line_elsewhere(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    message = "the map of contribution does not beat a random order, so it explains nothing"
    for stream, n_lines in ((Terminal(), 2), (io.StringIO(), 1)):
        guarded = Guarded(stream)
        handler = BesideBars(guarded)
        handler.setFormatter(OneLineFormatter("%(levelname)s: %(message)s", guarded))
        handler.handle(logging.LogRecord("x", logging.WARNING, "", 0, message, None, None))
        lines = stream.getvalue().splitlines()
        assert len(lines) == n_lines
        assert " ".join(line.strip() for line in lines) == f"WARNING: {message}"
        assert page_for(guarded, verbose=False).width == (60 if n_lines == 2 else 100)


def test_bars_may_move_up_and_names_may_not():
    stream = Terminal()
    guarded = Guarded(stream)
    guarded.write("\x1b[A")
    guarded.write("a\x1b[A.svs")
    assert stream.getvalue() == "\x1b[Aa\\x1b[A.svs"
