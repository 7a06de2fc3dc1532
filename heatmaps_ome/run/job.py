"""What the maps in an output folder were asked for: ``OUTPUT/.maps/job.json``.

Later stages read it, so that nobody needs to repeat it; and maps that were made otherwise, which
could not share a scaling with these, are refused.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import OutputError, ResultError
from heatmaps_ome.options import CreateOptions, ExportOptions
from heatmaps_ome.run.settings import settings_of, settings_of_export
from heatmaps_ome.storage.digests import digest_of, write_json
from heatmaps_ome.storage.disk import disk_error
from heatmaps_ome.storage.lock import locked
from heatmaps_ome.storage.regular_file import read_json
from heatmaps_ome.storage.result_folder import JOB, MAPS, RUN_LOCK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from heatmaps_ome.run.made_maps import MadeMaps
    from heatmaps_ome.run.maker import Maker
    from heatmaps_ome.run.outcome import Outcome
    from heatmaps_ome.run.settings import Look, RunSettings

logger = logging.getLogger(__name__)

FORMAT: Final = "heatmaps-ome job 1"
_COMMANDS: Final = {"create": CreateOptions, "export": ExportOptions}
_OF_CELLS: Final = ("pooling", "consistency_tiles")
"""Settings that maps of tiles do not depend on."""
_FLAGS: Final = {
    "model": "model",
    "extractor": "extractor, or features",
    "pooling": "--no-pool or --blur-kernel-size",
    "excluded": "--exclude-artefacts",
    "stride": "--overlap or --stride-um",
}
"""Facts that are no options of the same name → their names in messages."""


@dataclass(frozen=True)
class Job:
    """What the maps in an output folder were asked for.

    Attributes
    ----------
    command : "create" or "export"
        The command whose options these are.
    options : mapping of str → JSON value
        Options as they were given, but for the slides and the output folder.
    values : mapping of str → JSON value
        All that changes values, whatever the slide: options, digests of models and extractor.
    classes : tuple of str
        Classes to draw.
    true_class : str
        The class drawn hot.
    """

    command: str
    options: Mapping[str, Any]
    values: Mapping[str, Any]
    classes: tuple[str, ...]
    true_class: str

    @classmethod
    def of(cls, settings: RunSettings, maker: Maker, look: Look) -> Job:
        """Return the job of a run."""
        making = asdict(settings.making)
        del making["mpp"]  # a slide's own
        del making["tiles"]
        tiles = maker.record().get("tiles")
        if tiles is not None:
            for name in _OF_CELLS:
                del making[name]
            making |= {"tile_px": tiles["side_px"], "stride": tiles["stride_px"]}
        values = {
            **{name: _alike(value) for name, value in making.items()},
            "excluded": sorted(making["excluded"]),
            "explain": settings.tiles.explain,
            "compat": settings.tiles.compat,
            "model": maker.model_digest,
            "extractor": maker.extractor_digest,
        }
        command = "create" if settings.tiles.scores is None else "export"
        return cls(command, settings.records.given, values, look.classes, look.true_class)

    @property
    def values_digest(self) -> str:
        """Digest of all that changes values."""
        return digest_of(self.values)

    @property
    def scaling(self) -> Path | None:
        """The file of the scaling that was asked for."""
        path = self.options.get("scaling")
        return None if path is None else Path(path)

    def settings(self, output: Path, **changed: Any) -> RunSettings:
        """Return the settings of a run with these options, and the classes to draw.

        Parameters
        ----------
        **changed
            Options of this call, by name.

        Raises
        ------
        ResultError
            If this version has no such options.
        """
        options = _COMMANDS[self.command]
        known = {entry.name: entry for entry in fields(options)}
        try:
            given = {name: _revived(known[name], value) for name, value in self.options.items()}
            made = options(**{**given, "output_path": output, **changed})
        except (KeyError, TypeError, ValueError) as error:
            raise ResultError(
                f"{output / MAPS / JOB} has options that this version lacks ({error}); run maps "
                "again"
            ) from error
        settings = (
            settings_of_export(made) if isinstance(made, ExportOptions) else settings_of(made)
        )
        look = replace(settings.drawing.look, classes=self.classes, true_class=self.true_class)
        return replace(settings, drawing=replace(settings.drawing, look=look))

    def require_alike(self, output: Path, *, overwrite: bool) -> None:
        """Refuse to add to maps that were made otherwise.

        Raises
        ------
        OutputError
            If the output folder has such maps; names the first difference.
        """
        there = job_of(output)
        if there is None or overwrite or there.values_digest == self.values_digest:
            return
        raise OutputError(
            f"{output} has maps that were made with {there.difference(self)}; add --overwrite to "
            "replace them, or choose another --output-path"
        )

    def difference(self, other: Job) -> str:
        """Return the first thing in which another job makes other values, in words."""
        for name, value in self.values.items():
            if other.values.get(name) != value:
                what = _FLAGS.get(name, f"--{name.replace('_', '-')}")
                return f"another {what} ({_short(value)}, not {_short(other.values.get(name))})"
        return "other options"

    def made(self, maps: MadeMaps, outcome: Outcome) -> bool:
        """Return whether a slide's maps were made by this job; if not, note it in its outcome."""
        if maps.values == self.values_digest:
            return True
        outcome.fail(
            f"{maps.path.name}: its maps were made with other options than the latest in "
            f"{maps.output}; run maps for it again"
        )
        logger.error("%s", outcome.message)
        return False

    def publish(self, output: Path, *, overwrite: bool) -> None:
        """Write the job of an output folder, unless its file holds just this one.

        Raises
        ------
        OutputError
            If the output folder has maps that were made otherwise, or the disk is full.
        """
        path = output / MAPS / JOB
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(output / RUN_LOCK):
                self.require_alike(output, overwrite=overwrite)
                record = {"format": FORMAT, **asdict(self), "classes": list(self.classes)}
                if not path.is_file() or read_json(path) != record:
                    write_json(path, record)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise disk_error(path, error) from error


def job_of(output: Path) -> Job | None:
    """Return the job of an output folder; None if it has none.

    Raises
    ------
    ResultError
        If its file is damaged.
    """
    path = output / MAPS / JOB
    if not path.exists():
        return None
    try:
        record = read_json(path)
        if record.pop("format") != FORMAT or record["command"] not in _COMMANDS:
            raise ValueError("another format")
        return Job(**{**record, "classes": tuple(record["classes"])})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultError(
            f"{path} is damaged, or of another version ({error}); run maps with --overwrite, or "
            "choose another --output-path"
        ) from error


def required_job(output: Path) -> Job:
    """Return the job of an output folder.

    Raises
    ------
    ResultError
        If there are no maps in it.
    """
    job = job_of(output)
    if job is None:
        raise ResultError(
            f"{output} has no maps to go on with; run heatmaps-ome maps, or create, with this "
            "--output-path first"
        )
    return job


def _revived(entry: Any, value: Any) -> Any:
    """Return an option's value as its field has it."""
    if isinstance(value, list):
        return tuple(_revived(entry, one) for one in value)
    return Path(value) if value is not None and entry.metadata.get("type") is Path else value


def _alike(value: Any) -> Any:
    """Return a value as the same JSON, whether a number was given as 224 or 224.0."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _short(value: Any) -> str:
    """Return a value for a message; a digest is recognised by its begin."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text[:12] if len(text) == 64 else text
