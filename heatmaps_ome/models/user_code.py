"""Models of the user's own, whose code is run: ``--model-code module:Class``.

The module is imported from the working folder or the environment, and the class is built with the
path that --model-path gives. It has two methods, one of which may return None::

    import torch

    class MeanPool:
        def __init__(self, path):
            self.layer = torch.load(path, weights_only=True)
            self.n_features = self.layer["weight"].shape[1]
            self.classes = ("MSS", "MSI")

        def logits(self, features, um_places):
            # features: (n, n_features) float32; um_places: (n, 2) float32, x and y in µm
            mean = features.mean(dim=0)
            return self.layer["weight"] @ mean + self.layer["bias"]

        def attention(self, features, um_places):
            return None  # or (n,): the attention of each tile

``logits`` returns one number for each output, before any softmax. Tensors are on the CPU. For
``--explain ig`` it must be made of torch's functions, so that it has gradients of the features.
``classes`` may be left out where --class-names gives them, or where --task regression or survival
leaves a single value.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch

from heatmaps_ome.errors import ModelError
from heatmaps_ome.models.refusals import Unusable, naming
from heatmaps_ome.models.target import Target
from heatmaps_ome.storage.digests import digest_of, file_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from heatmaps_ome.models.model_facts import ModelFacts
    from heatmaps_ome.models.protocol import Additivity

_CODE = re.compile(r"(?!.*\.py:)(?P<module>[A-Za-z_]\w*(\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_]\w*)")


class UserClass(Protocol):
    """The class that a user writes; attribute ``classes`` may be missing, see above."""

    n_features: int

    def logits(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the slide's logits, (C,)."""
        ...

    def attention(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor | None:
        """Return the attention of tiles, (n,), or None where there is none."""
        ...


@dataclass(frozen=True, eq=False)
class UserModel:
    """A MilModel around an object of the user's class.

    Attributes
    ----------
    code : str
        ``module:Class``.
    instance : UserClass
    target : Target
    n_features : int
    digest : str
        sha256 in hex of the file, of the module's source and of the target; not of what the
        module imports.
    """

    code: str
    instance: UserClass = field(repr=False)
    target: Target
    n_features: int
    digest: str
    additivity: Additivity = "none"
    knows_single_tiles: bool = True

    @property
    def family(self) -> str:
        """The name for people; see MilModel."""
        return f"own model {self.code}"

    def to(self, device: str | torch.device) -> UserModel:
        """Return the model itself, which always computes on the CPU."""
        del device
        return self

    def logits(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the slide's logits, (C,); see MilModel.

        Raises
        ------
        ModelError
            If the user's code fails, or returns anything else.
        """
        with _running(self.code, "logits"):
            result = self.instance.logits(features.cpu(), um_places.cpu())
        logits = self._checked(result, "logits", (len(self.target.outputs),))
        if torch.is_grad_enabled() and features.requires_grad and not logits.requires_grad:
            raise ModelError(
                f"{self.code} returns logits without gradients of the features, which --explain ig "
                "needs; compute them with torch, or choose another explanation"
            )
        return logits.to(features.device)

    def tile_logits(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor:
        """Return the logits of each tile as a bag of its own, (n, C); see MilModel."""
        bags = zip(features.split(1), um_places.split(1), strict=True)
        return torch.stack([self.logits(*bag) for bag in bags])

    def attention(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor | None:
        """Return the attention of tiles, (n,), or None; see MilModel.

        Raises
        ------
        ModelError
            If the user's code fails, or returns anything else.
        """
        with _running(self.code, "attention"):
            result = self.instance.attention(features.cpu(), um_places.cpu())
        if result is None:
            return None
        return self._checked(result, "attention", (len(features),)).to(features.device)

    def contributions(self, features: torch.Tensor, um_places: torch.Tensor) -> torch.Tensor | None:
        """Return None: it is not known whether the model is additive."""
        del features, um_places

    def _checked(self, result: Any, method: str, shape: tuple[int, ...]) -> torch.Tensor:
        try:
            tensor = torch.as_tensor(result, dtype=torch.float32)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"{self.code} returns no numbers from {method}, but a {type(result).__name__}"
            ) from error
        if tuple(tensor.shape) != shape:
            raise ModelError(
                f"{self.code} returns {tuple(tensor.shape)} numbers from {method} where {shape} "
                "are expected"
            )
        if not bool(tensor.isfinite().all()):
            raise ModelError(f"{self.code} returns numbers from {method} that are not finite")
        return tensor


def read_user_model(path: Path, facts: ModelFacts) -> UserModel:
    """Import the user's class, build it with a file, and return the model; this runs its code.

    Raises
    ------
    ModelError
        If the code fails, or lacks an attribute or method; or the file cannot be read.
    """
    code = facts.code or ""
    _require_no_files_facts(facts)
    match = _CODE.fullmatch(code)
    if match is None:
        raise ModelError(
            f"--model-code {code} is not of the form module:Class, such as my_models:MeanPool"
        )
    with naming(path):
        contents = file_digest(path)
    kind, source = _class_and_source(match["module"], match["name"], code)
    with _running(code, "building it"):
        instance = kind(path)
    n_features = getattr(instance, "n_features", None)
    if type(n_features) is not int or n_features < 1:
        raise ModelError(f"{code} has no attribute n_features, a whole number above 0; add it")
    for method in ("logits", "attention"):
        if not callable(getattr(instance, method, None)):
            raise ModelError(f"{code} has no method {method}(features, um_places); add it")
    target = _target(instance, facts, code)
    parts = {"file": contents, "source": source, "code": code, "target": target.record()}
    return UserModel(code, cast("UserClass", instance), target, n_features, digest_of(parts))


def _require_no_files_facts(facts: ModelFacts) -> None:
    """Refuse facts about the families of files: the user's own class reads its file."""
    given = {
        "--family": facts.family, "--head": facts.head, "--heads": facts.heads,
        "--attention-gate": facts.gate, "--temperature": facts.temperature,
    }  # fmt: skip
    for option, value in given.items():
        if value is not None:
            raise ModelError(
                f"{option} has no effect on a class of --model-code, which reads its file itself; "
                "leave it out"
            )


def _class_and_source(module: str, name: str, code: str) -> tuple[Any, str]:
    """Return a class, and the digest of its module's source."""
    with _running(code, "importing it"), _working_folder_importable():
        kind = getattr(importlib.import_module(module), name, None)
    if not inspect.isclass(kind):
        raise ModelError(f"{code} names no class of the module {module}; check its name")
    with _running(code, "reading its source"):
        source = Path(inspect.getfile(kind)).read_bytes()
    return kind, hashlib.sha256(source).hexdigest()


def _target(instance: Any, facts: ModelFacts, code: str) -> Target:
    names = facts.class_names or tuple(map(str, getattr(instance, "classes", None) or ()))
    task = facts.task or "classification"
    if not names and task in ("classification", "multilabel"):
        raise ModelError(f"{code} has no attribute classes; add it, or give --class-names")
    try:
        return Target.of_task(task, names, len(names) or 1)
    except Unusable as reason:
        raise ModelError(f"{code} {reason}") from reason


@contextmanager
def _running(code: str, step: str) -> Iterator[None]:
    """Convert any error of the user's code to one sentence that names the class."""
    try:
        yield
    except Exception as error:
        text = " ".join(str(error).split())
        raise ModelError(
            f"{code}, the class of --model-code, failed in {step}: {type(error).__name__}: {text}"
        ) from error


@contextmanager
def _working_folder_importable() -> Iterator[None]:
    """Let modules of the working folder be imported, as ``python -m`` does."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
