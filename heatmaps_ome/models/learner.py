"""Find the parts of a marugoto model inside a fastai Learner, an inert tree or a live object.

The structure is that of github.com/KatherLab/marugoto: `marugoto/data.py` (MapDataset,
EncodedDataset), `mil/data.py` (how covariates are attached), `mil/helpers.py` (how they are
encoded) and `mil/model.py` (encoder, attention, head).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from heatmaps_ome.models.covariates import Covariate, is_finite
from heatmaps_ome.models.layers import (
    MAX_LAYERS,
    Layer,
    kind_of,
    make_layer,
    option_names,
    tensor_names,
)
from heatmaps_ome.models.refusals import Unsafe, Unusable
from heatmaps_ome.models.safe_pickle.arrow_texts import arrow_texts
from heatmaps_ome.models.safe_pickle.inert_values import ArrayRef, Node
from heatmaps_ome.models.stored import MAX_CLASSES, PARTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    ToArray = Callable[[Any], np.ndarray[Any, np.dtype[np.float32]]]

_CONTAINER = "torch.nn.modules.container.Sequential"
_MAX_VISITED = 4 * MAX_LAYERS
_NAN = "nan"
"""The text of the category that scikit-learn's encoder has for missing values."""


def attribute(thing: Any, name: str) -> Any:
    """Return an attribute of an inert or live object, or None."""
    return thing.get(name) if isinstance(thing, Node) else getattr(thing, name, None)


def class_name(thing: Any) -> str:
    """Return the full name of an inert or live object's class."""
    if isinstance(thing, Node):
        return thing.qualname
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def is_learner(root: Any) -> bool:
    """Return whether a file's outermost object is a fastai Learner."""
    return class_name(root) == "fastai.learner.Learner"


def require_learner(root: Any) -> None:
    """Check that a file's outermost object is a fastai Learner.

    Raises
    ------
    Unusable
        The object is of another class.
    """
    if not is_learner(root):
        raise Unusable(f"holds a {class_name(root)}, not the fastai Learner of an export.pkl")


def is_attention_mil(learner: Any) -> bool:
    """Return whether the model of a Learner has the parts of attention MIL."""
    return set(_mapping(attribute(attribute(learner, "model"), "_modules"))) == set(PARTS)


def has_class_names(learner: Any) -> bool:
    """Return whether the training data of a Learner names the model's classes."""
    encoder = attribute(_datasets(learner)[-1], "encode")
    return len(_items(attribute(encoder, "categories_"))) == 1


def model_parts(learner: Any) -> dict[str, Any]:
    """Return the modules of encoder, attention and head.

    Raises
    ------
    Unusable
        The model is of another family.
    """
    model = attribute(learner, "model")
    modules = _mapping(attribute(model, "_modules"))
    if set(modules) != set(PARTS):
        raise Unusable(
            f"holds a {class_name(model)}, which is not an attention-MIL model of encoder, "
            "attention and head; only those are supported"
        )
    _require_no_hooks(model)
    return {part: modules[part] for part in PARTS}


def layers_of(module: Any, to_array: ToArray) -> tuple[Layer, ...]:
    """Return the layers of a module, nested sequences laid end to end.

    Parameters
    ----------
    module : object
        A module of `torch.nn`, inert or live.
    to_array : callable
        Converts one of its tensors to a float32 array.

    Raises
    ------
    Unsafe
        A layer is not supported, or hooks change its result.
    Unusable
        A layer is malformed, or there are too many.
    """
    return tuple(_layer(leaf, to_array) for leaf in _leaves(module))


def class_names(learner: Any) -> tuple[str, ...]:
    """Return the classes in the order of the model's outputs.

    Raises
    ------
    Unusable
        The training data names none, as with regression.
    """
    encoder = attribute(_datasets(learner)[-1], "encode")
    categories = _items(attribute(encoder, "categories_"))
    if len(categories) != 1:
        raise Unusable(
            "stores no class names; give them with --class-names, in the order of its outputs"
        )
    return _texts(categories[0], "class names")


def target_label(learner: Any) -> str | None:
    """Return the clinical table's column with the training target, if it is stored."""
    label = attribute(learner, "target_label")
    return label if isinstance(label, str) and label else None


def covariates_of(learner: Any) -> tuple[Covariate, ...]:
    """Return the tabular inputs in the order of their columns: categories, then numbers.

    Raises
    ------
    Unusable
        They are not encoded as in marugoto, or have no names.
    """
    datasets = _datasets(learner)
    if len(datasets) == 2:
        return ()
    encoded = _items(attribute(datasets[1], "_datasets")) if len(datasets) == 3 else ()
    if not 1 <= len(encoded) <= 2:
        raise Unusable("combines its inputs in a way that is not marugoto's")
    covariates: list[Covariate] = []
    for dataset in encoded:
        covariates += _covariates(learner, _pipeline_steps(attribute(dataset, "encode")))
    return tuple(covariates)


def count_bags(learner: Any) -> int:
    """Return the number of training and validation bags whose files a Learner names."""
    loaders = _items(attribute(attribute(learner, "dls"), "loaders"))
    datasets = [_items(attribute(attribute(loader, "dataset"), "_datasets")) for loader in loaders]
    bags = [attribute(first, "bags") for first, *_others in filter(None, datasets)]
    return sum(len(files) for files in bags if isinstance(files, ArrayRef | list | np.ndarray))


def _datasets(learner: Any) -> tuple[Any, ...]:
    loaders = _items(attribute(attribute(learner, "dls"), "loaders"))
    dataset = attribute(loaders[0], "dataset") if loaders else None
    datasets = _items(attribute(dataset, "_datasets"))
    if len(datasets) < 2:
        raise Unusable(
            "does not hold the training data's structure that marugoto stores, so its classes "
            "are not known"
        )
    return datasets


def _leaves(module: Any) -> Iterator[Any]:
    waiting = [module]
    n_visited = 0
    while waiting:
        n_visited += 1
        if n_visited > _MAX_VISITED:  # a file can make a sequence that contains itself
            raise Unusable("has too many layers for an attention-MIL model")
        current = waiting.pop()
        _require_no_hooks(current)
        children = _mapping(attribute(current, "_modules"))
        if class_name(current) == _CONTAINER:
            waiting += reversed(children.values())
        else:
            yield current


def _require_no_hooks(module: Any) -> None:
    for name in ("_forward_hooks", "_forward_pre_hooks"):
        if _mapping(attribute(module, name)):
            raise Unsafe(f"has a {class_name(module)} that runs code of its own")


def _layer(module: Any, to_array: ToArray) -> Layer:
    kind = kind_of(class_name(module))
    stored = {
        name: tensor
        for holder in ("_parameters", "_buffers")
        for name, tensor in _mapping(attribute(module, holder)).items()
        if tensor is not None and name != "num_batches_tracked"
    }
    if _mapping(attribute(module, "_modules")) or not set(stored) <= set(tensor_names(kind)):
        raise Unsafe(f"has a {kind} with parts that torch's own lacks")
    options = {name: attribute(module, name) for name in option_names(kind)}
    return make_layer(kind, options, {name: to_array(tensor) for name, tensor in stored.items()})


def _pipeline_steps(pipeline: Any) -> dict[str, Any]:
    steps = _items(attribute(pipeline, "steps"))
    if not all(isinstance(step, tuple) and len(step) == 2 for step in steps):
        raise Unusable("has a covariate that is not encoded by a scikit-learn pipeline")
    return {class_name(step).rpartition(".")[2]: step for _name, step in steps}


def _covariates(learner: Any, steps: dict[str, Any]) -> list[Covariate]:
    if list(steps) == ["OneHotEncoder", "StandardScaler"]:
        return _categorical(learner, steps["OneHotEncoder"], steps["StandardScaler"])
    # Numbers may do without an imputer.
    if "StandardScaler" in steps and set(steps) <= {"StandardScaler", "SimpleImputer"}:
        return _continuous(learner, steps)
    raise Unusable("has a covariate that is encoded in a way that is not marugoto's")


def _categorical(learner: Any, encoder: Any, scaler: Any) -> list[Covariate]:
    values = _items(attribute(encoder, "categories_"))
    categories = [_texts(array, "covariate categories") for array in values]
    takes_unseen = attribute(encoder, "handle_unknown") == "ignore"
    # A missing value is a category of its own if the encoder saw one, else one that it ignores.
    imputed = [_NAN if _NAN in texts else "" if takes_unseen else None for texts in categories]
    names, scaling = _names_and_scaling(learner, "cat_labels", scaler, list(map(len, categories)))
    return [
        Covariate(*covariate, takes_unseen=takes_unseen)
        for covariate in zip(names, categories, *scaling, imputed, strict=True)
    ]


def _continuous(learner: Any, steps: dict[str, Any]) -> list[Covariate]:
    counts = [1] * len(_labels(learner, "cont_labels"))
    names, (means, scales) = _names_and_scaling(
        learner, "cont_labels", steps["StandardScaler"], counts
    )
    imputed = _imputed(steps, means, scales)
    return [
        Covariate(name, None, mean, scale, value)
        for name, mean, scale, value in zip(names, means, scales, imputed, strict=True)
    ]


def _imputed(
    steps: dict[str, Any], means: Sequence[tuple[float, ...]], scales: Sequence[tuple[float, ...]]
) -> list[float | None]:
    """Return the number that stands for each missing one, in the unit of the table."""
    imputer = steps.get("SimpleImputer")
    if imputer is None:
        return [None] * len(means)
    marker = attribute(imputer, "missing_values")
    if not (isinstance(marker, float) and math.isnan(marker)) or attribute(
        imputer, "add_indicator"
    ):
        raise Unusable("has covariates whose missing values are imputed in a way that is not known")
    numbers = _elements(attribute(imputer, "statistics_"))
    if len(numbers) != len(means) or not all(
        isinstance(x, int | float) and is_finite(x) for x in numbers
    ):
        raise Unusable("has covariates whose missing values have no stand-in")
    if next(iter(steps)) == "SimpleImputer":
        return [float(number) for number in numbers]
    # The imputer comes after the scaler.
    return [
        number * scale[0] + mean[0]
        for number, mean, scale in zip(numbers, means, scales, strict=True)
    ]


def _names_and_scaling(
    learner: Any, labels: str, scaler: Any, counts: list[int]
) -> tuple[tuple[str, ...], tuple[list[tuple[float, ...]], list[tuple[float, ...]]]]:
    names = _labels(learner, labels)
    if not names or len(names) != len(counts):
        raise Unusable("does not name each of its covariates")
    centred = attribute(scaler, "with_mean") is not False
    means = _scaling(scaler if centred else None, "mean_", 0.0, counts)
    scales = _scaling(scaler, "scale_", 1.0, counts)
    return names, (list(means), list(scales))


def _scaling(
    scaler: Any, name: str, absent: float, counts: list[int]
) -> Iterator[tuple[float, ...]]:
    stored = attribute(scaler, name)
    numbers = [absent] * sum(counts) if stored is None else _elements(stored)
    if len(numbers) != sum(counts) or not all(
        isinstance(x, int | float) and is_finite(x) for x in numbers
    ):
        raise Unusable("has covariates whose scaling does not fit their categories")
    ends = np.cumsum(counts).tolist()
    return (tuple(map(float, numbers[end - n : end])) for n, end in zip(counts, ends, strict=True))


def _labels(learner: Any, name: str) -> tuple[str, ...]:
    labels = _items(attribute(learner, name))
    if not all(isinstance(label, str) for label in labels):
        raise Unusable("does not name each of its covariates")
    return labels


def _texts(array: Any, what: str) -> tuple[str, ...]:
    """Return the elements of an array of texts, numbers or booleans, as texts."""
    elements = _elements(array)
    if not all(isinstance(element, str | int | float) for element in elements):
        raise Unusable(f"stores its {what} in a form that is not known")
    return tuple(map(str, elements))


def _elements(array: Any) -> list[Any]:
    """Return a short array's elements as plain Python values."""
    array = _without_pandas(array)
    values = array.values if isinstance(array, ArrayRef) else array
    if not isinstance(values, list | np.ndarray) or len(values) > MAX_CLASSES:
        raise Unusable("stores an array in a form that is not known")
    if isinstance(values, list):
        return values
    try:
        return values.ravel().tolist()
    except ValueError:
        raise Unusable("is damaged: a text holds impossible characters") from None


def _without_pandas(array: Any) -> Any:
    """Return the NumPy array inside a pandas StringArray, whose state is ``(dtype, array)``.

    Where pyarrow is installed, it is an Arrow array instead, whose texts are returned.
    """
    if not isinstance(array, Node):
        return array.to_numpy() if class_name(array).startswith("pandas.") else array
    if (texts := arrow_texts(array, MAX_CLASSES)) is not None:
        return texts
    state = array.state if isinstance(array.state, tuple) else ()
    return next((part for part in state if isinstance(part, ArrayRef)), array)


def _items(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list | tuple) else ()


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}
