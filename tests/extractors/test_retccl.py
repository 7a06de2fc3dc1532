"""The real ResNet-50 trunk, with weights of a seed: RetCCL's own cannot be passed on."""

import os
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from make_test_weights import seeded_resnet50
from model_files import load_with_fastai
from safetensors.torch import save_file
from trunks import Resnet

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.extractors import load_extractor
from heatmaps_ome.extractors.dense import IMAGENET_MEAN, IMAGENET_STD
from heatmaps_ome.extractors.resnet50 import ResNet50
from heatmaps_ome.features.dense import Extraction, extract, feature_grid
from heatmaps_ome.features.pooling import Pooling
from heatmaps_ome.geometry import Window, network_pixels
from heatmaps_ome.maps.inference import compute_heatmaps
from heatmaps_ome.models import read_model
from heatmaps_ome.slides.opening import open_slide
from heatmaps_ome.slides.tissue import tissue_cells

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def state():
    return seeded_resnet50(0)


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "best_ckpt.pth"
    torch.save(state, path)
    return path


@pytest.fixture(scope="module")
def extractor(weights):
    return load_extractor("retccl", weights, "cpu", "float32")


def noise(rows, cols, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (rows, cols, 3), dtype=np.uint8)


def test_a_tiles_feature_is_the_mean_of_its_map(extractor):
    resnet = Resnet().resnet
    pixels = noise(224, 224)
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    image = (image - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[
        :, None, None
    ]
    with torch.inference_mode():
        expected = resnet.eval()(image)[0].numpy()
    np.testing.assert_allclose(extractor(pixels).mean(axis=(1, 2)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [(224, 224), (33, 65), (300, 517)])
def test_the_trunk_is_timms_to_the_last_bit(state, size):
    trunk, timms = ResNet50(), Resnet()
    trunk.load_state_dict(state)
    images = torch.randn(2, 3, *size)
    with torch.inference_mode():
        assert torch.equal(trunk.eval()(images), timms.eval()(images))


def test_building_it_imports_no_compiler(weights):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from heatmaps_ome.extractors import load_extractor\n"
        f"load_extractor('retccl', Path({str(weights)!r}), 'cpu', 'auto').prepare()\n"
        "slow = {'timm', 'torchvision', 'torch._dynamo', 'sympy'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("size", [(33, 65), (224, 300), (517, 64)])
def test_every_part_of_32_pixels_gives_a_cell(extractor, size):
    assert extractor(noise(*size)).shape == (2048, -(-size[0] // 32), -(-size[1] // 32))


def test_a_halo_of_224_pixels_is_enough(extractor):
    whole = extractor(noise(960, 512))
    assert extractor.halo_px == 224
    # Rows 352.. with the halo above: cells from row 11 on must be those of the whole image.
    part = extractor(noise(960, 512)[352 - 224 :])[:, 7:]
    scale = np.abs(whole).max()
    assert np.abs(part - whole[:, 11:]).max() < 1e-4 * scale
    # With 128 px it shows: the halo is not chosen too large, nor the weights too tame to tell.
    short = extractor(noise(960, 512)[352 - 128 :])[:, 4:]
    assert np.abs(short - whole[:, 11:]).max() > 1e-2 * scale


def test_a_cell_is_centred_on_the_pixel_that_is_said(extractor):
    images = torch.zeros(1, 3, 544, 544, requires_grad=True)
    cell = 8
    # What has been made ready for speed knows no gradient.
    extractor.build()(images + 0.1 * torch.randn_like(images))[0, :, cell, cell].sum().backward()
    weight = images.grad.abs().sum(dim=(0, 1)).numpy()
    centres = np.arange(544) + 0.5
    for axis in (0, 1):
        along = weight.sum(axis=1 - axis)
        centroid = (along * centres).sum() / along.sum()
        # models.md D.4 measured 32k + 0.4…1.6 and 32k - 1.6…+0.2; a quarter cell is 8 px.
        assert centroid == pytest.approx(32 * cell + extractor.centre_px, abs=4)


def test_weights_may_come_as_safetensors_and_with_a_classifier_on_top(state, tmp_path, extractor):
    save_file(state, tmp_path / "w.safetensors")
    torch.save(state | {"fc.weight": torch.zeros(128, 2048)}, tmp_path / "fc.pth")
    pixels = noise(64, 64)
    for name in ("w.safetensors", "fc.pth"):
        again = load_extractor("retccl", tmp_path / name, "cpu", "float32")
        assert np.array_equal(again(pixels), extractor(pixels))


def test_other_weights_have_another_digest(tmp_path, extractor, state):
    changed = dict(state)
    changed["conv1.weight"] = changed["conv1.weight"] + 1e-6
    torch.save(changed, tmp_path / "other.pth")
    assert (
        load_extractor("retccl", tmp_path / "other.pth", "cpu", "float32").digest
        != extractor.digest
    )


def test_missing_weights_are_asked_for(tmp_path):
    with pytest.raises(ExtractorError, match=r"RetCCL authors .*--extractor-weights"):
        load_extractor("retccl", None, "cpu", "float32")
    with pytest.raises(ExtractorError, match="no such file"):
        load_extractor("retccl", tmp_path / "missing.pth", "cpu", "float32")


class Trap:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def test_weights_cannot_run_code(tmp_path):
    torch.save({"conv1.weight": Trap(tmp_path / "ran")}, tmp_path / "trap.pth")
    with pytest.raises(ExtractorError, match="without running code"):
        load_extractor("retccl", tmp_path / "trap.pth", "cpu", "float32").prepare()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04broken"])
def test_what_is_no_file_of_weights_is_refused(tmp_path, content):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ExtractorError, match=r"w\.pth"):
        load_extractor("retccl", tmp_path / "w.pth", "cpu", "float32").prepare()


def test_packed_weights_are_refused_unread(tmp_path):
    """200 MiB of zeros in 200 kB: torch would unpack them all."""
    torch.save({"conv1.weight": torch.zeros(50 << 20)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    tracemalloc.start()
    try:
        with pytest.raises(ExtractorError, match=r"packed\.pth is no plain file"):
            load_extractor("retccl", tmp_path / "packed.pth", "cpu", "float32").prepare()
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()


def test_weights_of_another_network_are_refused(tmp_path, state):
    fewer = {key: value for key, value in state.items() if not key.startswith("layer4")}
    torch.save(fewer, tmp_path / "fewer.pth")
    with pytest.raises(ExtractorError, match="weights of RetCCL: it lacks layer4"):
        load_extractor("retccl", tmp_path / "fewer.pth", "cpu", "float32").prepare()


@pytest.mark.slow
def test_maps_of_a_real_slide_are_those_of_the_model_on_the_whole_image(
    extractor, shared_data, tmp_path
):
    """The slide's features in one pass, and marugoto's formulas written out."""
    slide = open_slide(shared_data / "slides" / "CMU-1-Small-Region.svs")
    export = shared_data / "models" / "katherlab-crc2022-isMSIH-export-0.pkl"
    model = read_model(export)
    grid = feature_grid(slide, extractor, 256 / 224)
    tissue = tissue_cells(slide, grid, 224)
    how = Extraction(256 / 224, 512, 2, tmp_path)
    store = extract(slide, extractor, tissue, how, lambda done, total: None)
    heatmaps = compute_heatmaps(slide, grid, tissue, store, Pooling(), model)

    pixels = network_pixels(slide.shape, slide.mpp, 256 / 224)
    whole = extractor(slide.read(pixels, Window(0, 0, *pixels.shape)))
    slide.close()
    features = torch.from_numpy(whole * tissue)
    box = torch.nn.AvgPool2d(7, 1, padding=3, count_include_pad=True)
    share = box(torch.from_numpy(tissue.astype(np.float32))[None])
    pooled = (box(features) / share.clamp_min(1e-6))[:, torch.from_numpy(tissue)].T
    state = load_with_fastai(export).model.state_dict()
    with torch.inference_mode():
        embedded = torch.relu(pooled @ state["encoder.0.weight"].T + state["encoder.0.bias"])
        hidden = torch.tanh(embedded @ state["attention.0.weight"].T + state["attention.0.bias"])
        attention = (hidden @ state["attention.2.weight"].T + state["attention.2.bias"])[:, 0]
        norm = (embedded - state["head.1.running_mean"]) / torch.sqrt(
            state["head.1.running_var"] + 1e-5
        )
        norm = norm * state["head.1.weight"] + state["head.1.bias"]
        scores = torch.softmax(norm @ state["head.3.weight"].T + state["head.3.bias"], dim=1)
    np.testing.assert_allclose(heatmaps.attention[tissue], attention.numpy(), rtol=1e-4)
    np.testing.assert_allclose(heatmaps.scores[:, tissue].T, scores.numpy(), rtol=1e-3, atol=1e-6)
