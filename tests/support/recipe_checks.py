"""Uses what the recipes of CONTRIBUTING have added to a copy of the package, one check each.

``python -m recipe_checks FOLDER``, with the copy on PYTHONPATH, works in that folder.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sys
import traceback
from pathlib import Path

import matplotlib as mpl
import numpy as np
import tifffile
import zarr
from model_files import make_parts, write_export
from scipy.special import softmax
from scipy.stats import entropy as entropy_of
from slide_files import speckled, write_slide

import heatmaps_ome
from heatmaps_ome import extractors
from heatmaps_ome.cli import main as cli
from heatmaps_ome.maps.store import read_values
from heatmaps_ome.options import CreateOptions
from heatmaps_ome.options.fields import flags_of
from heatmaps_ome.validate.result import validate

CLASSES = ("MSIH", "nonMSIH")


def run(out: Path, *words: str, slide: Path | None = None, extractor: str = "fake") -> str:
    """Run ``create`` on a small slide as the command line does, and return its closing lines."""
    extractors.REGISTRY["fake"] = "fake_extractors:load_mean_colour"
    if slide is None:
        slide = write_slide(out / "slide.svs", speckled(420, 560))
    write_export(out / "export.pkl", parts=make_parts(n_inputs=3))
    lines = io.StringIO()
    with contextlib.redirect_stdout(lines):
        code = cli.main([
            "create", str(slide), "-m", str(out / "export.pkl"), "-o", str(out / "out"),
            "-t", CLASSES[0], "--extractor", extractor, "--force-cpu",
            "--top-tiles", "0", "--consistency-tiles", "0", *words,
        ])  # fmt: skip
    assert code == 0
    return lines.getvalue()


def maps_json(out: Path) -> dict:
    return json.loads((out / "out" / "slide" / "maps.json").read_text(encoding="utf-8"))


def help_of_create() -> str:
    """Return ``create --help`` in one line."""
    lines = io.StringIO()
    with contextlib.redirect_stdout(lines), contextlib.suppress(SystemExit):
        cli.main(["create", "--help"])
    return " ".join(lines.getvalue().split())


def map_kind(out: Path) -> None:
    run(out, "--formats", "ome-zarr,ome-tiff,png,cells,report")
    folder = out / "out" / "slide"
    heatmaps = read_values(folder / "slide.values.ome.zarr")
    stored, tissue = heatmaps.maps["entropy"], heatmaps.tissue
    wanted = entropy_of(heatmaps.scores.astype(np.float64), base=2, axis=0)
    assert np.allclose(stored[tissue], wanted[tissue], atol=1e-5)
    assert len(np.unique(stored[tissue])) > 5
    assert np.isnan(stored[~tissue]).all()
    assert "entropy" in zarr.open_group(folder / "slide.ome.zarr" / "labels").attrs["labels"]
    with tifffile.TiffFile(folder / "slide.entropy.ome.tiff") as overlay:
        assert len(np.unique(overlay.series[0].levels[0].asarray()[..., :3])) > 2
    assert any("entropy" in path.name for path in (folder / "previews").iterdir())
    part = json.loads((folder / "slide.report.json").read_text(encoding="utf-8"))
    for listed in (part["maps"], maps_json(out)["maps"]):
        [own] = [found for found in listed if found["kind"] == "entropy"]
        assert (own["title"], own["unit"], own["class"]) == ("Entropy", "bit", None)
    with (folder / "slide.cells.csv").open(encoding="utf-8", newline="") as file:
        column = [float(row["entropy"]) for row in csv.DictReader(file)]
    assert np.array_equal(np.float32(column), stored[tissue])
    problems = validate(out / "out").problems
    assert not problems, problems


def option(out: Path) -> None:
    assert "--spread-cmap" in flags_of(CreateOptions)
    assert "colour map of the spread over several models (default: viridis)" in help_of_create()
    write_export(out / "other.pkl", parts=make_parts(n_inputs=3, seed=1))
    words = ("-m", str(out / "other.pkl"), "--formats", "ome-tiff")
    run(out, *words)
    before = spread_of(out)
    run(out, *words, "--spread-cmap", "plasma", "--overwrite")
    after = spread_of(out)
    assert (before["colour_map"], after["colour_map"]) == ("viridis", "plasma")
    assert before["levels"] == after["levels"]
    for drawn in (before, after):
        last = mpl.colors.to_hex(mpl.colormaps[drawn["colour_map"]](1.0))
        assert drawn["colours"][-1] == last
    text = (out / "out" / "slide" / "provenance.json").read_text(encoding="utf-8")
    assert json.loads(text)["options"]["spread_cmap"] == "plasma"
    problems = validate(out / "out").problems
    assert not problems, problems


def spread_of(out: Path) -> dict:
    [found] = [found for found in maps_json(out)["maps"] if found["name"] == "sd-score-MSIH"]
    return found


def format_(out: Path) -> None:
    lines = run(out, "--formats", "prediction", "--verbose")
    assert "*.prediction.csv   a spreadsheet (one row a class)\n" in lines
    found = maps_json(out)
    assert found["prediction_csv"] == "slide.prediction.csv"
    with (out / "out" / "slide" / found["prediction_csv"]).open(encoding="utf-8") as file:
        rows = {row["class"]: float(row["probability"]) for row in csv.DictReader(file)}
    assert rows == found["prediction"]
    assert abs(sum(rows.values()) - 1) < 1e-6
    assert "tiles,prediction,report" in help_of_create()


def slide_reader(out: Path) -> None:
    np.save(out / "slide.npy", speckled(420, 560))
    run(out, "--mpp", "0.5", "--formats", "cells", slide=out / "slide.npy")
    from_array = read_values(out / "out" / "slide" / "slide.values.ome.zarr")
    assert from_array.tissue_cells > 10
    run(out, "--formats", "cells", "-o", str(out / "svs"))
    from_svs = read_values(out / "svs" / "slide" / "slide.values.ome.zarr")
    for kind in ("attention", "score"):
        assert np.allclose(from_array.maps[kind], from_svs.maps[kind], 1e-3, 1e-4, equal_nan=True)


def encoder(out: Path) -> None:
    assert "mean-colour" in extractors.extractor_names()
    encoder = extractors.load_extractor("mean-colour", None, "cpu", "float32")
    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    pixels[32:64, :32] = (200, 30, 90)
    features = encoder(pixels)
    means = pixels.reshape(3, 32, 4, 32, 3).mean(axis=(1, 3)) / 255
    wanted = (means - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    assert np.allclose(features, wanted.transpose(2, 0, 1), atol=1e-4)
    run(out, "--formats", "cells", extractor="mean-colour")
    text = (out / "out" / "slide" / "provenance.json").read_text(encoding="utf-8")
    assert (
        json.loads(text)["extractor"]["digest"]
        == extractors.load_extractor(
            "mean-colour", None, "cpu", json.loads(text)["extractor"]["precision"]
        ).digest
    )


def model_family(out: Path) -> None:
    import torch
    from safetensors.numpy import save_file

    from heatmaps_ome.models import describe_model, read_model

    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(2, 3)), rng.normal(size=2)
    tensors = {"weight": np.float32(weight), "bias": np.float32(bias)}
    path = out / "linear.safetensors"
    save_file(tensors, path, {"linear_classes": json.dumps(CLASSES)})
    unpickled = []
    sys.addaudithook(lambda event, _: unpickled.append(event) if "pickle" in event else None)
    model = read_model(path)
    assert unpickled == []
    found = describe_model(path)
    assert (found.kind, found.classes, found.n_features) == ("linear safetensors", CLASSES, 3)
    features = rng.normal(size=(5, 3)).astype(np.float32)
    cells = model.embed(torch.from_numpy(features))
    shares = torch.softmax(model.attention_logits(cells), dim=0)
    slide = model.class_logits((shares[:, None] * cells).sum(dim=0, keepdim=True))
    wanted = softmax(features.mean(axis=0) @ weight.T + bias)
    assert np.allclose(softmax(slide.numpy()[0]), wanted, atol=1e-6)
    path.write_bytes(path.read_bytes()[:-4])
    assert cli.main(["info", str(path)]) == 1


CHECKS = {
    "A map kind": map_kind,
    "An option": option,
    "A format": format_,
    "A slide reader": slide_reader,
    "An encoder": encoder,
    "A model family": model_family,
}


def main(folder: Path) -> None:
    """Write as JSON which package was used, and the traceback of each check, empty if it passed."""
    failures = {}
    for index, (recipe, check) in enumerate(CHECKS.items()):
        own = folder / str(index)
        own.mkdir()
        try:
            check(own)
        except Exception:  # noqa: BLE001 - the test that reads this fails with it
            failures[recipe] = traceback.format_exc()
        else:
            failures[recipe] = ""
    package = str(Path(heatmaps_ome.__file__).parent)
    text = json.dumps({"package": package, "failures": failures})
    (folder / "checks.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
