"""The image is built from files that exist, and its program knows what a user forgot to mount."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path, PurePosixPath

import create_heatmaps
import list_dependencies
import pytest
import run_in_container
from run_in_container import CACHE, OUTPUT, PLACES, Container, named_paths, with_defaults

from heatmaps_ome.cli import main as cli

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SCRIPT = ROOT / "scripts" / "run_in_container.py"


def docker_lines():
    joined = re.sub(r"\\\n", " ", DOCKERFILE)
    return [line for line in joined.splitlines() if line and not line.startswith("#")]


def stages():
    """Return the lines of each stage by its name."""
    out = {}
    for line in docker_lines():
        if line.startswith("FROM "):
            out[line.split()[-1]] = []
        elif out:
            out[list(out)[-1]].append(line)
    return out


def test_the_image_copies_only_files_that_exist():
    copied = [line.split()[1:-1] for line in docker_lines() if line.startswith("COPY")]
    assert copied
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for source in [source for sources in copied for source in sources if sources[0][:2] != "--"]:
        assert (ROOT / source).exists(), source
        assert source not in ignored


def test_the_image_has_both_targets_and_the_last_one_is_for_users():
    assert list(stages()) == ["base", "wheel", "devel", "final"]


def test_a_change_of_the_code_leaves_the_layer_of_the_dependencies():
    lines = stages()["base"]
    installing = next(i for i, line in enumerate(lines) if "pip install" in line)
    before = [line.split()[1:-1] for line in lines[:installing] if line.startswith("COPY")]
    assert before == [["pyproject.toml", "scripts/list_dependencies.py"]]
    assert not any(line.startswith("COPY") for line in lines[installing:])
    assert any("pip install --no-deps /wheels" in line for line in stages()["final"])


def test_the_listed_dependencies_are_those_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = re.search(r'^ARG EXTRAS="(.*)"', DOCKERFILE, re.MULTILINE)[1].split(",")
    expected = [*project["dependencies"]]
    for extra in extras:
        expected += project["optional-dependencies"][extra]
    assert list_dependencies.dependencies(ROOT / "pyproject.toml", extras) == expected
    with pytest.raises(KeyError):
        list_dependencies.dependencies(ROOT / "pyproject.toml", ["none"])


def test_the_image_runs_as_a_number_that_kubernetes_can_tell_from_root():
    users = [line.split()[1] for line in stages()["final"] if line.startswith("USER")]
    assert users == ["1000:1000"]  # runAsNonRoot refuses names
    assert not [line for line in docker_lines() if line.startswith("VOLUME")]


def test_the_image_needs_no_home():
    (line,) = (line for line in stages()["final"] if line.startswith("ENV"))
    assert "HOME=/tmp" in line.split()


def test_the_image_has_the_labels_of_the_standard():
    keys = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", DOCKERFILE))
    assert {"title", "description", "licenses"} <= keys
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f'image.licenses="{project["license"]}"' in DOCKERFILE
    assert f'image.description="{project["description"]}"' in DOCKERFILE


def test_the_image_names_its_base_and_cleans_up_after_apt():
    base = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE)[1]
    assert ":" in base
    assert not base.endswith(":latest")
    for line in docker_lines():
        if "apt-get install" in line:
            assert "--no-install-recommends" in line
            assert "rm -rf /var/lib/apt/lists" in line


def test_the_program_of_the_image_is_there():
    entry = next(line for line in docker_lines() if line.startswith("ENTRYPOINT"))
    program = PurePosixPath(re.findall(r'"([^"]+)"', entry)[1])
    copies = [line.split() for line in stages()["final"] if line.startswith("COPY scripts")]
    assert copies == [
        ["COPY", "scripts/create_heatmaps.py", "scripts/run_in_container.py", f"{program.parent}/"]
    ]
    assert program.name == SCRIPT.name


def parsed(words, has_cache=True):
    """Return the options of a command line of old."""
    parser = cli.OptionsParser(cli.CreateOptions, "x", "")
    return parser.parse_args(create_heatmaps.translated(with_defaults(words, has_cache)))


def test_old_command_lines_have_the_mounted_places():
    options = parsed(["-t", "MSIH", "/wsis/slide.svs"])
    assert [str(path) for path in options.model_path] == ["/model/export.pkl"]
    assert str(options.output_path) == OUTPUT
    assert str(options.cache_dir) == CACHE
    assert options.overwrite
    assert [str(path) for path in options.slides] == ["/wsis/slide.svs"]


def test_old_command_lines_may_name_other_places():
    options = parsed(["-m", "/model/a.pkl", "-o", "/elsewhere", "-t", "A", "s.svs"], False)
    assert [str(path) for path in options.model_path] == ["/model/a.pkl"]
    assert str(options.output_path) == "/elsewhere"
    assert options.cache_dir is None


only_linux = pytest.mark.skipif(sys.platform != "linux", reason="containers are Linux")


def run(*words, **changed):
    env = {**os.environ, "PYTHONPATH": str(ROOT), **changed}
    return subprocess.run(
        [sys.executable, SCRIPT, *words], capture_output=True, text=True, env=env, check=False
    )


def test_the_image_serves_every_command():
    assert run("--help").stdout == cli.USAGE
    done = run("info", str(ROOT / "heatmaps_ome" / "demo" / "data" / "demo-export.pkl"))
    assert done.returncode == 0
    assert "tumour" in done.stdout


@only_linux
def test_an_old_command_line_without_mounts_is_told_all_of_them():
    done = run("-t", "MSIH", "/wsis/slide.svs")
    assert done.returncode == 1
    assert done.stdout == ""
    assert [line.split("; add ")[1] for line in done.stderr.splitlines()] == [
        "-v /path/to/model:/model:ro to docker run",
        "-v /path/to/wsis:/wsis:ro to docker run",
        "-v /path/to/output:/output to docker run",
    ]


@only_linux
def test_a_command_is_told_of_the_places_that_it_names():
    done = run("create", "a.svs", "-m", "m.pkl", "-t", "A", "--output-path=/output/run-1")
    assert done.returncode == 1
    assert done.stderr == (
        "heatmaps-ome: nothing is mounted at /output, and the results would be lost with the "
        "container; add -v /path/to/output:/output to docker run\n"
    )


def test_help_needs_no_mounts():
    assert run("create", "--help", "-o", "/output").returncode == 0


def test_places_are_named_by_paths_alone():
    words = ["-o=/output/a", "--cache-dir", "/cached", "/wsis/a.svs", "/wsis/b.svs", "model"]
    named = [(place.path, str(path)) for place, path in named_paths(words)]
    assert named == [("/wsis", "/wsis/a.svs"), ("/output", "/output/a")]


MODEL, WSIS, OUT, _ = PLACES


@pytest.fixture
def container(tmp_path):
    """Return a container with some mounts, in a folder of the machine."""

    def made(*mounts):
        for place in PLACES:
            (tmp_path / place.path[1:]).mkdir()
        lines = [f"22 1 0:21 / {mount} rw,relatime - ext4 /dev/vda rw\n" for mount in mounts]
        (tmp_path / "mountinfo").write_text("damaged\n" + "".join(lines))
        return Container(tmp_path, tmp_path / "mountinfo")

    return made


def test_a_mounted_folder_that_is_empty_differs_from_a_mount_that_is_missing(container):
    box = container("/", "/model")
    assert box.problem(MODEL, PurePosixPath("/model")).startswith("/model is empty, and the model")
    assert "nothing is mounted at /wsis" in box.problem(WSIS, PurePosixPath("/wsis/a.svs"))


def test_files_of_a_derived_image_are_as_good_as_mounts(container):
    box = container("/")
    (box.root / "model" / "export.pkl").touch()
    assert box.problem(MODEL, PurePosixPath("/model/export.pkl")) is None


@pytest.mark.parametrize(
    ("mount", "path", "is_kept"),
    [
        ("/output", "/output", True),
        ("/output", "/output/run-1/deep", True),
        ("/output/run-1", "/output/run-1", True),
        ("/output/run-1", "/output/run-2", False),
        ("/output/run-1", "/output", False),
        ("/outputs", "/output", False),
        ("/", "/output", False),
    ],
)
def test_results_are_kept_on_a_mount_only(container, mount, path, is_kept):
    problem = container(mount).problem(OUT, PurePosixPath(path))
    assert (problem is None) is is_kept


def test_results_that_are_read_may_be_mounted_for_reading_only(container):
    box = container("/output")
    path = PurePosixPath("/output/run-1")
    assert box.problem(OUT, path, is_writing=False).startswith("/output is empty, and the results")
    (box.root / "output" / "run.json").touch()
    assert box.problem(OUT, path, is_writing=False) is None
    assert list((box.root / "output").iterdir()) == [box.root / "output" / "run.json"]


def test_commands_that_read_are_commands():
    assert set(cli.COMMANDS) > run_in_container.READING


def test_without_a_list_of_mounts_nothing_is_refused(tmp_path):
    (tmp_path / "output").mkdir()
    assert Container(tmp_path, tmp_path / "none").problem(OUT, PurePosixPath("/output")) is None


AS_ANOTHER = """
import os, sys
sys.path.insert(0, {scripts!r})
from pathlib import Path, PurePosixPath
from run_in_container import PLACES, Container
if os.geteuid() == 0:
    os.setegid(678)
    os.seteuid(12345)
print(Container(Path({root!r}), Path({mounts!r})).problem(PLACES[2], PurePosixPath("/output/a")))
"""


def as_another_user(box):
    """Return the problem of /output that another user has with it."""
    code = AS_ANOTHER.format(
        scripts=str(SCRIPT.parent), root=str(box.root), mounts=str(box.mountinfo)
    )
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a folder to another user")
def test_a_folder_of_another_user_is_named_with_the_user_to_run_as(container):
    box = container("/output")
    for folder in (box.root, *box.root.parents):
        if folder.stat().st_uid == 0 and folder.is_relative_to("/tmp/pytest-of-root"):
            folder.chmod(0o755)
    os.chown(box.root / "output", 4000, 5000)
    assert as_another_user(box) == (
        "/output/a cannot be written (Permission denied) by user 12345:678; it belongs to "
        "4000:5000: run as its owner with --user 4000:5000, or mount a folder of 12345:678"
    )
    os.chown(box.root / "output", 12345, 678)
    (box.root / "output").chmod(0o500)
    assert as_another_user(box).endswith("is it mounted with :ro, or is its disk read-only?")
    (box.root / "output").chmod(0o700)
    assert as_another_user(box) == "None"


def test_a_container_without_any_temporary_folder_is_told_to_have_one(monkeypatch):
    def none():
        raise FileNotFoundError

    assert run_in_container.temporary_problem() is None
    monkeypatch.setattr(run_in_container.tempfile, "gettempdir", none)
    assert run_in_container.temporary_problem().endswith("add --tmpfs /tmp")
