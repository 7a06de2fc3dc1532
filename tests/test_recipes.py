"""CONTRIBUTING's recipes keep their promises: each is applied to a copy of the package and used."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SUPPORT = ROOT / "tests" / "support"
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
MOST_FILES = {
    "A map kind": 3,
    "An option": 2,
    "A format": 2,
    "A slide reader": 2,
    "An encoder": 2,
    "A model family": 2,
}
"""Recipe → files that it may touch, besides tests and texts."""
FIRST_LINE = re.compile(
    r"# (?P<path>heatmaps_ome/\S+\.py)"
    r"(?:, (?P<place>after|before|instead of|below the row with): (?P<line>.+))?"
)


@dataclass(frozen=True)
class Copy:
    """A copy of the package with all recipes applied, and the files that each has touched."""

    root: Path
    touched: dict[str, set[str]]


def blocks(recipe: str) -> list[tuple[re.Match[str], list[str]]]:
    """Return a recipe's blocks: the parts of the first line, and the other lines."""
    section = re.search(rf"^### {recipe}\n(.*?)(?=^##|\Z)", CONTRIBUTING, re.M | re.S)
    assert section is not None, f"CONTRIBUTING has no recipe for {recipe}"
    found = []
    for text in re.findall(r"^```py\n(.*?)^```", section[1], re.M | re.S):
        first, *lines = text.splitlines()
        match = FIRST_LINE.fullmatch(first)
        assert match is not None, f"{recipe}: {first!r} does not name a file and a place"
        found.append((match, lines))
    return found


def follow(recipe: str, root: Path) -> set[str]:
    """Apply a recipe to the package below a folder and return the files that it touched."""
    touched = set()
    for match, lines in blocks(recipe):
        path = root / match["path"]
        if match["line"] is None:
            assert not path.exists(), f"{recipe}: {path} exists; give a place in it"
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        else:
            there = path.read_text(encoding="utf-8").splitlines()
            start, stop = span(there, match["line"], match["place"])
            there[start:stop] = lines
            path.write_text("\n".join(there) + "\n", encoding="utf-8")
        touched.add(match["path"])
    return touched


def span(lines: list[str], line: str, place: str) -> tuple[int, int]:
    """Return the first line that a block replaces, and the one behind the last."""
    at = [number for number, other in enumerate(lines) if other.strip() == line]
    assert len(at) == 1, f"{line!r} is there {len(at)} times"
    [number] = at
    if place == "before":
        return number, number
    if place == "instead of":
        return number, number + 1
    if place == "below the row with":
        depth = indent(lines[number])
        number = next(n for n in range(number, len(lines)) if indent(lines[n]) < depth)
    return number + 1, number + 1


def indent(line: str) -> int:
    return len(line) - len(line.lstrip())


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of what the wheel has, with compiled files and the tools' settings, and all recipes.

    They share it because starting Python with torch takes longer than most checks.
    """
    root = tmp_path_factory.mktemp("copy")
    for folder in ("heatmaps_ome", "viewer_configs"):
        unwanted = shutil.ignore_patterns("node_modules")
        shutil.copytree(ROOT / folder, root / folder, ignore=unwanted)
    shutil.copy(ROOT / "pyproject.toml", root)
    return Copy(root, {recipe: follow(recipe, root) for recipe in MOST_FILES})


@pytest.fixture(scope="module")
def failures(copy, tmp_path_factory):
    """What went wrong with each recipe's thing when it was used; empty if nothing did."""
    out = tmp_path_factory.mktemp("checks")
    subprocess.run(
        [sys.executable, "-m", "recipe_checks", out],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(copy.root), str(SUPPORT)])},
        cwd=out, check=True,
    )  # fmt: skip
    found = json.loads((out / "checks.json").read_text(encoding="utf-8"))
    assert found["package"] == str(copy.root / "heatmaps_ome")
    return found["failures"]


@pytest.mark.parametrize("recipe", MOST_FILES)
def test_a_recipe_touches_few_files(recipe, copy):
    assert 1 <= len(copy.touched[recipe]) <= MOST_FILES[recipe]


@pytest.mark.parametrize("recipe", MOST_FILES)
def test_what_a_recipe_adds_works(recipe, failures):
    assert failures[recipe] == "", failures[recipe]


def test_recipes_keep_the_house_style(copy):
    paths = sorted(set().union(*copy.touched.values()))
    # The blocks leave out the blank lines around them.
    for words in (["format"], ["check"]):
        out = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--no-cache", *paths],
            cwd=copy.root, capture_output=True, text=True,
        )  # fmt: skip
        assert out.returncode == 0, out.stdout + out.stderr


@pytest.mark.parametrize("recipe", MOST_FILES)
def test_without_the_recipe_there_is_no_such_thing(recipe):
    """The checks can fail: the package lacks what a recipe adds."""
    for match, lines in blocks(recipe):
        path = ROOT / match["path"]
        if match["line"] is None:
            assert not path.exists()
        else:
            text = path.read_text(encoding="utf-8")
            assert "\n".join(lines).strip() not in text


def test_the_table_of_recipes_gives_the_same_numbers():
    for recipe, most in MOST_FILES.items():
        name = recipe.split(" ", 1)[1]
        anchor = recipe.lower().replace(" ", "-")
        assert f"| [{name}](#{anchor}) | {most} |" in CONTRIBUTING
