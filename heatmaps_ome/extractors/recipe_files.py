"""Reads recipes of encoders from TOML, the package's and others', whose text runs no code."""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import MISSING, fields
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.errors import ExtractorError
from heatmaps_ome.extractors.recipe import NetworkRecipe, Recipe, Transform, WeightsRecipe
from heatmaps_ome.storage.regular_file import read_text

if TYPE_CHECKING:
    from pathlib import Path

SUFFIX: Final = ".toml"
_MAX_BYTES: Final = 1 << 16
_TABLES: Final[dict[str, type]] = {
    "network": NetworkRecipe,
    "transform": Transform,
    "weights": WeightsRecipe,
}
_PLAIN: Final = (bool, int, float, str)


@cache
def packaged_names() -> tuple[str, ...]:
    """Return the names of the package's recipes."""
    folder = resources.files("heatmaps_ome") / "extractors" / "recipes"
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX)))


@cache
def packaged_recipe(name: str) -> Recipe:
    """Return a recipe of the package."""
    file = resources.files("heatmaps_ome") / "extractors" / "recipes" / f"{name}{SUFFIX}"
    return _parsed(file.read_text(encoding="utf-8"), name)


def encoders_with(channels: int) -> list[str]:
    """Return the names of the package's encoders with a length of features."""
    recipes = map(packaged_recipe, packaged_names())
    return [recipe.name for recipe in recipes if recipe.channels == channels]


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in a file of the user's.

    Raises
    ------
    ExtractorError
        If it cannot be read, or is no recipe, or names code to be run.
    """
    try:
        recipe = _parsed(read_text(path, _MAX_BYTES), path.stem)
        if recipe.network.own:
            raise ValueError("[network] own names code, which a recipe's file cannot; use timm")
    except OSError as error:
        raise ExtractorError(
            f"--extractor: {path} cannot be read as a recipe ({error.strerror})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise ExtractorError(f"--extractor: {path} is no recipe of an encoder: {error}") from error
    return recipe


def _parsed(text: str, name: str) -> Recipe:
    """Return the recipe in a text.

    Raises
    ------
    ValueError
        With the end of a sentence.
    """
    table = tomllib.loads(text)
    if "network" not in table:
        raise ValueError("it has no table [network]")
    values = {
        key: _made(_TABLES[key], value, f"[{key}] ") if key in _TABLES else value
        for key, value in table.items()
    }
    return _checked(Recipe, {"name": name} | values, "")


def _made(kind: type, table: Any, where: str) -> Any:
    """Return a part of a recipe from its table."""
    if not isinstance(table, dict):
        raise ValueError(f"{where.strip()} is no table")
    return _checked(kind, table, where)


def _checked(kind: type, values: dict[str, Any], where: str) -> Any:
    """Return a dataclass of values of the types that its fields have."""
    known = {entry.name: entry for entry in fields(kind)}
    for name in values:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else f"; it has {', '.join(known)}"
            raise ValueError(f"{where}{name} is no field{hint}")
    for name, entry in known.items():
        lacks_default = entry.default is MISSING and entry.default_factory is MISSING
        if lacks_default and name not in values:
            raise ValueError(f"{where}{name} is missing")
    return kind(
        **{
            name: _typed(value, str(known[name].type), where + name)
            for name, value in values.items()
        }
    )


def _typed(value: Any, kind: str, where: str) -> Any:
    """Return a value of TOML as a field's type has it."""
    if kind in ("NetworkRecipe", "Transform", "WeightsRecipe"):
        return value
    if kind == "tuple[str, ...]" and _are(value, str):
        return tuple(value)
    if kind.startswith("tuple[float") and _are(value, (int, float)) and len(value) == 3:
        return tuple(map(float, value))
    if (
        kind.startswith("Mapping")
        and isinstance(value, dict)
        and _are(list(value.values()), _PLAIN)
    ):
        return value
    if kind == "int" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind in ("str", "bool") and type(value).__name__ == kind:
        return value
    raise ValueError(f"{where} is {value!r:.60}, not {_WORDS[kind.split('[')[0]]}")


_WORDS: Final = {
    "int": "a whole number", "str": "a text", "bool": "true or false",
    "tuple": "a list of its kind of values", "Mapping": "a table of numbers and texts",
}  # fmt: skip


def _are(values: Any, kind: Any) -> bool:
    """Return whether values are a list of a type."""
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)
