"""How far the slides of a run are, and what is left to do for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from heatmaps_ome.run.faults import reason_of
from heatmaps_ome.run.forecast.costs import megapixels_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.geometry import YX, Shape
    from heatmaps_ome.run.drawing import Drawing
    from heatmaps_ome.run.job import Job
    from heatmaps_ome.run.made_maps import MadeMaps
    from heatmaps_ome.run.making import Making
    from heatmaps_ome.run.outcome import Outcome
    from heatmaps_ome.run.slide_row import SlideRow

Work: TypeAlias = Literal["maps and files", "maps", "files", "unchanged", "refused"]


@dataclass(frozen=True)
class Standing:
    """What a run would do for a slide.

    Attributes
    ----------
    slide : str
        Name of the slide's file.
    work : str
        The work that is left, "unchanged" if there is none, or "refused".
    message : str
        Why it is refused.
    megapixels : float
        Size at the network's resolution; 0 if nothing is to be done.
    is_cached : bool
        Whether the raw maps are in the cache and only have to be copied.
    """

    slide: str
    work: Work
    message: str = ""
    megapixels: float = 0
    is_cached: bool = False

    @property
    def makes(self) -> bool:
        """Whether raw maps are to be computed."""
        return self.work in ("maps", "maps and files") and not self.is_cached

    @property
    def draws(self) -> bool:
        """Whether files are to be drawn."""
        return self.work in ("files", "maps and files")


class Look:
    """Finds out how far slides are; nothing is written, and the network is not built.

    Parameters
    ----------
    target_mpp : float
        µm per network pixel.
    scaling : CohortScaling or None
        None if it is to be fitted.
    drawing : Drawing or None
        None if no files are to be drawn.
    """

    def __init__(
        self, target_mpp: float, scaling: CohortScaling | None, drawing: Drawing | None
    ) -> None:
        self._target_mpp, self._scaling, self._drawing = target_mpp, scaling, drawing

    def at_row(self, making: Making, row: SlideRow) -> Standing:
        """Return how far a slide is whose maps and files are wanted, or its maps alone."""

        def find() -> Standing:
            scaling = None if self._drawing is None else self._scaling
            there, planned, is_done = making.look(row, scaling)
            if there is not None:
                return self._made(there)
            if is_done:
                return Standing(row.path.name, "unchanged")
            work: Work = "maps" if self._drawing is None else "maps and files"
            if planned is None:
                # A slide at a URL states nothing more before it is downloaded.
                return Standing(row.path.name, work)
            return Standing(
                row.path.name,
                work,
                megapixels=self._megapixels(planned.shape, planned.mpp),
                is_cached=planned.source.is_made(planned.fingerprint),
            )

        return _or_refused(find, row.path, making.output, row.origin)

    def at_maps(self, made: MadeMaps, job: Job, outcome: Outcome) -> Standing:
        """Return how far a slide is whose maps are there, and whose files are wanted."""
        if not job.made(made, outcome):
            return Standing(made.path.name, "refused", outcome.message)
        return _or_refused(lambda: self._made(made), made.path, made.output)

    def _made(self, made: MadeMaps) -> Standing:
        drawing = self._drawing
        if drawing is None or drawing.is_drawn(made, self._scaling):
            return Standing(made.path.name, "unchanged")
        megapixels = self._megapixels(made.shape, made.mpp)
        return Standing(made.path.name, "files", megapixels=megapixels)

    def _megapixels(self, shape: Shape, mpp: YX) -> float:
        return megapixels_of(shape, mpp, self._target_mpp)


def _or_refused(
    find: Callable[[], Standing], path: Path, output: Path, origin: str = ""
) -> Standing:
    """Return how far a slide is; whatever is wrong with it is the reason of its refusal."""
    try:
        return find()
    except Exception as error:  # noqa: BLE001
        return Standing(path.name, "refused", reason_of(error, path, output, origin))
