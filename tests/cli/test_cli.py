"""The command line as users meet it, in processes of its own where that matters."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_extractors import CLASSES
from model_files import make_parts, write_export
from slide_files import speckled, write_slide

from heatmaps_ome import extractors
from heatmaps_ome.cli import main as cli
from heatmaps_ome.options import ConvertOptions, CreateOptions, DemoOptions, InfoOptions, flags_of

ROOT = Path(__file__).parents[2]
REFERENCE_FLAGS = {
    # README of KatherLab/highres-WSI-heatmaps and its last create_heatmaps.py:25-137.
    "-m", "--model-path", "-o", "--output-path", "-t", "--true-class", "--from-file", "--no-pool",
    "--blur-kernel-size", "--cache-dir", "--force-cpu", "--mask-threshold",
    "--att-upper-threshold", "--att-lower-threshold", "--score-threshold", "--att-cmap",
    "--score-cmap", "--att-alpha", "--score-alpha",
}  # fmt: skip


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A slide, a model and an extractor without weights."""
    monkeypatch.setitem(extractors.REGISTRY, "mean-colour", "fake_extractors:load_mean_colour")
    write_slide(tmp_path / "a.svs", speckled(300, 400))
    write_export(tmp_path / "export.pkl", parts=make_parts(n_inputs=3))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def create_words(*more):
    return [
        "create", "a.svs", "-m", "export.pkl", "-o", "out", "-t", CLASSES[0],
        "--extractor", "mean-colour", *more,
    ]  # fmt: skip


def test_create_says_what_it_wrote_and_how_to_open_it(here, capsys):
    assert cli.main(create_words("--verbose")) == 0
    out, err = capsys.readouterr()
    assert "a.svs: done (" in out
    named = re.findall(r"out(?:/[^\s,;:]+)?", out)
    assert {"out", "out/a", "out/viewers/qupath/project.qpproj", "out/run.json"} <= set(named)
    assert [each for each in named if not Path(each).exists()] == []
    kinds = set(re.findall(r"^  \*(\S+)", out, re.MULTILINE))
    assert all(any(path.name.endswith(kind) for path in Path("out/a").rglob("*")) for kind in kinds)
    assert {".png", ".ome.tiff", ".values.ome.tiff", ".ome.zarr", ".cells.csv"} <= kinds
    assert "a: maps\n" in err
    assert "a: files" in err
    assert not set("\r\x1b█") & set(out + err)


def test_failures_give_1_and_the_others_are_done(here, capsys):
    (here / "b.svs").write_text("no slide")
    assert cli.main(["create", "b.svs", *create_words()[1:]]) == 1
    out, _ = capsys.readouterr()
    assert "2 slides: 1 failed, 1 done; drawn hot: MSIH" in out
    assert re.search(r"^b\.svs +failed$", out, re.MULTILINE)
    assert re.search(r"^a\.svs +(non)?MSIH +0\.[0-9]+ +(good|fair|low|unknown)", out, re.MULTILINE)
    assert "\nFailed:\n  b.svs " in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["create", "a.svs", "-m", "export.pkl", "-t", "MSIH"], "required: -o/--output-path"),
        (create_words("--att-alpha", "2"), "--att-alpha is 2"),
        (create_words("--att-lower-threshold", "1"), "below --att-upper-threshold"),
        (create_words("--blur-kernel-size", "4"), "odd"),
        (create_words("--blur-kernel-size", "3", "--no-pool"), "contradicts"),
        (create_words("--formats", "ome-zarr,gif"), "unknown 'gif'"),
        (create_words("--mpp", "0"), "--mpp is 0"),
        (create_words("--covariate", "AGE"), "--covariate"),
        (create_words("--device", "cpu0x"), "device"),
        (create_words("--force-cpu", "--device", "cuda"), "contradicts"),
        (create_words("--att-cmap", "magmaa"), "magma"),
        (create_words("--classes", "nonsense"), "no class 'nonsense'"),
        (create_words("--no-such-option"), "no such option"),
        (["paint"], "no command 'paint'"),
    ],
)
def test_a_wrong_command_line_gives_2_and_one_sentence(here, capsys, words, said):
    try:
        code = cli.main(words)
    except SystemExit as stop:
        code = stop.code
    assert code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_help_is_quick_to_import(command):
    code = (
        "import sys\nfrom heatmaps_ome.cli.main import main\n"
        f"try: main([{command!r}, '--help'])\nexcept SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'torch', 'fastai', 'timm', 'zarr', 'matplotlib', 'pyvips', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "usage: heatmaps-ome" in done.stdout


def test_info_needs_no_torch(here):
    code = (
        "import sys\nfrom heatmaps_ome.cli.main import main\n"
        "assert main(['info', 'a.svs', 'export.pkl']) == 0\n"
        "assert not {'torch', 'fastai', 'timm'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=here,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "0.5 × 0.5 µm" in done.stdout
    assert "MSIH, nonMSIH" in done.stdout


def test_info_knows_results_runs_and_stores(here, capsys):
    cli.main(create_words())
    capsys.readouterr()
    assert cli.main(["info", "out", "out/a", "out/a/a.ome.zarr", "out/a/a.values.ome.zarr"]) == 0
    out, _ = capsys.readouterr()
    assert "run of heatmaps-ome" in out
    assert "result of heatmaps-ome" in out
    assert out.count(": OME-Zarr") == 2
    assert "attention, score-MSIH" in out
    assert "as a slide" not in out


def test_info_on_nothing_known_gives_1(here, capsys):
    (here / "text").write_text("x")
    assert cli.main(["info", "text", "missing", str(here)]) == 1
    assert capsys.readouterr().err.count("heatmaps-ome: ") == 3


def test_a_converted_model_gives_identical_values(here, capsys):
    assert cli.main(["convert-model", "export.pkl", "model.safetensors"]) == 0
    assert cli.main(create_words()) == 0
    words = create_words()
    words[words.index("export.pkl")] = "model.safetensors"
    words[words.index("out")] = "out2"
    assert cli.main(words) == 0
    stores = [here / out / "a" / "a.values.ome.zarr" / "0" for out in ("out", "out2")]
    chunks = [sorted(p.relative_to(s) for p in s.rglob("*") if p.is_file()) for s in stores]
    assert chunks[0] == chunks[1]
    for name in chunks[0]:
        assert (stores[0] / name).read_bytes() == (stores[1] / name).read_bytes()
    capsys.readouterr()
    assert cli.main(["convert-model", "export.pkl", "model.safetensors"]) == 1
    assert "exists" in capsys.readouterr().err


def test_every_option_of_the_reference_is_ours():
    assert set(flags_of(CreateOptions)) >= REFERENCE_FLAGS


def test_the_references_command_line_runs(here):
    import importlib.util

    spec = importlib.util.spec_from_file_location("script", ROOT / "scripts/create_heatmaps.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    words = [
        "-m", "export.pkl", "-o", "out", "-t", "MSIH", "--no-pool", "--cache-dir", "cache",
        "--mask-threshold", "220", "--att-upper-threshold", "0.99", "--att-lower-threshold", "0.02",
        "--score-threshold", "0.9", "--att-cmap", "viridis", "--score-cmap", "bwr",
        "--blur-kernel-size", "0", "--att-alpha", "0.4", "--score-alpha", "0.9",
        "--force-cpu", "True", "a.svs",
    ]  # fmt: skip
    extra = ["--extractor", "mean-colour"]
    assert cli.create(script.translated([*extra, *words])) == 0
    assert cli.create(script.translated([*extra, *words, "--att-alpha", "0.1"])) == 0


def test_the_script_translates_the_originals_habits(tmp_path, monkeypatch):
    import importlib.util

    spec = importlib.util.spec_from_file_location("script", ROOT / "scripts/create_heatmaps.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.chdir(tmp_path)
    assert script.translated(["--force-cpu", "False", "a"]) == ["a", "--overwrite"]
    assert script.translated(["--force-cpu", "a"]) == ["--force-cpu", "a", "--overwrite"]
    (tmp_path / "xiyue-wang.pth").touch()
    assert "--extractor-weights=xiyue-wang.pth" in script.translated(["a"])
    assert script.translated(["--extractor=tiny"]) == ["--extractor=tiny", "--overwrite"]


@pytest.mark.parametrize("options", [CreateOptions, DemoOptions, ConvertOptions, InfoOptions])
def test_no_two_options_share_a_flag(options):
    flags = flags_of(options)
    assert len(flags) == len(set(flags))


def test_the_version_is_said(capsys):
    import heatmaps_ome

    assert cli.main(["--version"]) == 0
    assert heatmaps_ome.__version__ in capsys.readouterr().out
