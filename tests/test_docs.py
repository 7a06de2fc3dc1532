"""READMEs and CONTRIBUTING are true."""

import re
import subprocess
from functools import cache
from pathlib import Path

import options_table
import pytest
from command_options import OPTIONS

from heatmaps_ome.cli import main as cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted(
    path
    for pattern in ("*.md", "heatmaps_ome/**/*.md", "scripts/**/*.md", "viewer_configs/**/*.md")
    for path in ROOT.glob(pattern)
    if "node_modules" not in path.parts
)
"""Every text of the repository."""
MOST_BYTES_OF_README = 10_240


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def commands(page: Path = ROOT / "README.md"):
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    joined = "\n".join(blocks).replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip()]


ALL_COMMANDS = [(page_name(page), line) for page in PAGES for line in commands(page)]


def test_the_texts_are_found():
    names = {page_name(page) for page in PAGES}
    assert {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "viewer_configs/README.md"} <= names
    assert {f"heatmaps_ome/{room}/README.md" for room in ("maps", "models", "options")} <= names


def test_the_readme_is_short():
    assert len(README.encode()) <= MOST_BYTES_OF_README


def test_the_first_screen_of_readme_has_a_picture():
    picture = re.search(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert picture is not None
    assert README[: picture.start()].count("\n") < 10


def test_the_option_table_is_that_of_the_options():
    text = options_table.README.read_text(encoding="utf-8")
    begin, end = text.index(options_table.BEGIN), text.index(options_table.END)
    assert text[begin + len(options_table.BEGIN) : end].strip() == options_table.table(), (
        "run scripts/options_table.py --write"
    )


def test_every_command_of_the_program_has_its_options_here():
    assert set(OPTIONS) == set(cli.COMMANDS)


@pytest.mark.parametrize(("page", "line"), ALL_COMMANDS, ids=lambda text: str(text)[:60])
def test_every_command_of_the_texts_exists_and_its_options_parse(page, line):
    program, *words = line.split()
    if program.startswith("scripts/"):
        assert (ROOT / program).is_file()
    elif program == "heatmaps-ome":
        parser = cli.OptionsParser(OPTIONS[words[0]], "x", "")
        parsed = parser.parse_args(words[1:])
        if words[0] == "create":
            assert parsed.true_class == "MSIH"
    elif program.endswith("python"):
        if words[:2] == ["-m", "pytest"]:
            assert all((ROOT / word).exists() for word in words[2:])
        else:
            # The scripts for viewers lie in the results, as they are in viewer_configs.
            assert (ROOT / words[0].replace("OUT/viewers/", "viewer_configs/")).is_file()
    elif program == "source":
        assert words == [".venv/bin/activate"]
    else:
        assert program in ("pip", "docker", "cat"), line


@pytest.mark.parametrize("script", ["install", "demo", "test", "check", "test_container"])
def test_shell_scripts_parse_and_can_be_run(script):
    path = ROOT / "scripts" / script
    assert path.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", path]).returncode == 0


def test_ci_runs_the_command_that_readme_gives():
    assert "scripts/test" in (ROOT / ".ci" / "run").read_text()
    assert "scripts/test" in commands()


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name in ("README.md", "CONTRIBUTING.md")], ids=page_name
)
def test_texts_are_in_plain_english(page):
    text = page.read_text(encoding="utf-8")
    stilted = r"(?:^|[.:;] )Of [a-z0-9]|\b(?:[Ss]aid|[Tt]old)\b|by the piece that|[Oo]ne sees"
    assert re.findall(stilted, text, re.MULTILINE) == []


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_python_blocks_parse(page):
    for block in re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        compile(block, page, "exec")


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


def test_every_readme_is_reached_from_the_first_one():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            linked = (page.parent / target).resolve()
            if linked.suffix == ".md" and linked not in reached:
                waiting.append(linked)
    assert {page for page in PAGES if page.name == "README.md"} <= reached


def test_the_version_has_a_place_in_the_changelog():
    text = (ROOT / "CHANGELOG.md").read_text()
    import heatmaps_ome

    assert "## Unreleased" in text or f"## {heatmaps_ome.__version__}" in text
