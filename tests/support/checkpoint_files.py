"""Checkpoints of other systems with random weights, and their logits by formulas in NumPy.

A bag is (n, d) float64; all formulas are written down from the papers and the original classes,
without torch and without our own code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Sample:
    """A state dict, with the logits of a bag; `facts` are those that the file lacks."""

    family: str
    state: Arrays
    logits: Callable[[np.ndarray], np.ndarray]
    additivity: str
    facts: dict[str, Any] = field(default_factory=dict)
    n_outputs: int = 0
    task: str = "classification"


def linear(x: np.ndarray, state: Arrays, name: str) -> np.ndarray:
    return x @ state[f"{name}.weight"].T + state.get(f"{name}.bias", 0)


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(x: np.ndarray) -> np.ndarray:
    powers = np.exp(x - x.max(axis=0))
    return powers / powers.sum(axis=0)


def pooled(attention: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return the logits of a slide from those of its tiles: (n, 1 or C), (n, C) to (C,)."""
    return (softmax(attention) * logits).sum(axis=0)


def weights(seed: int, *layers: tuple[str, int, int], bias: bool = True) -> Arrays:
    """Return random linear layers of (name, inputs, outputs)."""
    rng = np.random.default_rng(seed)
    state: Arrays = {}
    for name, n_in, n_out in layers:
        state[f"{name}.weight"] = rng.normal(0, n_in**-0.5, (n_out, n_in)).astype("f4")
        if bias:
            state[f"{name}.bias"] = rng.normal(0, 0.3, n_out).astype("f4")
    return state


def batch_norm(seed: int, name: str, size: int) -> Arrays:
    rng = np.random.default_rng(seed)
    return {
        f"{name}.running_mean": rng.uniform(0.1, 0.3, size).astype("f4"),
        f"{name}.running_var": rng.uniform(0.03, 0.08, size).astype("f4"),
        f"{name}.weight": rng.uniform(0.5, 1.5, size).astype("f4"),
        f"{name}.bias": rng.uniform(-0.5, 0.5, size).astype("f4"),
        f"{name}.num_batches_tracked": np.int64(7),
    }


def normed(x: np.ndarray, state: Arrays, name: str) -> np.ndarray:
    scale = state[f"{name}.weight"] / np.sqrt(state[f"{name}.running_var"] + 1e-5)
    return (x - state[f"{name}.running_mean"]) * scale + state[f"{name}.bias"]


def gated(h: np.ndarray, state: Arrays, tanh: str, gate: str, last: str) -> np.ndarray:
    values = np.tanh(linear(h, state, tanh)) * sigmoid(linear(h, state, gate))
    return linear(values, state, last)


def clam(
    *, n_features: int, n_classes: int, gate: bool = True, multi: bool = False, place: int = 3,
    old: bool = False, has_instances: bool = True, sizes: tuple[int, int] = (48, 24),
) -> Sample:  # fmt: skip
    """Return CLAM's single-branch or multi-branch model, with today's or the oldest keys."""
    (width, hidden), n_attentions = sizes, n_classes if multi else 1
    at, last = f"attention_net.{place}", 3 if place == 3 else 2
    layers = [("attention_net.0", n_features, width)]
    if gate:
        layers += [(f"{at}.attention_a.0", width, hidden), (f"{at}.attention_b.0", width, hidden),
                   (f"{at}.attention_c", hidden, n_attentions)]  # fmt: skip
    else:
        layers += [(f"{at}.module.0", width, hidden), (f"{at}.module.{last}", hidden, n_attentions)]
    if multi:
        layers += [(f"classifiers.{index}", width, 1) for index in range(n_classes)]
    else:
        layers.append(("classifiers", width, n_classes))
    if has_instances:
        layers += [(f"instance_classifiers.{index}", width, 2) for index in range(n_classes)]
    state = weights(n_features + n_classes, *layers)

    def logits(x: np.ndarray) -> np.ndarray:
        h = relu(linear(x, state, "attention_net.0"))
        if gate:
            a = gated(h, state, f"{at}.attention_a.0", f"{at}.attention_b.0", f"{at}.attention_c")
        else:
            a = linear(np.tanh(linear(h, state, f"{at}.module.0")), state, f"{at}.module.{last}")
        names = [f"classifiers.{index}" for index in range(n_classes)] if multi else ["classifiers"]
        return pooled(a, np.concatenate([linear(h, state, name) for name in names], axis=1))

    written = dict(state)
    if old:
        written = {
            k.replace("attention_net.", "attention_net.module."): v for k, v in state.items()
        }
        written["instance_loss_fn.labels"] = np.array([0, 1])
    return Sample("clam", written, logits, "pooled", n_outputs=n_classes)


def chief_survival() -> Sample:
    """Return CHIEF's survival model, whose risk is the second of its outputs."""
    sample = clam(n_features=384, n_classes=2, has_instances=False, sizes=(256, 256))
    return Sample(
        "chief", sample.state, lambda x: sample.logits(x)[1:], "pooled",
        n_outputs=1, task="survival",
    )  # fmt: skip


def chief_organ(organ: int) -> Sample:
    """Return CHIEF's pretrained model with the embedding of an organ."""
    own = clam(n_features=384, n_classes=2, sizes=(256, 256))
    more = weights(
        5, ("text_to_vision.0", 32, 256), ("att_head.fc1", 256, 8), ("att_head.fc2", 8, 1)
    )
    organs = np.random.default_rng(6).normal(size=(19, 32)).astype("f4")
    state = {**own.state, **more, "organ_embedding": organs}

    def logits(x: np.ndarray) -> np.ndarray:
        text = relu(linear(organs[organ].astype("f8"), state, "text_to_vision.0"))
        return own.logits(x) + state["classifiers.weight"] @ text

    return Sample("chief", state, logits, "pooled", {"head": str(organ)}, 2)


def marugoto(n_features: int, n_outputs: int, head: str = "head.3", **facts: Any) -> Sample:
    """Return marugoto's MILModel as a state dict; head.3 has a batch normalisation before it."""
    state = weights(
        n_features, ("encoder.0", n_features, 20), ("attention.0", 20, 10), ("attention.2", 10, 1),
        (head, 20, n_outputs),
    )  # fmt: skip
    if head == "head.3":
        state |= batch_norm(1, "head.1", 20)

    def logits(x: np.ndarray) -> np.ndarray:
        h = relu(linear(x, state, "encoder.0"))
        a = linear(np.tanh(linear(h, state, "attention.0")), state, "attention.2")
        z = normed(h, state, "head.1") if head == "head.3" else h
        return pooled(a, linear(z, state, head))

    task = facts.get("task", "classification")
    return Sample("marugoto", state, logits, "pooled", facts, n_outputs, task)


def histobistro(n_outputs: int, **facts: Any) -> Sample:
    """Return HistoBistro's AttentionMIL: a head without batch normalisation, and a prefix."""
    own = marugoto(12, n_outputs, "head.2", **facts)
    state = {f"model.{key}": value for key, value in own.state.items()}
    state["criterion.pos_weight"] = np.ones(1, "f4")
    return Sample("histobistro", state, own.logits, "pooled", facts, n_outputs, own.task)


def millab_clam(n_classes: int) -> Sample:
    """Return MIL-Lab's CLAM, which predicts as its ABMIL does."""
    own = millab_abmil(18, n_classes)
    instances = [(f"instance_classifiers.{index}", 24, 2) for index in range(n_classes)]
    state = own.state | weights(1, *instances)
    return Sample("millab-abmil", state, own.logits, "pooled", n_outputs=n_classes)


def slideflow(n_outputs: int, gate: float, temperature: float, **facts: Any) -> Sample:
    """Return slideflow's attention MIL: a quantile before the softmax, and a temperature."""
    own = marugoto(12, n_outputs).state

    def logits(x: np.ndarray) -> np.ndarray:
        h = relu(linear(x, own, "encoder.0"))
        a = linear(np.tanh(linear(h, own, "attention.0")), own, "attention.2")
        if gate and len(a) > 1:
            a = np.where(a > np.quantile(a, gate), a, -np.inf)
        return pooled(a / temperature, linear(normed(h, own, "head.1"), own, "head.3"))

    facts = {"gate": gate, "temperature": temperature, **facts}
    kind = "given a choice" if gate else "pooled"
    return Sample("slideflow", own, logits, kind, facts, n_outputs,
                  facts.get("task", "classification"))  # fmt: skip


def millab_abmil(
    n_features: int, n_classes: int, *, gate: bool = True, depth: int = 1, prefix: str = ""
) -> Sample:
    """Return MIL-Lab's ABMIL of several layers; files of the hub have a prefix."""
    names = [f"patch_embed.{3 * index}" for index in range(depth)]
    g = "global_attn."
    layers = [(name, 24 if index else n_features, 24) for index, name in enumerate(names)]
    if gate:
        layers += [(f"{g}attention_a.0", 24, 8), (f"{g}attention_b.0", 24, 8),
                   (f"{g}attention_c", 8, 1)]  # fmt: skip
    else:
        layers += [(f"{g}module.0", 24, 8), (f"{g}module.3", 8, 1)]
    state = weights(depth, *layers, ("classifier", 24, n_classes))

    def logits(x: np.ndarray) -> np.ndarray:
        for name in names:
            x = relu(linear(x, state, name))
        if gate:
            a = gated(x, state, f"{g}attention_a.0", f"{g}attention_b.0", f"{g}attention_c")
        else:
            a = linear(np.tanh(linear(x, state, f"{g}module.0")), state, f"{g}module.3")
        return pooled(a, linear(x, state, "classifier"))

    written = {f"{prefix}{key}": value for key, value in state.items()}
    return Sample("millab-abmil", written, logits, "pooled", n_outputs=n_classes)


def dsmil(
    n_features: int, n_classes: int, *, deep: bool = True, value: bool = False, dot: str = ".0"
) -> Sample:
    """Return the original DSMIL, with or without nonlinear queries and values."""
    q = ["b_classifier.q.0", "b_classifier.q.2"] if deep else ["b_classifier.q"]
    layers = [(f"i_classifier.fc{dot}", n_features, n_classes), (q[0], n_features, 9)]
    layers += [(q[1], 9, 9)] if deep else []
    layers += [("b_classifier.v.1", n_features, n_features)] if value else []
    state = weights(n_classes, *layers)
    rng = np.random.default_rng(3)
    state["b_classifier.fcc.weight"] = rng.normal(
        0, 0.2, (n_classes, n_classes, n_features)
    ).astype("f4")
    state["b_classifier.fcc.bias"] = rng.normal(0, 0.2, n_classes).astype("f4")

    def query(x: np.ndarray) -> np.ndarray:
        if not deep:
            return linear(x, state, q[0])
        return np.tanh(linear(relu(linear(x, state, q[0])), state, q[1]))

    def logits(x: np.ndarray) -> np.ndarray:
        c = linear(x, state, f"i_classifier.fc{dot}")
        a = softmax(query(x) @ query(x[c.argmax(0)]).T / np.sqrt(9))
        v = linear(x, state, "b_classifier.v.1") if value else x
        v = relu(v) if value and deep else v  # the older code had no ReLU here
        bag = np.einsum("kcd,cd->k", state["b_classifier.fcc.weight"], a.T @ v)
        return (c.max(0) + bag + state["b_classifier.fcc.bias"]) / 2

    task = "classification" if n_classes == 1 else "multilabel"
    return Sample("dsmil", state, logits, "given a choice", n_outputs=n_classes, task=task)


def millab_dsmil(n_features: int, n_classes: int, depth: int) -> Sample:
    """Return MIL-Lab's DSMIL: embedded features, linear values and a LayerNorm."""
    names = [f"patch_embed.{3 * index}" for index in range(depth)]
    state = weights(
        depth + 7, *[(name, 16 if index else n_features, 16) for index, name in enumerate(names)],
        ("i_classifier.inst_classifier", 16, n_classes), ("b_classifier.q", 16, 6),
        ("b_classifier.v.1", 16, 16),
    )  # fmt: skip
    rng = np.random.default_rng(4)
    for name in ("classifier", "b_classifier.fcc"):
        state[f"{name}.weight"] = rng.normal(0, 0.2, (n_classes, n_classes, 16)).astype("f4")
        state[f"{name}.bias"] = rng.normal(0, 0.2, n_classes).astype("f4")
    state["b_classifier.norm.weight"] = rng.uniform(0.5, 1.5, 16).astype("f4")
    state["b_classifier.norm.bias"] = rng.normal(0, 0.2, 16).astype("f4")

    def logits(x: np.ndarray) -> np.ndarray:
        for name in names:
            x = relu(linear(x, state, name))
        c = linear(x, state, "i_classifier.inst_classifier")
        q = linear(x, state, "b_classifier.q")
        b = softmax(q @ q[c.argmax(0)].T / np.sqrt(6)).T @ linear(x, state, "b_classifier.v.1")
        b = (b - b.mean(1, keepdims=True)) / np.sqrt(b.var(1, keepdims=True) + 1e-5)
        b = b * state["b_classifier.norm.weight"] + state["b_classifier.norm.bias"]
        bag = np.einsum("kcd,cd->k", state["classifier.weight"], b) + state["classifier.bias"]
        return (c.max(0) + bag) / 2

    return Sample("millab-dsmil", state, logits, "given a choice", n_outputs=n_classes)


def torchmil_abmil(n_features: int, n_outputs: int, *, gate: bool, lazy: bool) -> Sample:
    """Return torchmil's ABMIL, with the keys of layers whose size is found later, or without."""
    inner = ".module" if lazy else ""
    layers = [(f"pool.fc1{inner}", n_features, 7), (f"classifier{inner}", n_features, n_outputs)]
    layers += [(f"pool.fc_gated{inner}", n_features, 7)] if gate else []
    state = weights(2, *layers) | weights(3, ("pool.fc2", 7, 1), bias=False)

    def logits(x: np.ndarray) -> np.ndarray:
        a = np.tanh(linear(x, state, f"pool.fc1{inner}"))
        if gate:
            a = a * sigmoid(linear(x, state, f"pool.fc_gated{inner}"))
        return pooled(linear(a, state, "pool.fc2"), linear(x, state, f"classifier{inner}"))

    return Sample("torchmil-abmil", state, logits, "pooled", n_outputs=n_outputs)


def torchmil_dsmil(n_features: int, *, deep: bool) -> Sample:
    """Return torchmil's DSMIL, which predicts by the bag alone."""
    q = ["q_nn.0", "q_nn.2"] if deep else ["q_nn"]
    layers = [("inst_classifier", n_features, 1), ("bag_classifier", n_features, 1),
              (q[0], n_features, 5)]  # fmt: skip
    layers += [(q[1], 5, 5), ("v_nn.1", n_features, n_features)] if deep else []
    state = weights(9, *layers)

    def query(x: np.ndarray) -> np.ndarray:
        if not deep:
            return linear(x, state, q[0])
        return np.tanh(linear(relu(linear(x, state, q[0])), state, q[1]))

    def logits(x: np.ndarray) -> np.ndarray:
        critical = linear(x, state, "inst_classifier").argmax(0)
        a = softmax(query(x) @ query(x[critical]).T / np.sqrt(5))
        values = relu(linear(x, state, "v_nn.1")) if deep else x
        return linear(a.T @ values, state, "bag_classifier")[0]

    return Sample("torchmil-dsmil", state, logits, "given a choice", n_outputs=1)


def xmil(n_features: int, n_classes: int, depth: int, head: str, n_out: int = 0) -> Sample:
    """Return xMIL's attention MIL, also with layers between the pooling and the head."""
    names = [f"linear_layers.{index}.0" for index in range(depth)]
    outs = [f"out_layers.{index}.0" for index in range(n_out)]
    state = weights(
        depth, *[(name, 14 if index else n_features, 14) for index, name in enumerate(names)],
        ("attention.0", 14, 6), ("attention.2", 6, 1), *[(name, 14, 14) for name in outs],
        (head, 14, n_classes),
    )  # fmt: skip

    def logits(x: np.ndarray) -> np.ndarray:
        for name in names:
            x = relu(linear(x, state, name))
        a = linear(np.tanh(linear(x, state, "attention.0")), state, "attention.2")
        z = (softmax(a) * x).sum(0)
        for name in outs:
            z = relu(linear(z, state, name))
        return linear(z, state, head)

    return Sample("xmil", state, logits, "none" if n_out else "pooled", n_outputs=n_classes)


def tensors(state: Arrays, dtype: torch.dtype | None = None) -> dict[str, torch.Tensor]:
    """Return a state dict, its floating tensors in another type if one is given."""
    own = {key: torch.from_numpy(np.array(value)) for key, value in state.items()}
    if dtype is None:
        return own
    return {k: t.to(dtype) if t.is_floating_point() else t for k, t in own.items()}
