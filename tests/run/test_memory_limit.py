"""A run keeps to the memory of its container, as the kernel counts it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from control_groups import NoGroupError, memory_group
from model_files import make_parts, write_export

ROOT = Path(__file__).parents[2]
SLIDE = ROOT.parent / "shared" / "data" / "slides" / "CMU-1-Small-Region.svs"
MIB = 2**20


@pytest.mark.slow
@pytest.mark.skipif(not SLIDE.exists(), reason="needs ../shared/data")
def test_a_real_slide_and_a_resnet_50_fit_into_a_small_container(tmp_path):
    write_export(tmp_path / "export.pkl", parts=make_parts(n_inputs=2048), classes=("A", "B"))
    # Any numbers will do, as only memory counts.
    torch.save(timm.create_model("resnet50", num_classes=0).state_dict(), tmp_path / "weights.pth")
    words = [
        "create", str(SLIDE), "-m", str(tmp_path / "export.pkl"), "-t", "A",
        "-o", str(tmp_path / "out"), "--extractor-weights", str(tmp_path / "weights.pth"),
        "--formats", "ome-zarr,ome-tiff,png",
    ]  # fmt: skip
    try:
        with memory_group(1024 * MIB) as group:
            done = subprocess.run(
                [sys.executable, "-m", "heatmaps_ome.cli.main", *words],
                capture_output=True, text=True, check=False, cwd=ROOT, preexec_fn=group.enter,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip
            peak, kills = group.peak() / MIB, group.kills()
    except NoGroupError as error:
        pytest.skip(str(error))
    assert (done.returncode, kills) == (0, 0), f"{done.stderr}\nat most {peak:.0f} MiB"
    # A ResNet-50 and torch take some 300 MiB, so the run was in the group.
    assert 200 < peak < 900
