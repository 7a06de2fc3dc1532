"""Describes a file or folder (a slide, a model, a result or a run) without importing torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from heatmaps_ome.cli.output_info import is_output, output_facts
from heatmaps_ome.cli.slide_info import slide_facts
from heatmaps_ome.cli.slide_lines import prediction_text
from heatmaps_ome.cli.streams import one_line
from heatmaps_ome.errors import FeaturesError, HeatmapsError, ModelError, ResultError
from heatmaps_ome.extractors.recipe_files import encoders_with
from heatmaps_ome.features.files.describe import describe_tiles, may_hold_tiles
from heatmaps_ome.models import describe_model
from heatmaps_ome.models.families import family_of
from heatmaps_ome.models.model_facts import NO_FACTS, ModelFacts
from heatmaps_ome.slides.opening import AUTO
from heatmaps_ome.storage.regular_file import read_json, require_regular

if TYPE_CHECKING:
    from pathlib import Path

    from heatmaps_ome.models import ModelDescription
    from heatmaps_ome.models.target import Task
    from heatmaps_ome.options import ConvertOptions, InfoOptions

_VALUES: Final = (".values.ome.zarr", ".flat.ome.zarr")
"""Ends of the names of a result's stores that hold no picture of the slide."""


def describe(path: Path, facts: ModelFacts = NO_FACTS, reader: str = AUTO) -> str:
    """Return a description of the file or folder at a path, in lines for people.

    Parameters
    ----------
    reader : str
        The reader of a slide; with any other than "auto" the path is taken for a slide.

    Raises
    ------
    HeatmapsError
        If it is of no known kind, or damaged.
    """
    if reader != AUTO:
        return _lines(f"{path}: slide", slide_facts(path, reader))
    if path.is_dir():
        if may_hold_tiles(path):
            return _tiles_lines(path)
        return _describe_folder(path)
    _require_file(path)
    # Torch's files may be models or features.
    is_torch = path.suffix.lower() in (".pt", ".pth")
    if may_hold_tiles(path) and not is_torch:
        return _tiles_lines(path)
    if _looks_like_model(path):
        try:
            model = describe_model(path, facts)
        except ModelError as error:
            if not is_torch:
                raise
            return _features_or(error, path)
        return _lines(f"{path}: {model.kind}", _model_facts(model))
    return _lines(f"{path}: slide", slide_facts(path))


def _features_or(error: ModelError, path: Path) -> str:
    """Return a description of a torch file's features; raise the error if it has none."""
    try:
        return _tiles_lines(path)
    except FeaturesError:
        raise error from None


def _tiles_lines(path: Path) -> str:
    """Return a description of a file of features or scores."""
    tiles = describe_tiles(path)
    facts: dict[str, object] = {
        "system": tiles.system or "not given",
        "tiles": tiles.n_tiles,
        "features": f"{tiles.n_features} per tile",
        "encoder": tiles.encoder or f"not given{_encoders_with(tiles.n_features)}",
        "maps": ", ".join(tiles.maps),
        "coordinates": tiles.unit,
        "side of a tile": tiles.side,
    }
    for left_out in ("maps",) if tiles.n_features is not None else ("features", "encoder"):
        del facts[left_out]
    if not tiles.maps:
        facts.pop("maps", None)
    for place, note in enumerate(tiles.notes):
        facts["note" if place == 0 else f"note {place + 1}"] = note
    return _lines(f"{path}: {tiles.holds} of tiles", facts)


def _encoders_with(n_features: int | None) -> str:
    """Return the end of a line: the encoders whose features have a length."""
    names = encoders_with(n_features) if n_features else []
    return f"; as those of {', '.join(names)}" if names else ""


def facts_of(options: InfoOptions | ConvertOptions) -> ModelFacts:
    """Return the facts about models among a command's options."""
    return ModelFacts(
        class_names=options.class_names,
        task=cast("Task | None", options.task),
        family=options.family,
        head=options.head,
        heads=options.heads,
        gate=options.attention_gate,
        temperature=options.temperature,
    )


def _require_file(path: Path) -> None:
    """Refuse what is no file.

    Raises
    ------
    ResultError
        If there is none, or it is a FIFO, a socket or a device.
    """
    try:
        require_regular(path)
    except OSError as error:
        raise ResultError(f"{path} cannot be read: {error.strerror}") from error


def _looks_like_model(path: Path) -> bool:
    """Return whether a family of models recognises a file, or its name is a model's."""
    return path.suffix == ".pkl" or family_of(path) is not None


def _lines(title: str, facts: dict[str, object]) -> str:
    """Return a title with a line per fact below it; texts of a file cannot begin lines."""
    texts = {one_line(name): one_line(value) for name, value in facts.items()}
    width = max(map(len, texts), default=0)
    lines = (f"  {name:{width}}  {text}" for name, text in texts.items())
    return "\n".join([one_line(title), *lines])


def _model_facts(model: ModelDescription) -> dict[str, object]:
    """Return the content of a model file."""
    facts: dict[str, object] = {
        **_target_facts(model),
        "features": f"{model.n_features} per tile{_encoders_with(model.n_features)}",
        **_layer_facts(model),
        "sha256": model.sha256,
    }
    for note in model.notes:
        facts["note"] = note
    if model.lacking:
        facts["lacks"] = f"it {model.lacking}"
    for covariate in model.covariates:
        facts[f"--covariate {covariate.name}"] = f"{covariate.allowed}; {covariate.if_missing}"
    if model.n_private_bags:
        facts["private"] = (
            f"carries the file paths, names or labels of {model.n_private_bags} patients or bags "
            "of its training; share the file that convert-model writes instead"
        )
    if model.suspicious_globals:
        facts["suspicious"] = ", ".join(model.suspicious_globals)
    return facts


def _target_facts(model: ModelDescription) -> dict[str, object]:
    """Return the meaning of the outputs, as far as it is known."""
    target = model.target
    if target is None:
        return {"outputs": model.n_outputs}
    names = ", ".join(target.outputs)
    if target.numbered:
        names += " (numbers of the outputs, which nobody named; give --class-names)"
    return {
        "task": target.task,
        "classes" if target.has_classes else "predicts": names,
        "target": target.label or "not given",
    }


def _layer_facts(model: ModelDescription) -> dict[str, object]:
    """Return the layers, or the architecture of a network that is no chain."""
    if model.architecture:
        return {"architecture": model.architecture}
    return {
        "encoder": ", ".join(model.encoder),
        "attention": ", ".join(model.attention),
        "head": ", ".join(model.head),
    }


def _describe_folder(path: Path) -> str:
    """Return a description of a slide's results, a run or an OME-Zarr."""
    if is_output(path) and not (path / "provenance.json").exists():
        try:
            return _lines(f"{path}: run of heatmaps-ome", output_facts(path))
        except OSError as error:
            raise ResultError(f"{path} cannot be read: {error.strerror}") from error
    for name, title, facts_of in (
        ("provenance.json", "result of heatmaps-ome", _result_facts),
        ("run.json", "run of heatmaps-ome", _run_facts),
        (".zattrs", "OME-Zarr", _zarr_facts),
        ("zarr.json", "OME-Zarr", lambda content: _zarr_facts(content["attributes"]["ome"])),
    ):
        if (path / name).exists():
            try:
                facts = facts_of(read_json(path / name))
            except OSError as error:
                raise ResultError(f"{path / name} cannot be read: {error.strerror}") from error
            except (ValueError, LookupError, TypeError, AttributeError, StopIteration) as error:
                if title == "OME-Zarr":
                    # Its image may lie in it as one of several, or not at all.
                    return _lines(f"{path}: slide", slide_facts(path))
                raise ResultError(
                    f"{path / name} is damaged ({type(error).__name__}); make the result anew"
                ) from error
            if title == "OME-Zarr":
                facts |= _as_slide(path)
            return _lines(f"{path}: {title}", facts)
    return _lines(f"{path}: slide", slide_facts(path))


def _as_slide(path: Path) -> dict[str, object]:
    """Return the facts of an OME-Zarr as a slide, or why it is none; {} for values of maps."""
    if (path.parent / "provenance.json").exists() and path.name.endswith(_VALUES):
        return {}
    try:
        return slide_facts(path)
    except HeatmapsError as error:
        return {"as a slide": f"cannot be read: {error}"}


def _result_facts(record: dict[str, Any]) -> dict[str, object]:
    """Return the main facts of a slide's provenance."""
    tiles = record.get("tiles")
    return {
        "slide": record["slide"]["name"],
        **(_given_facts(record) if tiles and "maps" in tiles else _trained_facts(record)),
        **({"tiles": f"{tiles['count']} of {tiles['system']}"} if tiles else {}),
        "cells": f"{record['tissue_cells']} of tissue",
        "made": f"{record['created']} by heatmaps-ome {record['versions']['heatmaps-ome']}",
        "files": len(record["files"]),
    }


def _trained_facts(record: dict[str, Any]) -> dict[str, object]:
    """Return the facts on the models of a result; features may be of an unknown extractor."""
    extractor = record["extractor"]
    return {
        "prediction": prediction_text(record),
        **_ground_truth(record),
        "drawn hot": record["true_class"],
        "model": f"{record['model']['digest'][:12]} ({', '.join(record['model']['classes'])})",
        "extractor": f"{extractor['name'] or 'not given'} {extractor['digest'][:12]}",
    }


def _given_facts(record: dict[str, Any]) -> dict[str, object]:
    """Return the facts on maps that were given: no model is known."""
    maps = record["tiles"]["maps"]
    return {
        "maps": ", ".join(f"{name} ({kind})" for name, kind in maps.items()),
        **_ground_truth(record),
        "drawn hot": record["true_class"],
    }


def _ground_truth(record: dict[str, Any]) -> dict[str, object]:
    """Return the ground truth that the user gave for a slide; {} if none."""
    label = record.get("label")
    return {} if label is None else {"ground truth": label}


def _beside(record: dict[str, Any]) -> str:
    """Return the ground truth as it follows a prediction; "" if none was given."""
    return "".join(f"; {name}: {text}" for name, text in _ground_truth(record).items())


def _run_facts(record: dict[str, Any]) -> dict[str, object]:
    """Return the outcomes of a run's slides."""
    return {
        "made": f"{record['created']} by heatmaps-ome {record['versions']['heatmaps-ome']}",
        **{
            slide["slide"]: f"{slide['status']} {prediction_text(slide)}{_beside(slide)}"
            f"{slide['message']}"
            for slide in record["slides"]
        },
    }


def _zarr_facts(metadata: dict[str, Any]) -> dict[str, object]:
    """Return the main facts of an OME-Zarr's metadata."""
    image = metadata["multiscales"][0]
    steps = image["datasets"][0]["coordinateTransformations"]
    return {
        "NGFF": metadata.get("version", image.get("version", "unknown")),
        "axes": ", ".join(axis["name"] for axis in image["axes"]),
        "levels": len(image["datasets"]),
        "scale": next(step["scale"] for step in steps if step["type"] == "scale"),
        "channels": ", ".join(c["label"] for c in metadata.get("omero", {}).get("channels", [])),
    }
