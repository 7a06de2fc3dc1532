"""Raw maps of a slide between the stages ``maps`` and ``draw``: ``OUTPUT/.maps/<name>/``.

The folder has all that drawing needs, so that it needs neither the model nor the network: the raw
maps of each model, the sketch that a scaling is fitted to, and a record. It is complete or absent.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import ResultError
from heatmaps_ome.exporters import VALUES
from heatmaps_ome.geometry import YX, Shape
from heatmaps_ome.maps.store import read_values, write_values
from heatmaps_ome.maps.tile_store import TILES, read_table, write_table
from heatmaps_ome.storage.digests import digest_of, now, write_json
from heatmaps_ome.storage.private import remove
from heatmaps_ome.storage.remote.outputs import at_hand, forget
from heatmaps_ome.storage.remote.urls import scheme_of, url_of
from heatmaps_ome.storage.result_folder import (
    MAPS,
    PROVENANCE,
    ResultFolder,
    finished_folders,
    record_of,
)
from heatmaps_ome.viewers.files import file_uri, path_of_uri

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from heatmaps_ome.display.scaling import CohortScaling
    from heatmaps_ome.maps.heatmap_set import HeatmapSet
    from heatmaps_ome.slides.stamps import Stamp

logger = logging.getLogger(__name__)

FORMAT: Final = "heatmaps-ome maps of a slide 1"
SKETCH: Final = "sketch.h5"
"""The file that a scaling is fitted to."""
_DAMAGED = (ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True, eq=False)
class MadeMaps:
    """The raw maps of a slide on disk.

    Attributes
    ----------
    output : Path
        The folder of the run.
    name : str
        Name of the slide's results.
    path : Path
        The slide's file.
    given_mpp : float or None
        µm per level-0 pixel that the user gave for the slide.
    label : str or None
        Ground truth.
    fingerprint : str
        Digest of the slide's content.
    mpp : YX
        µm per level-0 pixel.
    shape : Shape
        The slide's size at level 0.
    models : tuple of (name, digest)
    digests : tuple of str
        All that the maps depend on beside slide and options: see `Source.digests`.
    origin : mapping
        Origin of the maps for the slide's provenance.
    values : str
        Digest of the options that change values, of the models and of the extractor: maps of others
        share no scaling with these.
    asked : str
        Digest of everything that the user gave for the slide; "" if it cannot be compared.
    stamp : list or None
        The stamp of the slide's files and of ``files``.
    files : tuple of Path
        Files beside the slide's that the maps are made of.
    request : str
        Digest of everything that determines the maps, and of the slide's place.
    stages : mapping of stage → mapping of measure → float
        Time and bytes, as counted by `Stopwatch`.
    prediction : mapping of output → float
        None where it is not finite.
    tissue_cells : int
    """

    output: Path
    name: str
    path: Path
    given_mpp: float | None
    label: str | None
    fingerprint: str
    mpp: YX
    shape: Shape
    models: tuple[tuple[str, str], ...]
    digests: tuple[str, ...]
    origin: Mapping[str, Any]
    values: str
    asked: str
    stamp: Stamp | None
    files: tuple[Path, ...]
    request: str
    stages: Mapping[str, Mapping[str, float]]
    prediction: Mapping[str, float | None]
    tissue_cells: int

    @property
    def folder(self) -> Path:
        """The folder of the maps."""
        return maps_folder(self.output, self.name).path

    @property
    def sketch(self) -> Path:
        """The file that a scaling is fitted to."""
        return self.folder / SKETCH

    @property
    def extractor_digest(self) -> str:
        """Digest of the extractor."""
        return self.origin["extractor"]["digest"]

    def basis(self, shared: Mapping[str, object]) -> str:
        """Return the digest of everything that determines results but the scaling's numbers.

        Parameters
        ----------
        shared : mapping
            Everything that determines the results of all slides: see `planning.shared_facts`.
        """
        return basis_of(shared, self.fingerprint, self.mpp, self.label, self.digests)

    def parts(self) -> list[HeatmapSet]:
        """Return each model's maps, with the classes in the same order.

        Those of a single model are read from the slide's results once these are drawn.

        Raises
        ------
        ResultError
            If they are not there any more, or damaged.
        """
        folders = self._folders
        if not all(folder.is_dir() for folder in folders):
            raise ResultError(
                f"{self.folder} has no raw maps any more; run maps, or create, again for "
                f"{self.path.name}"
            )
        parts = []
        for folder in folders:
            own = folder.parent == self.folder
            with at_hand(self.output, folder if own else _values(folder, self.name)):
                parts.append(_read_part(folder, self.name))
        return parts

    def are_there(self) -> bool:
        """Return whether the raw maps can still be read."""
        return all(folder.is_dir() for folder in self._folders)

    def forget_parts(self) -> None:
        """Remove the maps of a single model, which the slide's results have now."""
        if len(self.models) <= 1:
            remove(self.folder / "0")
            forget(self.output, self.folder / "0")

    @property
    def _folders(self) -> list[Path]:
        """The folders of the models' maps; that of the results, once a single model's are drawn."""
        folders = [self.folder / str(number) for number in range(max(1, len(self.models)))]
        if len(folders) == 1 and not folders[0].is_dir():
            drawn = self.output / self.name
            if (record_of(drawn) or {}).get("maps") == self.request:
                return [drawn]
        return folders

    def record(self) -> dict[str, Any]:
        """Return the record of the folder, as plain JSON values."""
        facts = asdict(self)
        del facts["output"]
        return {
            "format": FORMAT,
            "created": now(),
            **facts,
            "path": _uri(self.path),
            "files": list(map(_uri, self.files)),
            "mpp": list(self.mpp),
            "shape": list(self.shape),
        }

    @classmethod
    def from_record(cls, output: Path, record: Mapping[str, Any]) -> MadeMaps:
        """Return the maps that a record describes.

        Raises
        ------
        ValueError, KeyError, TypeError, AttributeError
            If it describes none.
        """
        facts = {key: value for key, value in record.items() if key not in ("format", "created")}
        if record["format"] != FORMAT:
            raise ValueError(f"the format is {record['format']!r}, not {FORMAT!r}")
        return cls(
            **{
                **facts,
                "output": output,
                "path": _path_of(facts["path"]),
                "files": tuple(map(_path_of, facts["files"])),
                "mpp": YX(*map(float, facts["mpp"])),
                "shape": Shape(*map(int, facts["shape"])),
                "models": tuple((str(name), str(digest)) for name, digest in facts["models"]),
                "digests": tuple(map(str, facts["digests"])),
            }
        )


def basis_of(
    shared: Mapping[str, object],
    fingerprint: str,
    mpp: YX,
    label: str | None,
    digests: Sequence[str],
) -> str:
    """Return the digest of everything that determines a slide's results but the scaling."""
    return digest_of({
        **shared,
        "slide": fingerprint,
        "mpp": list(mpp),
        "label": label,
        # The order of the models counts, because results list them in this order.
        "models": list(digests),
    })  # fmt: skip


def request_of(basis: str, scaling: CohortScaling) -> str:
    """Return the digest of everything that determines a slide's results."""
    return digest_of({"basis": basis, "scaling": scaling.numbers})


def maps_folder(output: Path, name: str) -> ResultFolder:
    """Return the folder of a slide's raw maps."""
    return ResultFolder(output / MAPS, name)


def write_made(made: MadeMaps, parts: Sequence[HeatmapSet], folder: Path) -> None:
    """Write raw maps and their record into a folder, which is not in its place yet."""
    for number, part in enumerate(parts):
        own = folder / str(number)
        own.mkdir()
        if part.places is None:
            write_values(part, own, {})
        else:
            write_table(part, own / TILES)
    write_json(folder / PROVENANCE, made.record())


def made_of(output: Path, name: str) -> MadeMaps | None:
    """Return the raw maps of a slide; None if there are none, or their record is damaged."""
    return _made(output, record_of(maps_folder(output, name).path) or {}, name)


def all_made(output: Path) -> Iterator[MadeMaps]:
    """Yield the raw maps of all slides, by name, without damaged ones, which are logged."""
    if not (output / MAPS).is_dir():
        return
    for folder, record in finished_folders(output / MAPS):
        made = _made(output, record, folder.name)
        if made is not None:
            yield made


def _made(output: Path, record: Mapping[str, Any], name: str) -> MadeMaps | None:
    if not record:
        return None
    try:
        made = MadeMaps.from_record(output, record)
        if made.name != name:
            raise ValueError(f"it is the record of {made.name}")
    except _DAMAGED as error:
        logger.warning(
            "%s is left out, as its record is damaged (%s); run maps for its slide again",
            maps_folder(output, name).path, error,
        )  # fmt: skip
        return None
    return made


def _uri(path: Path) -> str:
    """Return the URI of a file; its name may be a link to one without a suffix, and so stays."""
    return url_of(path) or file_uri(path.parent.resolve() / path.name)


def _path_of(uri: str) -> Path:
    """Return the path whose URI `_uri` returned; of a URL elsewhere, the URL as a path."""
    return path_of_uri(uri) if scheme_of(uri) == "file" else Path(uri)


def _read_part(folder: Path, name: str) -> HeatmapSet:
    """Return the maps in a folder: cells, or a table of tiles.

    Raises
    ------
    ResultError
        If they are damaged.
    """
    values, path = _values(folder, name), folder / TILES
    if values.is_dir() or not path.is_dir():
        return read_values(values)
    try:
        return read_table(path)
    except (ValueError, LookupError, TypeError, OSError) as error:
        raise ResultError(f"{path} is damaged ({error}); run maps again for {name}") from error


def _values(folder: Path, name: str) -> Path:
    """Return the folder of the raw values of cells."""
    return folder / f"{name}{VALUES.ending}"
