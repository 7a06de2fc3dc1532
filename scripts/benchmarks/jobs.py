"""The jobs to measure; each is run by ``python -m benchmarks.jobs NAME WORDS`` on its own."""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.tile_jobs import tiles, tiles_alone
from heatmaps_ome.geometry import YX, Grid, Shape, network_pixels, tiles_of
from heatmaps_ome.memory import tune_torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from heatmaps_ome.display.display_map import DisplayMap
    from heatmaps_ome.exporters.protocol import SlideResult
    from heatmaps_ome.extractors.protocol import Extractor
    from heatmaps_ome.geometry import Window

TARGET_MPP = 256 / 224
MASK_THRESHOLD = 224.0
NO_FILES = {"model_path": Path(), "output_path": Path()}
"""Required options, without meaning where only other options' defaults are used."""
IMAGE_SIDE = 8192
DEVICE_SLIDES = 12
DEVICE_BLOCK_PX = 1280
DEVICE_S_PER_MPX = 2.0
"""Time of a stand-in for a GPU per million network pixels: such that reading keeps up with it."""
OVERLAY_CELLS = Shape(938, 1250)
OVERLAY_L0 = Shape(80_000, 100_000)


@contextmanager
def clock() -> Iterator[None]:
    """Print the wall seconds, the processor seconds and the peak memory at the block's end."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    figures = {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    print(json.dumps({**figures, "rss_mib": peak_mib()}))


def peak_mib() -> float | None:
    """Return the peak memory of this process; None where only the system that began it knows it.

    getrusage's counts the memory of the process that this one was forked from, too.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peaks = [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")]
    return peaks[0] if peaks else None


def make(folder: str, *names: str) -> None:
    """Write the slides with these names and the networks, unless they exist."""
    from benchmarks import slides

    sizes = {size.name: size for size in slides.SIZES}
    fourfold = {slides.fourfold(size).name: size for size in slides.SIZES}
    with clock():
        slides.make_networks(Path(folder))
        for name in names:
            if name in fourfold:
                slides.make_fourfold(fourfold[name], Path(folder))
            else:
                slides.make_slide(sizes[name], Path(folder))


def whole(slide: str, weights: str, model: str, out: str, *more: str) -> None:
    """Run ``create`` from the slide to all files."""
    from heatmaps_ome.memory import starting

    # As in the command line.
    with starting():
        from heatmaps_ome.run import pipeline
    from heatmaps_ome.cli.arguments import OptionsParser
    from heatmaps_ome.options import CreateOptions

    words = [slide, "-m", model, "-o", out, "-t", "MSIH", "--extractor-weights", weights, *more]
    options = OptionsParser(CreateOptions, "create", "").parse_args(words)
    with clock():
        [outcome] = pipeline.create(options, lambda *_: None)
    if outcome.status != "done":
        raise RuntimeError(outcome.message)


def reference(slide: str, weights: str, out: str) -> None:
    """Run the reference's algorithm from the slide to its files."""
    from model_files import make_parts

    from benchmarks.baseline import run_reference

    # As in the reference: float32, and not optimised for speed.
    trunk = _extractor(weights).build()
    parts = make_parts(n_inputs=2048, n_hidden=256)
    with clock():
        run_reference(Path(slide), trunk, parts, Path(out))


def network(slide: str, weights: str, precision: str, made: str = "plain") -> None:
    """Run the bare network on noise of the shapes of the slide's tissue blocks and plain tiles.

    Parameters
    ----------
    made : "plain" or "ready"
        timm's network with the precision and the memory layout of a run, or the network as
        optimised by a run.
    """
    import timm
    import torch

    from heatmaps_ome.extractors.precision import DTYPES
    from heatmaps_ome.features.block_size import block_px

    extractor = _extractor(weights, precision)
    passes = _passes(slide, extractor, block_px(extractor, "cpu"))
    dtype = DTYPES[extractor.precision]
    if made == "ready":
        trunk = extractor.trunk
    else:
        # Random weights take as long as any.
        resnet = timm.create_model("resnet50", num_classes=0).eval()
        resnet.to(dtype=dtype, memory_format=torch.channels_last)

        def trunk(images: torch.Tensor, _: Window | None) -> torch.Tensor:
            return resnet.forward_features(images)

    images = {
        shape: torch.rand(shape).to(dtype).contiguous(memory_format=torch.channels_last)
        for shape, _ in passes
    }
    with clock(), torch.inference_mode():
        for shape, keep in passes:
            trunk(images[shape], keep)


def devices(slide: str, out: str, *names: str) -> None:
    """Make the maps of several slides on stand-ins for GPUs.

    Parameters
    ----------
    *names : str
        A name for each device.
    """
    import pytest
    import stand_in_gpu

    from heatmaps_ome.memory import starting

    with starting():
        from heatmaps_ome.run import pipeline
    from model_files import make_parts, write_export

    from heatmaps_ome.options import MapsOptions

    folder = Path(out)
    folder.mkdir(parents=True)
    write_export(folder / "export.pkl", parts=make_parts(n_inputs=3))
    content, slides = Path(slide).read_bytes(), []
    for number in range(DEVICE_SLIDES):
        slides.append(folder / f"{number}.svs")
        # Other slides, as far as the cache knows.
        slides[-1].write_bytes(content + bytes([number]))
    options = MapsOptions(
        tuple(slides), model_path=folder / "export.pkl", output_path=folder / "out",
        true_class="MSIH", extractor=stand_in_gpu.NAME, precision="float32",
        block_size=DEVICE_BLOCK_PX,
    )  # fmt: skip
    stand_in_gpu.install(pytest.MonkeyPatch(), *names, seconds_per_mpx=DEVICE_S_PER_MPX)
    with clock():
        outcomes = pipeline.maps(options, lambda *_: None)
    if any(outcome.status != "done" for outcome in outcomes):
        raise RuntimeError(", ".join(outcome.message for outcome in outcomes))


def devices_alone(slide: str) -> None:
    """Run a stand-in for a GPU on pixels of the shapes of those slides, which are there already."""
    from stand_in_gpu import StandIn

    extractor = StandIn(seconds_per_mpx=DEVICE_S_PER_MPX)
    passes = _passes(slide, extractor, DEVICE_BLOCK_PX)
    images = {shape: np.zeros((shape[0], *shape[2:], 3), np.uint8) for shape, _ in passes}
    with clock():
        for shape, keep in passes * DEVICE_SLIDES:
            if keep is None:
                extractor.tiles(images[shape])
            else:
                extractor(images[shape][0], keep)


def read(slide: str) -> None:
    """Read all of a slide at the network's resolution as the pipeline does."""
    from heatmaps_ome.slides.opening import open_slide
    from heatmaps_ome.slides.reading import read_strips

    opened = open_slide(Path(slide))
    lattice = network_pixels(opened.shape, opened.mpp, TARGET_MPP)
    with clock():
        for _ in read_strips(opened, lattice, 512, 2):
            pass


def read_reference(slide: str) -> None:
    """Read all of a slide at the network's resolution as the reference does."""
    import openslide
    from reference import slide_mosaic

    with openslide.OpenSlide(slide) as opened, clock():
        slide_mosaic(opened)


def image(slide: str) -> None:
    """Write a picture's pyramid as the exporter does."""
    from heatmaps_ome.ome.ngff import multiscales
    from heatmaps_ome.ome.ngff_store import create_group, create_rgb_levels
    from heatmaps_ome.ome.pyramid import CHUNK, levels_from_strips, n_levels, write_rgb

    pixels = _picture(slide)
    shape = Shape(*pixels.shape[:2])
    levels = n_levels(shape, CHUNK)
    with TemporaryDirectory() as scratch, clock():
        entry = multiscales("image", YX(1.0, 1.0), levels, "mean")
        group = create_group(Path(scratch) / "image.ome.zarr", {"multiscales": [entry]})
        arrays = create_rgb_levels(group, shape, levels)
        strips = (pixels[top : top + CHUNK] for top in range(0, shape.rows, CHUNK))
        for level, row, strip in levels_from_strips(strips, levels, CHUNK):
            write_rgb(arrays[level], row, strip)


def image_ome_zarr(slide: str) -> None:
    """Write the same picture with ome-zarr-py's write_image."""
    import zarr
    from ome_zarr.format import FormatV04
    from ome_zarr.writer import write_image

    pixels = np.ascontiguousarray(np.moveaxis(_picture(slide), 2, 0))
    with TemporaryDirectory() as scratch, clock():
        group = zarr.open_group(Path(scratch) / "image.ome.zarr", mode="w", zarr_format=2)
        write_image(
            pixels, group, axes="cyx", fmt=FormatV04(),
            storage_options={"chunks": (3, 512, 512)},
        )  # fmt: skip


def overlay(*l0_pixel: str) -> None:
    """Write the overlay of a slide of 8 gigapixels as the exporter does.

    Parameters
    ----------
    *l0_pixel : str
        Level-0 pixels of an overlay's pixel; none for the default.
    """
    from heatmaps_ome.exporters.protocol import Settings
    from heatmaps_ome.exporters.tiff import TiffExporter

    drawn, result = _map()
    exporter = TiffExporter(Settings(overlay_px=int(l0_pixel[0]) if l0_pixel else None))
    with TemporaryDirectory() as scratch, clock():
        exporter.write_overlay(drawn, result, Path(scratch))


def overlay_upsampled() -> None:
    """Write the same overlay at full resolution, enlarged by libvips."""
    import pyvips

    from heatmaps_ome.display.rasterise import coloured_cells

    drawn, _ = _map()
    with TemporaryDirectory() as scratch, clock():
        cells = pyvips.Image.new_from_array(coloured_cells(drawn)).copy(interpretation="srgb")
        cells.zoom(round(drawn.grid.l0_cell.x), round(drawn.grid.l0_cell.y)).tiffsave(
            str(Path(scratch) / "a.tiff"), compression="deflate", tile=True, tile_width=256,
            tile_height=256, pyramid=True, subifd=True, bigtiff=True, predictor="none",
        )  # fmt: skip


def fit(n_slides: str) -> None:
    """Fit a scaling to slides of 40,000 cells and two classes, of which twenty differ."""
    from fakes import covering_grid, heatmap_set

    from heatmaps_ome.display.scaling import Quantiles
    from heatmaps_ome.display.scaling_fit import fit_scaling
    from heatmaps_ome.display.sketch_file import write_sketch

    shape = Shape(6400, 6400)
    grid = covering_grid(shape)
    with TemporaryDirectory() as scratch:
        paths = [Path(scratch, f"{seed}.h5") for seed in range(20)]
        for seed, path in enumerate(paths):
            tissue = np.ones(grid.shape, bool)
            write_sketch(heatmap_set(grid, shape, seed=seed, tissue=tissue), path)
        with clock():
            fit_scaling(paths * (int(n_slides) // len(paths)), Quantiles(), "", "", "")


def _passes(
    slide: str, extractor: Extractor, side: int
) -> list[tuple[tuple[int, int, int, int], Window | None]]:
    """Return the shapes of all that goes through the network, and the cells that are kept.

    Parameters
    ----------
    side : int
        Longest side of a block's core in network pixels.
    """
    from heatmaps_ome.features.blocks import BlockPixels, plan_blocks
    from heatmaps_ome.features.dense import feature_grid
    from heatmaps_ome.features.plain_tiles import batches, spread, tissue_tiles
    from heatmaps_ome.features.pooling import TILE_CELLS
    from heatmaps_ome.options import CreateOptions
    from heatmaps_ome.slides.opening import open_slide
    from heatmaps_ome.slides.tissue import tissue_cells

    opened = open_slide(Path(slide))
    grid = feature_grid(opened, extractor, TARGET_MPP)
    tissue = tissue_cells(opened, grid, MASK_THRESHOLD)
    slide_px = network_pixels(opened.shape, opened.mpp, TARGET_MPP).shape
    pixels = BlockPixels(slide_px, extractor.stride_px, extractor.halo_px)
    options = CreateOptions(**NO_FILES)
    passes: list[tuple[tuple[int, int, int, int], Window | None]] = [
        ((1, 3, block.pixels.rows, block.pixels.cols), block.keep)
        for chunk in tiles_of(grid.shape, side // extractor.stride_px)
        for block in plan_blocks(tissue[chunk.slices], chunk, pixels)
    ]
    n_tiles = len(spread(tissue_tiles(tissue), options.consistency_tiles))
    tile_px = TILE_CELLS * extractor.stride_px
    sizes = batches(n_tiles, extractor, side)
    return [*passes, *(((size, 3, tile_px, tile_px), None) for size in sizes)]


def _extractor(weights: str, precision: str = "float32") -> Extractor:
    """Return the ResNet-50."""
    from heatmaps_ome.extractors import load_extractor

    return load_extractor("retccl", Path(weights), "cpu", precision)


def _picture(slide: str) -> np.ndarray:
    """Return the middle of a slide as a picture, (8192, 8192, 3) uint8 at most."""
    import openslide

    with openslide.OpenSlide(slide) as opened:
        cols, rows = (min(IMAGE_SIDE, side) for side in opened.dimensions)
        left, top = (opened.dimensions[0] - cols) // 2, (opened.dimensions[1] - rows) // 2
        return np.asarray(opened.read_region((left, top), 0, (cols, rows)).convert("RGB"))


def _map() -> tuple[DisplayMap, SlideResult]:
    """Return a map, of which a third is tissue in patches, and the result of a slide with it."""
    from fakes import FakeSlide, display_map, noise_rgb, slide_result
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    field = gaussian_filter(rng.normal(size=OVERLAY_CELLS), 20)
    levels = rng.integers(1, 256, OVERLAY_CELLS, dtype=np.uint8)
    levels[field < np.quantile(field, 0.65)] = 0
    slide = FakeSlide(noise_rgb(Shape(2, 2)), YX(0.25, 0.25))
    slide.shape = OVERLAY_L0
    l0_cell = YX(*(side / cells for side, cells in zip(OVERLAY_L0, OVERLAY_CELLS, strict=True)))
    grid = Grid(OVERLAY_CELLS, l0_cell, YX(0.0, 0.0), slide.mpp)
    drawn = display_map("attention", grid, levels)
    return drawn, slide_result(slide, grid, (drawn,))


JOBS: dict[str, Callable[..., None]] = {
    job.__name__: job
    for job in (make, whole, reference, network, devices, devices_alone, read, read_reference,
                 image, image_ome_zarr, overlay, overlay_upsampled, fit, tiles, tiles_alone)
}  # fmt: skip


if __name__ == "__main__":
    # As the command line does, before any job imports torch.
    tune_torch()
    JOBS[sys.argv[1]](*sys.argv[2:])
