"""Fields of options: what argparse-dataclass needs to know of each, and their groups."""

from dataclasses import field, fields
from typing import Any, Literal

GROUPS = {
    "inputs": "what to explain",
    "network": "how features are made and pooled",
    "thresholds": "thresholds for scaling attention and scores",
    "colours": "colour maps (matplotlib's) and opacities",
    "outputs": "what to write",
    "results": "what to look at",
    "server": "where it is served, and to whom",
}
"""Group of options → its title in ``--help``."""

Effect = Literal["none", "drawn", "values"]
"""What an option of ``create`` changes.

``"none"``: nothing of a result, or what digests in its records hold; ``"drawn"``: single maps,
regions or tiles, or which files there are, but no other file; ``"values"``: any file of a result.
"""

MODEL_ENDINGS = (".pkl", ".pickle", ".pth", ".pt", ".safetensors")
"""How names of models' files end, and no slide's do."""


def option(group: str, help_: str, *flags: str, default: Any = None, **metadata: Any) -> Any:
    """Return a dataclass field that argparse-dataclass turns into an option."""
    said = {"group": group, "help": help_, **metadata}
    if flags:
        said["args"] = list(flags)
    return field(default=default, metadata=said)


def create_option(
    group: str, help_: str, *flags: str, effect: Effect, default: Any = None, **metadata: Any
) -> Any:
    """Return a field of ``create``'s options, which states what it changes."""
    return option(group, help_, *flags, default=default, effect=effect, **metadata)


def names(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list.

    >>> names("MSIH, nonMSIH")
    ('MSIH', 'nonMSIH')
    """
    found = tuple(part.strip() for part in text.split(",") if part.strip())
    if not found:
        raise ValueError("no name in it")
    return found


def assignment(text: str) -> tuple[str, str]:
    """Return the two sides of NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise ValueError("not of the form NAME=VALUE")
    return name, value


def flags_of(options: type) -> list[str]:
    """Return every option flag of a command, as ``--help`` lists them."""
    return [
        flag
        for each in fields(options)
        for flag in each.metadata.get("args", [f"--{each.name.replace('_', '-')}"])
        if flag.startswith("-")
    ]
