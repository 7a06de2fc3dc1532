"""Read a checkpoint of any system, of which nothing is run, as named tensors and plain facts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from heatmaps_ome.models.learner import class_names, count_bags, is_learner, target_label
from heatmaps_ome.models.refusals import Unsafe, Unusable, naming
from heatmaps_ome.models.safe_pickle.inert_values import Node, TensorRef
from heatmaps_ome.models.safe_pickle.known_globals import suspicious_names
from heatmaps_ome.models.safe_pickle.legacy_file import START as LEGACY_START
from heatmaps_ome.models.safe_pickle.legacy_file import LegacyFile, read_legacy_file
from heatmaps_ome.models.safe_pickle.torch_archive import TorchArchive, read_torch_archive
from heatmaps_ome.models.safetensors_file import is_safetensors, read_safetensors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    import numpy as np

    TorchFile = TorchArchive | LegacyFile

MOST_TENSORS: Final = 4096
_MOST_VISITED = 4 * MOST_TENSORS
ARCHIVE_START: Final = b"PK\x03\x04"
_START_BYTES = 16
_WRAPPERS = ("model_state_dict", "state_dict", "model_state", "model", "net", "weights")
"""Keys under which programs store a state dict beside the state of the training."""
_KEY = re.compile(r"[\w.\-]{1,200}")
_HYPER_PARAMETERS: Final = frozenset((
    "categories", "d_model", "dim_feedforward", "dim_hidden", "dim_input", "dim_model",
    "ground_truth_label", "model_name", "n_heads", "n_layers", "num_decoder_heads",
    "num_decoder_layers", "num_encoder_heads", "num_encoder_layers", "num_layers",
    "positional_encoding", "stamp_version", "supported_features", "task", "train_pred_median",
    "use_alibi",
))  # fmt: skip
"""All that is taken of a file's hyper-parameters: the others name patients, tables and folders."""
_PRIVATE_LISTS = ("train_patients", "valid_patients", "test_patients")
_LONGEST_TEXT = 200
_LONGEST_LIST = 1000


@dataclass(frozen=True, eq=False)
class CheckpointTensor:
    """A tensor of a checkpoint; its values are read when they are needed.

    Attributes
    ----------
    shape : tuple of int
    read : callable
        Returns the values, float32; raises `Unusable` if they are no floating numbers.
    """

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray[Any, np.dtype[np.float32]]] = field(repr=False)

    @cached_property
    def values(self) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The values, float32 whatever floating type is stored; Unusable if they are no numbers."""
        return self.read()


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The content of a model file that results may depend on, and nothing else of it.

    Attributes
    ----------
    tensors : mapping of str → CheckpointTensor
        By key, without the prefix ``module.`` of training on several GPUs.
    hyper_parameters : mapping of str → text, number, bool, list or dict
        Those of a fixed list that the file has; {} for most.
    notes : tuple of str
        Sentences for people on what the file is; they quote nothing of it.
    suspicious_globals : tuple of str
        Names in its pickle that no ordinary checkpoint asks for.
    n_private : int
        Patients that the file names.
    path : Path or None
        The file, beside which others may describe it; no result depends on it.
    """

    tensors: Mapping[str, CheckpointTensor] = field(repr=False)
    hyper_parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)
    notes: tuple[str, ...] = ()
    suspicious_globals: tuple[str, ...] = ()
    n_private: int = 0
    path: Path | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= len(self.tensors) <= MOST_TENSORS:
            raise Unusable(
                f"holds {len(self.tensors)} tensors where 1 to {MOST_TENSORS} are expected"
            )

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of each tensor."""
        return {key: tensor.shape for key, tensor in self.tensors.items()}

    def under(self, prefix: str) -> Checkpoint:
        """Return the same with only the tensors below a prefix, which their keys then lack."""
        tensors = {
            key.removeprefix(prefix): tensor
            for key, tensor in self.tensors.items()
            if key.startswith(prefix)
        }
        return replace(self, tensors=tensors)

    def values(self, key: str) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return a tensor's values, float32; `Unusable` if there is none, or no numbers."""
        if key not in self.tensors:
            raise Unusable(f"lacks the tensor {key}")
        return self.tensors[key].values


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a file of torch.save, also of before 1.6, or of safetensors; nothing in it is run.

    Raises
    ------
    UnsafeModelError
        Its pickle needs something that the safe reader refuses.
    ModelError
        It holds no tensors, or is damaged.
    """
    with naming(path):
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
        if is_safetensors(start):
            tensors, _metadata = read_safetensors(path)
            sources = {key: CheckpointTensor(t.shape, t.read) for key, t in tensors.items()}
            return Checkpoint(_without_prefix(sources), path=path)
        return checkpoint_of(read_torch_file(path), path)


def read_torch_file(path: Path) -> TorchFile:
    """Read a file of torch.save of any age.

    Raises
    ------
    Unsafe
        It is a bare pickle, or has a part that the safe reader refuses.
    Unusable
        It is damaged, or too large.
    """
    with path.open("rb") as file:
        start = file.read(_START_BYTES)
    if start.startswith(ARCHIVE_START):
        return read_torch_archive(path)
    if start.startswith(LEGACY_START):
        return read_legacy_file(path)
    raise Unsafe("is a bare pickle, and neither a zip archive nor another file of torch.save")


def checkpoint_of(file: TorchFile, path: Path | None = None) -> Checkpoint:
    """Return the checkpoint in a torch file.

    Raises
    ------
    Unusable
        If there is no state dict in it.
    """
    root = file.pickle.root
    plain = _mapping(_hyper_parameters_of(root))
    state = _state_dict(root)
    sources = {
        key: CheckpointTensor(ref.shape, lambda ref=ref: file.tensor(ref))
        for key, ref in state.items()
    }
    return Checkpoint(
        _without_prefix(sources),
        _hyper_parameters(plain),
        suspicious_globals=suspicious_names(file.pickle.names),
        n_private=_count_private(root, plain),
        path=path,
    )


def _count_private(root: Any, plain: dict[Any, Any]) -> int:
    """Return the number of patients, or of bags in an export of fastai, that a file names."""
    if isinstance(root, Node):
        return count_bags(root)
    return sum(len(plain[name]) for name in _PRIVATE_LISTS if isinstance(plain.get(name), list))


def keys_in_words(keys: Iterable[str]) -> str:
    """Return some of a file's keys for a sentence, only those that look like a network's."""
    texts = [key for key in keys if _KEY.fullmatch(key)]
    some = ", ".join(texts[:6])
    return some + (", …" if len(texts) > 6 else "") if texts else "none with a usual name"


def _state_dict(root: Any) -> dict[str, TensorRef]:
    """Return the tensors by key of a state dict, of one inside a wrapper, or of a whole module."""
    for candidate in _candidates(root):
        tensors = {
            key: value
            for key, value in candidate.items()
            if isinstance(key, str) and isinstance(value, TensorRef)
        }
        if tensors:
            return tensors
    if isinstance(root, Node):
        raise Unusable(
            f"holds a {root.qualname}, not the fastai Learner of an export.pkl, and no network"
        )
    raise Unusable(
        "holds no fastai Learner, as an export.pkl does, and no state dict of a network, neither "
        f"as a whole nor under {', '.join(_WRAPPERS[:-1])} or {_WRAPPERS[-1]}"
    )


def _candidates(root: Any) -> Iterable[dict[Any, Any]]:
    if isinstance(root, Node):
        module = root.get("model") if is_learner(root) else root
        yield _tensors_of_module(module)
        return
    wrapped = [_mapping(root).get(name) for name in _WRAPPERS]
    for inner in wrapped:
        yield _tensors_of_module(inner) if isinstance(inner, Node) else _mapping(inner)
    yield _mapping(root)


def _tensors_of_module(module: Any) -> dict[str, TensorRef]:
    """Return the state dict of a pickled module: its parameters and buffers by their keys."""
    tensors: dict[str, TensorRef] = {}
    waiting = [("", module)]
    n_visited = 0
    while waiting:
        prefix, current = waiting.pop()
        if not isinstance(current, Node):
            continue
        children = _mapping(current.get("_modules")).items()
        own = [
            item
            for part in ("_parameters", "_buffers")
            for item in _mapping(current.get(part)).items()
        ]
        n_visited += 1 + len(own) + len(children)
        if n_visited > _MOST_VISITED:  # a file can make a module that contains itself
            raise Unusable("has too many layers for a model of bags")
        tensors |= {f"{prefix}{name}": ref for name, ref in own if isinstance(ref, TensorRef)}
        waiting += [(f"{prefix}{name}.", child) for name, child in reversed(children)]
    return tensors


def _without_prefix(tensors: dict[str, CheckpointTensor]) -> dict[str, CheckpointTensor]:
    """Return tensors without the prefix that DataParallel puts before all keys."""
    if all(key.startswith("module.") for key in tensors):
        return {key.removeprefix("module."): tensor for key, tensor in tensors.items()}
    return tensors


def _hyper_parameters_of(root: Any) -> Any:
    if isinstance(root, Node) and is_learner(root):
        try:
            return {"categories": list(class_names(root)), "ground_truth_label": target_label(root)}
        except Unusable:  # a regression model's training data has no classes
            return {"categories": [], "ground_truth_label": target_label(root)}
    return _mapping(root).get("hyper_parameters")


def _hyper_parameters(plain: dict[Any, Any]) -> dict[str, Any]:
    """Return the listed hyper-parameters whose values are plain."""
    values = {name: _plain(plain[name]) for name in sorted(_HYPER_PARAMETERS & plain.keys())}
    return {name: value for name, value in values.items() if value is not None}


def _plain(value: Any, depth: int = 2) -> Any:
    """Return a number, text, or list or dict of these; None for anything else."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return value if len(value) <= _LONGEST_TEXT else None
    if isinstance(value, Node) and value.qualname == "packaging.version.Version":
        return _version(value.state)
    if depth == 0 or not isinstance(value, list | tuple | dict) or len(value) > _LONGEST_LIST:
        return None
    if isinstance(value, dict):
        return {key: _plain(item, depth - 1) for key, item in value.items() if isinstance(key, str)}
    return [_plain(item, depth - 1) for item in value]


def _version(state: Any) -> str | None:
    """Return a version that packaging ≥ 25 pickles as (epoch, release, …), or older as a dict."""
    if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], dict):
        state = state[1]
    if isinstance(state, dict):
        inner = state.get("_version")
        state = inner.args if isinstance(inner, Node) else ()
    release = state[1] if isinstance(state, tuple) and len(state) > 1 else None
    if not isinstance(release, tuple) or not all(isinstance(part, int) for part in release[:5]):
        return None
    return ".".join(map(str, release[:5]))


def _mapping(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}
