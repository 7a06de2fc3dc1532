"""README and Dockerfile say what is true."""

import re
import subprocess
from pathlib import Path

import options_table
import pytest

from heatmaps_ome.cli import main as cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def shell_blocks():
    return re.findall(r"```sh\n(.*?)```", README, re.DOTALL)


def commands():
    joined = "\n".join(shell_blocks()).replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.strip()]


def test_the_option_table_is_that_of_the_options():
    begin, end = README.index(options_table.BEGIN), README.index(options_table.END)
    assert README[begin + len(options_table.BEGIN) : end].strip() == options_table.table(), (
        "run scripts/options_table.py --write"
    )


def test_every_command_of_readme_exists_and_its_options_parse():
    for line in commands():
        program, *words = line.split()
        if program.startswith("scripts/"):
            assert (ROOT / program).is_file()
        elif program == "heatmaps-ome":
            assert words[0] in cli.COMMANDS
            if words[0] == "create":
                options = cli.OptionsParser(cli.CreateOptions, "x", "").parse_args(words[1:])
                assert options.true_class == "MSIH"
        elif program.endswith("python"):
            assert (ROOT / words[0]).is_file()
        else:
            assert program in ("pip", "docker"), line


@pytest.mark.parametrize("script", ["install", "demo", "test", "check"])
def test_shell_scripts_parse_and_can_be_run(script):
    path = ROOT / "scripts" / script
    assert path.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", path]).returncode == 0


def test_ci_runs_the_command_that_readme_gives():
    assert "scripts/test" in (ROOT / ".ci" / "run").read_text()
    assert "scripts/test" in commands()


def test_links_of_readme_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def docker_lines():
    joined = re.sub(r"\\\n", " ", DOCKERFILE)
    return [line for line in joined.splitlines() if line and not line.startswith("#")]


def test_docker_copies_only_files_that_exist():
    copied = [line.split()[1:-1] for line in docker_lines() if line.startswith("COPY")]
    assert copied
    for source in [each for sources in copied for each in sources]:
        assert (ROOT / source).exists(), source


def test_docker_installs_as_readme_says():
    assert "RUN pip install ." in docker_lines()
    assert "pip install ." in commands()


def test_docker_has_both_targets_and_the_references_entry_point():
    targets = re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, re.MULTILINE)
    assert "devel" in targets
    assert targets[-1] == "final"
    entry = next(line for line in docker_lines() if line.startswith("ENTRYPOINT"))
    words = re.findall(r'"([^"]+)"', entry)
    for pair in (
        ["--model-path", "/model/export.pkl"], ["--output-path", "/output"],
        ["--cache-dir", "/cache"],
    ):  # fmt: skip
        assert words[words.index(pair[0]) + 1] == pair[1]
    parser = cli.OptionsParser(cli.CreateOptions, "x", "")
    parser.parse_args([*words[2:], "-t", "MSIH", "/wsis/slide.svs"])
    copied_to = next(line.split()[-1] for line in docker_lines() if "create_heatmaps.py" in line)
    assert words[1] == copied_to


def test_docker_runs_as_nobody_special_and_names_its_base():
    assert "USER heatmaps" in DOCKERFILE
    bases = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert all(":" in base or base in ("base",) for base in bases)
    assert not any(base.endswith(":latest") for base in bases)


def test_docker_cleans_up_after_apt():
    for line in docker_lines():
        if "apt-get install" in line:
            assert "--no-install-recommends" in line
            assert "rm -rf /var/lib/apt/lists" in line


def test_the_version_has_a_place_in_the_changelog():
    text = (ROOT / "CHANGELOG.md").read_text()
    import heatmaps_ome

    assert "## Unreleased" in text or f"## {heatmaps_ome.__version__}" in text
