"""Rules for the raw values: numbers exactly where tissue is, that add up to the prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.geometry import YX
from heatmaps_ome.validate.problems import Rule
from heatmaps_ome.validate.raw_values import KINDS, Channel, Values
from heatmaps_ome.validate.tile_table import has_finer, own_values, tile_faults

if TYPE_CHECKING:
    from collections.abc import Iterator


_CLOSE = 1e-3


def _channels(values: Values) -> Iterator[str]:
    """Demand channels of known kinds and units, one per class of each kind, named as in omero."""
    classes = values.facts["classes"]
    if [channel.name for channel in values.channels] != list(values.names):
        yield (
            f"the facts name the channels {', '.join(known.name for known in values.channels)}, "
            f"omero {', '.join(values.names)}"
        )
    for channel in values.channels:
        if channel.kind not in KINDS:
            yield f"{channel.name} is of the unknown kind {channel.kind!r}"
        elif not _fits(values, channel):
            yield f"{channel.name} has the unit {channel.unit!r}"
    for kind, (per_class, _) in KINDS.items():
        for spread in (False, True):
            class_names = [*values.maps(kind, spread=spread)]
            wanted = values.facts.get("names", {}).get(kind, classes)
            if class_names and class_names != (wanted if per_class else [None]):
                yield f"the channels of {kind} are of {class_names}, the classes are {classes}"


def _fits(values: Values, channel: Channel) -> bool:
    """Return whether a channel's unit is one that its kind has."""
    units, target = KINDS[channel.kind][1], values.target
    if not units or channel.unit in units:
        return True
    # The unit of a given map is whatever was given; values and risks have their own.
    is_given = target is not None and channel.unit in values.facts.get("units", {}).values()
    return is_given or (target is not None and channel.unit == target["unit"])


def _finite(values: Values) -> Iterator[str]:
    """Demand numbers in tissue and NaN elsewhere, in every channel alike."""
    tissue = values.tissue
    if values.stack.dtype != np.float32:
        yield f"the values are {values.stack.dtype}, not float32"
    for known, channel in zip(values.channels, values.stack, strict=True):
        name = known.name
        if known.kind == "leave-one-out" and np.count_nonzero(tissue) == 1:
            continue  # Without a slide's only cell there is no slide.
        # A given map may lack some of the tiles, and so may predictions without one.
        fit = np.isnan(channel) | np.isfinite(channel) if values.target else np.isfinite(channel)
        holes = np.count_nonzero(~fit & tissue)
        strays = np.count_nonzero(~np.isnan(channel) & ~tissue)
        if holes or strays:
            yield f"{name} lacks a number in {holes} cells of tissue and has one in {strays} others"
    written = values.facts["tissue_cells"]
    if written != np.count_nonzero(tissue):
        yield (
            f"{np.count_nonzero(tissue)} cells have values where {written} were written; "
            "the copy is incomplete"
        )


def _add_up(values: Values) -> Iterator[str]:
    """Demand scores that sum to 1 in each cell, and contributions that sum to the slide's logits.

    The exact sum is what makes contributions more than a picture: design.md section 7.
    """
    tissue = values.tissue
    if not tissue.any():
        return
    names = values.maps("score").values()
    if names:
        scores = np.stack([values.channel(name)[tissue] for name in names]).astype(np.float64)
        off = float(np.abs(scores.sum(axis=0) - 1).max()) if values.link == "softmax" else 0.0
        if not (off < _CLOSE and np.nanmin(scores) >= 0 and np.nanmax(scores) <= 1 + _CLOSE):
            yield f"the scores of a cell miss the sum of 1 by up to {off:g}"
    shares = values.maps("contribution").values()
    if values.target is not None and values.target["task"] == "none":
        return
    loss = values.facts.get("explanation", {}).get("residual") or 0.0
    for name, logit in zip(shares, values.facts["logits"], strict=bool(shares)):
        # Finer tiles stand between those that the prediction follows from.
        own = own_values(values, name) if has_finer(values) else values.channel(name)[tissue]
        total = float(np.nansum(own, dtype=np.float64))
        if not abs(total - logit) <= (_CLOSE + loss) * (1 + abs(logit)):
            yield f"{name} sums to {total:g}, not to the slide's logit {logit:g}"


def _leave_one_out(values: Values) -> Iterator[str]:
    """Demand that the falls in probability without a cell follow from the other maps.

    For several models they are means, which do not follow from the means of other maps.
    """
    falls, contributions = values.maps("leave-one-out"), values.maps("contribution")
    tissue = values.tissue
    # Of tiles the table is the truth, and not every model has a closed form.
    if (
        values.target is not None
        or not falls
        or "members" in values.facts
        or np.count_nonzero(tissue) < 2
    ):
        return
    attention = values.channel("attention")[tissue].astype(np.float64)
    weights = np.exp(attention - attention.max())
    weights /= weights.sum()
    names = [contributions[class_name] for class_name in falls]
    shares = np.stack([values.channel(name)[tissue] for name in names]).astype(np.float64)
    # A cell with nearly all of the attention leaves no digits in the difference.
    sure = weights < 1 - _CLOSE
    whole = shares.sum(axis=1, keepdims=True)
    without = (whole - shares[:, sure]) / (1 - weights[sure])
    expected = _probabilities(whole) - _probabilities(without)
    for name, wanted in zip(falls.values(), expected, strict=True):
        off = np.abs(values.channel(name)[tissue][sure] - wanted)
        if not (off <= _CLOSE * np.abs(wanted).max(initial=0.0) + 1e-9).all():
            yield f"{name} is off by up to {off.max():g} from what attention and contributions say"


def _evidence(values: Values) -> Iterator[str]:
    """Demand that evidence is the contribution less its mean over the classes, also for means."""
    evidence, contributions = values.maps("evidence"), values.maps("contribution")
    if not evidence or not values.tissue.any():
        return
    shares = {
        class_name: values.channel(name)[values.tissue].astype(np.float64)
        for class_name, name in contributions.items()
    }
    mean = np.mean([*shares.values()], axis=0)
    for class_name, name in evidence.items():
        wanted = shares[class_name] - mean
        off = np.abs(values.channel(name)[values.tissue] - wanted)
        if not (off <= _CLOSE * max(np.abs(part).max() for part in shares.values())).all():
            yield f"{name} is off by up to {off.max():g} from what the contributions give"


def _members(values: Values) -> Iterator[str]:
    """Demand means that follow from the models' numbers, and a spread that so many can have."""
    members: list[dict[str, Any]] = values.facts.get("members", [])
    deviations = [channel for channel in values.channels if channel.spread]
    maps = [(channel.kind, channel.class_name) for channel in values.channels if not channel.spread]
    spread = [(channel.kind, channel.class_name) for channel in deviations]
    if spread != (maps if members else []):
        names = ", ".join(channel.name for channel in deviations)
        yield f"{len(members)} models are told of, and the deviations are {names or 'missing'}"
    if len(members) == 1:
        yield "one model is told of as several"
    if len(members) < 2 or not values.tissue.any():
        return
    for what in ("prediction", "logits"):
        for index, name in enumerate(values.facts["classes"]):
            stated = values.facts[what][index]
            mean = np.mean([member[what][name] for member in members])
            if not abs(stated - mean) <= _CLOSE * (1 + abs(mean)):
                yield f"the {what} of {name} is {stated:g}, the mean of the models' {mean:g}"
    # n numbers from 0 to 1 are furthest apart where half of them are at either end.
    n_models = len(members)
    largest = np.sqrt((n_models // 2) * (n_models - n_models // 2) / (n_models * (n_models - 1)))
    for channel in deviations:
        sd, bounded = values.channel(channel.name)[values.tissue], channel.kind == "score"
        if (sd < 0).any() or (bounded and (sd > largest + _CLOSE).any()):
            yield f"{channel.name} has deviations from {np.nanmin(sd):g} to {np.nanmax(sd):g}"


def _probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the first axis."""
    powers = np.exp(logits - logits.max(axis=0))
    return powers / powers.sum(axis=0)


def _placed(values: Values) -> Iterator[str]:
    """Demand that scale and translation, in µm, agree with the facts in level-0 pixels."""
    facts, shape = values.facts, values.pyramid.shapes[0]
    mpp = YX(**facts["mpp"])
    for what, um, wanted in (
        ("scale", values.um_cell, YX(**facts["l0_cell"]).times(mpp)),
        ("translation", values.um_origin, YX(**facts["l0_origin"]).times(mpp)),
    ):
        if not np.allclose(um, wanted, rtol=1e-6, atol=1e-6):
            yield f"the {what} is {tuple(um)} µm where level-0 pixels say {tuple(wanted)}"
    end = values.um_origin.plus(values.um_cell.times(YX(*shape)))
    uncovered = [axis for axis, to, size in zip("yx", end, values.um_slide, strict=True)
                 if to < size - values.um_cell[axis == "x"]]  # fmt: skip
    if uncovered:
        yield f"the cells end a cell or more before the slide does along {', '.join(uncovered)}"


VALUES: tuple[Rule[Values], ...] = (
    Rule("values-channels", "each channel states a known kind, its class and unit", _channels),
    Rule("values-finite-where-tissue", "values are numbers in tissue and NaN elsewhere", _finite),
    Rule("values-add-up", "scores sum to 1, contributions to the slide's logits", _add_up),
    Rule("values-leave-one-out", "falls without a cell follow from its share", _leave_one_out),
    Rule("values-evidence", "evidence is the contribution less its classes' mean", _evidence),
    Rule("values-members", "several models' means are theirs, deviations are possible", _members),
    Rule("values-tiles", "the raster shows each tile's value of the table", tile_faults),
    Rule("placement-values", "the cells lie where the level-0 geometry puts them", _placed),
)
"""Rules for ``<slide>.values.ome.zarr``."""
