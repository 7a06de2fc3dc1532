"""What a worker process makes and draws slides with: built once for a run, kept for its batches."""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from heatmaps_ome.errors import HeatmapsError, OptionError, OutputError
from heatmaps_ome.extractors.precision import resolved
from heatmaps_ome.run.attempts import Attempts, PreflightError
from heatmaps_ome.run.cluster.orders import PLENTY_GIB, Facts
from heatmaps_ome.run.devices import usable_device
from heatmaps_ome.run.drawing import Drawing
from heatmaps_ome.run.made_maps import MadeMaps
from heatmaps_ome.run.makers import maker_of, reading_of
from heatmaps_ome.run.making import Making
from heatmaps_ome.run.preflight import Plan, exporters_of
from heatmaps_ome.run.slide_work import do_all, draw_all, make_all
from heatmaps_ome.slides.reading import reading_threads

if TYPE_CHECKING:
    from heatmaps_ome.exporters.protocol import Exporter
    from heatmaps_ome.run.cluster.orders import Batch, Orders, Piece
    from heatmaps_ome.run.maker import Maker
    from heatmaps_ome.run.progress import Progress
    from heatmaps_ome.run.settings import RunSettings

_GIB = 2**30
_SAFE = 0.7
"""Share of its memory that a worker may take: from 0.8 on, Dask gives it nothing more to do."""


@dataclass(frozen=True, eq=False)
class Workshop:
    """All that slides are made and drawn with.

    Attributes
    ----------
    settings : RunSettings
        With this worker's share of threads and memory.
    maker : Maker or None
        None where the maps are there.
    """

    orders: Orders
    settings: RunSettings
    maker: Maker | None
    exporters: tuple[Exporter, ...]

    def do(self, piece: Piece, batch: Batch, progress: Progress) -> MadeMaps | None:
        """Do a slide, as this process alone would do it; its outcome takes the result.

        Returns
        -------
        MadeMaps or None
            The maps, if they are to be drawn later; None if the slide failed.
        """
        slide, item, scaling = piece.outcome, piece.item, batch.scaling
        if isinstance(item, MadeMaps):
            if scaling is None:
                raise AssertionError("maps are drawn with a scaling")
            draw_all(self._drawing(progress), [(item, slide)], scaling)
            return item
        making = Making(self._plan(batch), progress)
        if scaling is None:
            return next((made for made, _ in make_all(making, [(item, slide)])), None)
        do_all(making, self._drawing(progress), [(item, slide)], scaling)
        return None

    def _plan(self, batch: Batch) -> Plan:
        orders, maker = self.orders, self.maker
        if orders.making is None or maker is None:
            raise AssertionError("a batch without maps needs a maker")
        return Plan(
            settings=self.settings,
            maker=maker,
            look=orders.look,
            job=orders.making.job,
            shared=orders.making.shared,
            exporters=self.exporters,
            scaling=batch.scaling,
            replaced=orders.replaced,
            rows=(),
            names=batch.names,
            taken=batch.taken,
        )

    def _drawing(self, progress: Progress) -> Drawing:
        return Drawing(
            self.settings, self.orders.look, self.exporters, reading_of(self.settings),
            self.orders.replaced, progress,
        )  # fmt: skip


def facts_of(device: str, precision: str, folder: str, marker: str) -> dict[str, Any]:
    """Return the facts of this worker; see `worker.describe`."""
    if not Path(folder).is_dir() or not Path(folder, marker).exists():
        raise OutputError(
            f"the worker on {_host()} does not have {Path(folder, marker).parent}; workers need "
            "the slides and the output folder under the same paths as here"
        )
    try:
        device = usable_device(device)
    except OptionError as error:
        raise OptionError(f"the worker on {_host()}: {error}") from error
    return vars(Facts(_host(), _gpus(), resolved(precision, device)))


def workshop_of(orders: Orders, device: str, cores: int, memory: int | None) -> Workshop:
    """Return the workshop of this worker.

    Parameters
    ----------
    cores : int
        This worker's share of the machine.
    memory : int or None
        Bytes beyond which Dask ends this worker.

    Raises
    ------
    PreflightError
        If no maps can be made here.
    """
    torch.set_num_threads(max(1, cores))
    if orders.memory is None and memory is not None and memory < PLENTY_GIB * _GIB:
        orders = replace(orders, memory=_SAFE * memory / _GIB)
    settings = _with_share(orders, device, cores)
    maker = None if orders.making is None else _maker(orders, settings)
    return Workshop(orders, settings, maker, exporters_of(settings))


def _maker(orders: Orders, settings: RunSettings) -> Maker:
    """Return the maker of maps, which is the same one as the run's."""
    tried, making = Attempts(), orders.making
    maker, _ = maker_of(settings, making.rows if making else (), tried)
    if maker is None or tried.problems:
        raise PreflightError(tried.problems)
    names = ("--model-path", "--extractor-weights")
    digests = (maker.model_digest, maker.extractor_digest)
    for name, own, given in zip(names, digests, making.digests if making else (), strict=True):
        if own != given:
            problem: HeatmapsError = OptionError(
                f"the worker on {_host()} reads another file than this run for {name}, or has "
                "another version of a library; give all workers the same"
            )
            raise PreflightError([problem])
    return maker


def _with_share(orders: Orders, device: str, cores: int) -> RunSettings:
    """Return the settings with this worker's device and its share of threads and memory."""
    settings = orders.settings
    threads = settings.resources.threads
    if threads is None:
        usual = reading_threads(None, cpu_computes=device.startswith("cpu"))
        threads = max(1, min(usual, cores))
    return replace(
        settings,
        encoder=replace(settings.encoder, devices=(device,)),
        resources=replace(settings.resources, threads=threads, max_memory=orders.memory),
        output=replace(settings.output, files=replace(settings.output.files, threads=threads)),
    )


def _gpus() -> tuple[tuple[str, str], ...]:
    """Return a name that no other GPU has, and torch's, of each that this process may use."""
    if not torch.cuda.is_available():
        return ()
    return tuple(
        (str(getattr(torch.cuda.get_device_properties(n), "uuid", f"{_host()} {n}")), f"cuda:{n}")
        for n in range(torch.cuda.device_count())
    )


def _host() -> str:
    """Return this machine's name."""
    return platform.node()
