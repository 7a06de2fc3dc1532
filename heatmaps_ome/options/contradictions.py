"""Contradictions between options: some are refused, others only have no effect, which is reported.

A field's metadata state them: ``contradicts={option: reason}`` for options that cannot be meant
together, ``needs={option: reason}`` for an option that means nothing without another, and
``used_by=(format, …)`` for an option that no other format uses. An option whose default would
contradict another is None unless it is given, and ``usual=value`` is its default; so is one whose
default depends on the profile: ``in_profiles={profile: value}`` has the defaults beside the usual.
"""

from collections.abc import Iterator
from dataclasses import Field, fields, replace
from typing import Any, Final, Literal, TypeVar, get_args

from heatmaps_ome.options.bounds import quoted
from heatmaps_ome.options.fields import default_in, flag_of

OptionsT = TypeVar("OptionsT")

Source = Literal["slide", "cells", "features"]
_ONLY_WITH: Final[dict[Source, tuple[str, ...]]] = {
    "slide": (
        "extractor", "extractor_weights", "download", "no_pool", "blur_kernel_size",
        "consistency_tiles", "device", "devices", "precision", "block_size", "max_memory",
        "mask_threshold", "exclude_artefacts",
        "tile_um", "tile_px", "overlap", "stride_um", "refine",
    ),
    "cells": ("no_pool", "blur_kernel_size", "consistency_tiles", "block_size"),
    "features": (
        "explain", "coords", "coords_unit", "tile_size", "origin", "stride", "dataset",
    ),
}  # fmt: skip
"""Source of a run's maps → options that the maps of no other source depend on."""
SOURCES: Final[tuple[Source, ...]] = get_args(Source)


def given(options: Any, name: str) -> bool:
    """Return whether an option has another value than its default."""
    [entry] = [entry for entry in fields(options) if entry.name == name]
    return getattr(options, name) != entry.default


def in_effect(options: Any, name: str) -> Any:
    """Return an option's value; if neither it nor its contradiction is given, the default."""
    [entry] = [entry for entry in fields(options) if entry.name == name]
    value = getattr(options, name)
    contradictions = entry.metadata.get("contradicts", {})
    if value is not None or any(given(options, one) for one in contradictions):
        return value
    return default_in(getattr(options, "profile", ""), entry)


def with_usual_values(options: OptionsT) -> OptionsT:
    """Return options with the defaults of their profile in place of those that are not given."""
    names = [entry.name for entry in fields(options) if "usual" in entry.metadata]  # pyright: ignore[reportArgumentType]
    return replace(options, **{name: in_effect(options, name) for name in names})  # pyright: ignore[reportArgumentType, reportCallIssue, reportType]


def require_consistent(options: Any) -> None:
    """Refuse options that cannot be meant together.

    Raises
    ------
    ValueError
        Names both, and the reason.
    """
    by_name = {entry.name: entry for entry in fields(options)}
    for name, entry in by_name.items():
        for other, reason in entry.metadata.get("contradicts", {}).items():
            if given(options, name) and given(options, other):
                raise ValueError(
                    f"{flag_of(entry)} contradicts {flag_of(by_name[other])}, {reason}; leave out "
                    "either of them"
                )
        for other, reason in entry.metadata.get("needs", {}).items():
            if given(options, name) and in_effect(options, other) == default_in("", by_name[other]):
                flag = flag_of(by_name[other])
                raise ValueError(f"{flag_of(entry)} needs {flag}, {reason}; give {flag} too")


def unused_formats(options: Any) -> Iterator[str]:
    """Yield a sentence for each option that none of the formats to write uses."""
    formats = in_effect(options, "formats")
    written = {*formats, *(["figures"] if options.figures else [])}
    for entry in fields(options):
        users: tuple[str, ...] = entry.metadata.get("used_by", ())
        if users and given(options, entry.name) and not {*users} & written:
            yield _unused(entry, users)


def only_with(options: Any, source: Source) -> tuple[str, ...]:
    """Return the flags of the options that were given and that only maps of one source use.

    Parameters
    ----------
    source : "slide", "cells" or "features"
        "slide" for maps of a slide's own pixels, "cells" for those of them that have a value for
        each cell, "features" for those of given features.
    """
    return tuple(
        flag_of(entry)
        for entry in fields(options)
        if entry.name in _ONLY_WITH[source] and given(options, entry.name)
    )


def _unused(entry: Field[Any], users: tuple[str, ...]) -> str:
    listed = " and ".join(filter(None, (", ".join(users[:-1]), users[-1])))
    verb = "uses" if len(users) == 1 else "use"
    return f"{flag_of(entry)} has no effect: only {listed} {verb} it, which --formats leaves out"


def require_kernel(size: int | None, *, no_pool: bool) -> None:
    """Refuse kernels without a middle cell and contradictions."""
    if size is None or size == 0:
        return
    if size % 2 == 0:
        raise ValueError(f"--blur-kernel-size is {size}; give 0 or an odd number of cells")
    if no_pool:
        raise ValueError(f"--no-pool contradicts --blur-kernel-size {size}; leave out either")


def require_one_value_each(covariates: tuple[tuple[str, str], ...]) -> None:
    """Refuse a covariate with two values."""
    values: dict[str, str] = {}
    for name, value in covariates:
        if values.setdefault(name, value) != value:
            raise ValueError(
                f"--covariate: {quoted(name)} is both {quoted(values[name])} and {quoted(value)}; "
                "give one value"
            )
