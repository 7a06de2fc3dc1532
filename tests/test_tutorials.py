"""The tutorials run as they are written, on small files of the original programs."""

import re
import shlex
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest

from heatmaps_ome.cli import main as cli

PAGE = Path(__file__).parents[1] / "heatmaps_ome" / "run" / "TUTORIALS.md"
SLIDE = "CMU-1-Small-Region"
FILES = {
    "CLAM": {
        f"slides/{SLIDE}.svs": f"slides/{SLIDE}.svs",
        f"patches/{SLIDE}.h5": f"zoo/features/clam-{SLIDE}-224px-step224-patches.h5",
        f"features/h5_files/{SLIDE}.h5": f"zoo/features/clam-{SLIDE}-224px-step224-features.h5",
        "s_0_checkpoint.pt": "zoo/models/clam-sb-gated-3class-s_0_checkpoint.pt",
    },
    "TRIDENT": {
        f"slides/{SLIDE}.svs": f"slides/{SLIDE}.svs",
        f"trident/20x_256px_0px_overlap/features_rgbstat/{SLIDE}.h5": (
            f"zoo/features/trident-{SLIDE}-20x_256px_0px_overlap.h5"
        ),
        "pytorch_model.bin": "zoo/models/millab-abmil-3class-pytorch_model.bin",
    },
    "STAMP": {
        f"slides/{SLIDE}.svs": f"slides/{SLIDE}.svs",
        f"features/{SLIDE}.h5": f"zoo/features/stamp-2.5.0-{SLIDE}-56um_112px.h5",
        "model.ckpt": "zoo/models/stamp-2.5.0-vit-3class.ckpt",
        "survival.ckpt": "zoo/models/stamp-2.5.0-vit-survival.ckpt",
    },
}
"""Tutorial → the names of its files → the files that they are."""
MADE = {
    "CLAM": [f"results/{SLIDE}", f"attention/{SLIDE}"],
    "TRIDENT": [f"results/{SLIDE}", f"features_tiny/{SLIDE}.h5"],
    "STAMP": [f"results/{SLIDE}", f"risk/{SLIDE}"],
}
"""Tutorial → the results that it promises."""


def sections():
    """Return the text below each heading of the page."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def commands(name):
    """Return the commands of a tutorial, each as its words."""
    blocks = re.findall(r"```bash\n(.*?)```", sections()[name], re.DOTALL)
    return [shlex.split(line) for line in "".join(blocks).splitlines()]


def write_blockmap(folder):
    """Write attention as CLAM's create_heatmaps.py leaves it."""
    with (
        h5py.File(folder / f"features/h5_files/{SLIDE}.h5") as features,
        h5py.File(folder / f"{SLIDE}_blockmap.h5", "w") as blockmap,
    ):
        coords = features["coords"][:]
        blockmap["coords"] = coords
        blockmap["attention_scores"] = np.linspace(-3, 3, len(coords), dtype=np.float32)[:, None]


@pytest.mark.parametrize("name", FILES)
def test_a_tutorial_runs_as_it_is_written(shared_data, tmp_path, monkeypatch, capsys, name):
    if not (shared_data / "zoo").is_dir():
        pytest.skip("needs the files of other programs")
    for own, source in FILES[name].items():
        (tmp_path / own).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(shared_data / source, tmp_path / own)
    if name == "CLAM":
        write_blockmap(tmp_path)
    monkeypatch.chdir(tmp_path)
    for program, *words in [*commands(name), *commands("Then")]:
        assert program == "heatmaps-ome"
        assert cli.main(words) == 0, f"{shlex.join(words)}: {capsys.readouterr().err}"
    for path in MADE[name]:
        assert (tmp_path / path).exists(), path


@pytest.mark.parametrize("name", FILES)
def test_a_tutorial_lists_the_files_that_it_needs(name):
    [listed] = re.findall(r"```text\n(.*?)```", sections()[name], re.DOTALL)
    assert [line.split()[0] for line in listed.splitlines()] == list(FILES[name])


@pytest.mark.parametrize("name", FILES)
def test_a_tutorial_has_commands_that_exist(name):
    words = commands(name)
    assert len(words) >= 3
    assert {line[1] for line in words} <= cli.COMMANDS.keys()
    assert all("--features" in line for line in words if line[1] == "create")
