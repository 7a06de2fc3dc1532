"""Fields of options, with the metadata that argparse-dataclass reads, and their groups."""

from dataclasses import MISSING, Field, field, fields
from pathlib import Path
from typing import Any, Literal

from heatmaps_ome.storage.remote.urls import url_of, url_problem

GROUPS = {
    "inputs": "slides, models and results",
    "given": "features or scores of tiles that were made elsewhere, and their places",
    "tiling": "size, places and choice of tiles",
    "network": "how features are made and pooled",
    "thresholds": "thresholds for scaling attention and scores",
    "colours": "colour maps (matplotlib's) and opacities",
    "outputs": "files to write, and messages",
    "results": "results to show",
    "jobs": "parts of a run",
    "shared": "results to share",
    "cache": "pieces of the cache to remove, those used longest ago first",
    "server": "address, and who may read the results",
    "QuPath": "a project of some slides",
    "napari": "a desktop viewer instead of the page",
}
"""Group of options → its title in ``--help``."""

Effect = Literal["none", "drawn", "values"]
"""The part of a result that an option of ``create`` changes.

``"none"``: no part, or one that digests in the records cover; ``"drawn"``: single maps, regions or
tiles, or the list of files, but no other file; ``"values"``: any file of a result.
"""

MODEL_ENDINGS = (".pkl", ".pickle", ".pth", ".pt", ".ckpt", ".bin", ".safetensors")
"""Endings of models' file names; no slide has them."""


def option(group: str, help_: str, *flags: str, default: Any = None, **metadata: Any) -> Any:
    """Return a dataclass field that argparse-dataclass turns into an option.

    Parameters
    ----------
    **metadata
        For argparse, for `bounds` (``between``, ``among``) and for `contradictions` (``used_by``,
        ``contradicts``, ``usual``, ``in_profiles``).
    """
    metadata = {"group": group, "help": help_, **metadata}
    if flags:
        metadata["args"] = list(flags)
    return field(default=default, metadata=metadata)


def create_option(
    group: str, help_: str, *flags: str, effect: Effect, default: Any = None, **metadata: Any
) -> Any:
    """Return a field of ``create``'s options, with its effect on a result."""
    return option(group, help_, *flags, default=default, effect=effect, **metadata)


def names(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list.

    >>> names("MSIH, nonMSIH")
    ('MSIH', 'nonMSIH')
    """
    listed = tuple(part.strip() for part in text.split(",") if part.strip())
    if not listed:
        raise ValueError("has no name in it")
    return listed


def assignment(text: str) -> tuple[str, str]:
    """Return the two sides of NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise ValueError("is not of the form NAME=VALUE")
    return name, value


def path(text: str) -> Path:
    """Return a path that is not empty: Path("") would be the current folder.

    A URL stays one: `storage.remote.urls.url_of` returns it from the path.
    """
    if not text:
        raise ValueError("is an empty path; give . for the current folder")
    if url_of(text) and (problem := url_problem(text)):
        raise ValueError(problem)
    return Path(text)


def default_in(profile: str, entry: Field[Any]) -> Any:
    """Return the default of an option in a profile, the usual one if that has none of its own."""
    usual = entry.metadata.get("usual", entry.default)
    return entry.metadata.get("in_profiles", {}).get(profile, usual)


def default_note(entry: Field[Any], mark: str = "") -> str:
    """Return the note on an option's defaults for its help, or "" if the help states them.

    Parameters
    ----------
    mark : str
        Put before and after each value.
    """
    if "(default:" in entry.metadata.get("help", ""):
        return ""
    usual = _value_text(default_in("", entry))
    notes = [f"default: {mark}{usual}{mark}"] if usual else []
    for profile, value in entry.metadata.get("in_profiles", {}).items():
        text = _value_text(value)
        notes.append(f"in profile {profile}: {f'{mark}{text}{mark}' if text else 'on'}")
    return f" ({'; '.join(notes)})" if notes else ""


def _value_text(value: Any) -> str:
    """Return a default in words; "" for none, and for a flag."""
    if value is None or value is MISSING or isinstance(value, bool) or value == ():
        return ""
    return ",".join(value) if isinstance(value, tuple) else str(value)


def flag_of(entry: Field[Any]) -> str:
    """Return the name of an option in messages: its long flag, or its name in ``--help``."""
    flags = entry.metadata.get("args", [f"--{entry.name.replace('_', '-')}"])
    return flags[-1] if flags[-1].startswith("-") else entry.metadata["metavar"]


def flags_of(options: type) -> list[str]:
    """Return every option flag of a command, as ``--help`` lists them."""
    return [
        flag
        for entry in fields(options)
        for flag in entry.metadata.get("args", [f"--{entry.name.replace('_', '-')}"])
        if flag.startswith("-")
    ]
