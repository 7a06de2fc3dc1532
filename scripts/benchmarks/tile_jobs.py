"""Jobs on tiles that go through an encoder one by one, with weights of a seed."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from heatmaps_ome.extractors.protocol import TileEncoder

SIDE: Final = 224
MPP: Final = 0.5
"""Side of the tiles in network pixels, and µm per network pixel: 20x."""
_THRESHOLD: Final = 224.0


def seeded_weights(encoder: str, folder: Path) -> Path | None:
    """Return a file of weights of a seed for an encoder; None if it needs none."""
    import timm
    import torch
    from safetensors.torch import save_file

    from heatmaps_ome import extractors
    from heatmaps_ome.extractors.networks.building import inner, network_of

    if encoder in extractors.REGISTRY:
        return None
    torch.manual_seed(0)
    path = folder / f"{encoder.replace(':', '-')}.safetensors"
    recipe = extractors.find_recipe(encoder)
    # Those that are applied to regions are ResNet-50s.
    network = (
        timm.create_model("resnet50", num_classes=0)
        if recipe.is_dense
        else inner(network_of(recipe, "cpu"))
    )
    state = network.state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, path)
    return path


def loaded(encoder: str, weights: Path | None) -> TileEncoder:
    """Return an encoder on the CPU."""
    from heatmaps_ome.extractors import load_extractor

    return load_extractor(encoder, weights, "cpu", "auto")


def tiles(slide: str, out: str, encoder: str, overlap: str) -> None:
    """Run ``create`` with tiles, from the slide to all files."""
    from model_files import make_parts, write_export

    from benchmarks.jobs import clock
    from heatmaps_ome.memory import starting

    with starting():
        from heatmaps_ome.run import pipeline
    from heatmaps_ome.cli.arguments import OptionsParser
    from heatmaps_ome.options import CreateOptions

    folder = Path(out)
    folder.mkdir(parents=True)
    weights = seeded_weights(encoder, folder)
    channels = loaded(encoder, weights).channels
    write_export(folder / "model.pkl", parts=make_parts(n_inputs=channels))
    words = [
        slide, "-m", str(folder / "model.pkl"), "-o", str(folder / "out"), "-t", "MSIH",
        "--extractor", encoder, "--tile-px", str(SIDE), "--target-mpp", str(MPP),
        "--overlap", overlap,
    ]  # fmt: skip
    words += [] if weights is None else ["--extractor-weights", str(weights)]
    options = OptionsParser(CreateOptions, "create", "").parse_args(words)
    with clock():
        [outcome] = pipeline.create(options, lambda *_: None)
    if outcome.status != "done":
        raise RuntimeError(outcome.message)


def tiles_alone(slide: str, encoder: str, overlap: str) -> None:
    """Run the encoder on as many tiles of noise, which are there already, as the slide has."""
    from benchmarks.jobs import clock
    from heatmaps_ome.features.block_size import tiles_at_once
    from heatmaps_ome.features.tile_lattice import TileLattice, TileSize
    from heatmaps_ome.slides.opening import open_slide
    from heatmaps_ome.slides.tissue import tissue_cells

    opened = open_slide(Path(slide))
    lattice = TileLattice(opened, TileSize(SIDE, SIDE - int(overlap), MPP))
    count = lattice.on(tissue_cells(opened, lattice.cells, _THRESHOLD)).count
    opened.close()
    with TemporaryDirectory() as scratch:
        network = loaded(encoder, seeded_weights(encoder, Path(scratch)))
        network.prepare()
    size = tiles_at_once(network, SIDE, "cpu")
    noise = np.random.default_rng(0).integers(0, 256, (size, SIDE, SIDE, 3), np.uint8)
    with clock():
        for number in range(math.ceil(count / size)):
            network.tiles(noise[: min(size, count - number * size)])
