"""Runs in processes of their own beside one another, killed at any moment and started again."""

import json
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import zarr
from fake_extractors import CLASSES

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["heatmaps_ome.run.pipeline", "fake_extractors"])


def run_options(folder, slides, **changed):
    """Return the options of a run on slides of a folder, by their names."""
    given = {
        "slides": [str(folder / f"{name}.svs") for name in slides],
        "model_path": str(folder / "export.pkl"),
        "output_path": str(folder / "out"),
        "true_class": CLASSES[0],
        "extractor": "mean-colour",
        "formats": ("ome-zarr", "cells", "report"),
    }
    return given | changed


def work(options):
    """Run create in this process; any failure is its exit code."""
    from heatmaps_ome import extractors
    from heatmaps_ome.options import CreateOptions
    from heatmaps_ome.run.pipeline import create
    from heatmaps_ome.run.progress import silent

    extractors.REGISTRY["mean-colour"] = "fake_extractors:load_mean_colour"
    paths = {
        name: Path(options[name])
        for name in ("model_path", "output_path", "scaling", "cache_dir")
        if name in options
    }
    slides = tuple(map(Path, options["slides"]))
    outcomes = create(CreateOptions(**{**options, **paths, "slides": slides}), silent)
    if any(outcome.status == "failed" for outcome in outcomes):
        os._exit(3)


def started(options):
    """Return a process that runs create."""
    process = _CONTEXT.Process(target=work, args=(options,))
    process.start()
    return process


def run_beside(runs, kills=0, seed=0, longest_s=2.0):
    """Run all at once; kill and restart random ones; return exit codes when all have ended."""
    chance = random.Random(seed)
    processes = [started(options) for options in runs]
    for _ in range(kills):
        time.sleep(chance.uniform(0.05, longest_s))
        index = chance.randrange(len(runs))
        if processes[index].is_alive():
            os.kill(processes[index].pid, signal.SIGKILL)
        processes[index].join()
        processes[index] = started(runs[index])
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def content(output):
    """Return all that must not depend on the order of runs in an output folder.

    Returns
    -------
    dict
        Entries, raw values and labels of each slide, applied scaling, rows of the report, entries
        of the QuPath project.
    """
    page = (output / "index.html").read_text(encoding="utf-8")
    rows = json.loads(page.split('id="run">')[1].split("</script>")[0])["rows"]
    project = json.loads((output / "viewers" / "qupath" / "project.qpproj").read_text())
    slides = {}
    for path in sorted(output.glob("*/provenance.json")):
        record = json.loads(path.read_text())
        folder = path.parent
        slides[folder.name] = {
            "values": _arrays(folder / f"{folder.name}.values.ome.zarr"),
            "labels": _arrays(folder / f"{folder.name}.ome.zarr" / "labels"),
            "scaling": record["scaling"],
            "request": record["request"],
        }
    return {
        "entries": sorted(path.name for path in output.iterdir()),
        "slides": slides,
        "scaling": json.loads((output / "scaling.json").read_text()),
        "rows": sorted((row["slide"], row["status"], row.get("probability")) for row in rows),
        "project": sorted(
            (entry["imageName"], entry["serverBuilder"]["uri"], sorted(entry["metadata"].items()))
            for entry in project["images"]
        ),
        "list": sorted(
            (slide["slide"], slide["status"], slide["folder"])
            for slide in json.loads((output / "run.json").read_text())["slides"]
        ),
    }


def _arrays(folder):
    """Return the bytes of all arrays below a folder."""
    return {
        str(path.parent.relative_to(folder)): zarr.open_array(path.parent, mode="r")[:].tobytes()
        for path in sorted(folder.rglob(".zarray"))
    }
