"""Training of `slategym.encoders.gate.LearnedFusion`.

Letters: N items of a set, M modalities, Dm numbers per vector, G targets, D fused numbers.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.encoders.base import FloatArray
from slategym.encoders.catalog import MODALITIES, Modality
from slategym.encoders.gate import Expert, FusionConfig, LearnedFusion, gather
from slategym.encoders.pipeline import ItemVectors

IntArray = npt.NDArray[np.int64]
Float64Array = npt.NDArray[np.float64]


def train_fusion(
    vectors: ItemVectors, targets: FloatArray, importance: Float64Array, chosen: IntArray,
    config: FusionConfig,
) -> LearnedFusion:  # fmt: skip
    """Return the trained fusion; see `slategym.encoders.gate.fit_fusion`."""
    order = np.random.default_rng(config.seed).permutation(chosen)
    held, train = np.split(order, [max(1, round(len(order) * config.validation))])
    weight = importance[train] / importance[train].sum()
    mean = weight @ targets[train]
    spread = np.sqrt(np.maximum(weight @ (targets[train] - mean) ** 2, 1e-12))
    # One scale for all targets: those that vary more matter more.
    wanted = ((targets - mean) / np.sqrt((spread**2).mean())).astype(np.float64)
    basis = np.linalg.svd(wanted[train] * np.sqrt(weight)[:, None], full_matrices=False)[2]
    basis = basis[: config.dim].T  # (G, D)
    experts = {
        modality: _expert(vectors, modality, wanted @ basis, importance, train, config)
        for modality in MODALITIES
        if modality in vectors.present and vectors.present[modality][train].any()
    }
    count = len(experts)
    start = LearnedFusion(
        config.kind,
        experts,
        np.zeros(count, np.float32),
        np.zeros((count, count), np.float32),
        basis.T.astype(np.float32),
        {},
    )
    return _descend(start, vectors, wanted, importance, (train, held), config)


def _expert(
    vectors: ItemVectors, modality: Modality, wanted: Float64Array, importance: Float64Array,
    train: IntArray, config: FusionConfig,
) -> Expert:  # fmt: skip
    """Return the ridge map of one modality to the main directions of the targets."""
    rows = train[vectors.present[modality][train]]
    x = vectors.vectors[modality][rows].astype(np.float64)
    mean = x.mean(axis=0)
    x = x - mean
    scale = 1 / max(float(np.sqrt((x**2).sum(axis=1).mean())), 1e-12)
    x *= scale
    root = np.sqrt(importance[rows] / importance[rows].mean())[:, None]
    gram = (x * root) @ (x * root).T
    penalty = config.strength * np.trace(gram) / len(gram)
    dual = np.linalg.solve(gram + penalty * np.eye(len(gram)), wanted[rows] * root)
    value = (x * root).T @ dual
    columns = sum(present.any() for present in vectors.present.values())
    width = 1 if config.kind == "attention" else int(columns)
    key = np.zeros((x.shape[1], width), np.float32)
    return Expert(
        vectors.fingerprints[modality],
        mean.astype(np.float32),
        np.asarray(scale, np.float32),
        value.astype(np.float32),
        key,
    )


def _descend(
    start: LearnedFusion, vectors: ItemVectors, wanted: Float64Array, importance: Float64Array,
    split: tuple[IntArray, IntArray], config: FusionConfig,
) -> LearnedFusion:  # fmt: skip
    """Return the fusion after Adam with early stopping."""
    import torch

    train, held = split
    there, inputs = gather(vectors, start.experts)
    x = [torch.from_numpy(rows) for rows in inputs]
    has, y = torch.from_numpy(there), torch.from_numpy(wanted.astype(np.float32))
    weight = torch.from_numpy((importance / importance[train].mean()).astype(np.float32))
    free: dict[str, Any] = {"bias": start.bias, "lacking": start.lacking, "out": start.out}
    for modality, expert in start.experts.items():
        free |= {f"{modality}.value": expert.value, f"{modality}.key": expert.key}
    free = {name: torch.tensor(value).requires_grad_(True) for name, value in free.items()}
    optimiser = torch.optim.Adam(free.values(), lr=config.learning_rate)
    draws = torch.Generator().manual_seed(config.seed)

    def loss(rows: IntArray, *, training: bool) -> Any:  # noqa: ANN401
        at = torch.from_numpy(rows)
        known = has[at]
        if training:
            kept = known & (torch.rand(known.shape, generator=draws) >= config.modality_dropout)
            known = torch.where(kept.any(dim=1, keepdim=True), kept, known)
        said = _forward(start, free, [rows_[at] for rows_ in x], known)
        squared = ((said - y[at]) ** 2).mean(dim=1)
        return (squared * weight[at]).sum() / weight[at].sum()

    with torch.no_grad():
        first = lowest = float(loss(held, training=False))
    best = {name: value.detach().clone() for name, value in free.items()}
    since = epoch = 0
    while epoch < config.epochs and since < config.patience:
        epoch += 1
        optimiser.zero_grad()
        loss(train, training=True).backward()
        optimiser.step()
        with torch.no_grad():
            now = float(loss(held, training=False))
        since += 1
        if now < lowest - 1e-5:
            lowest, since = now, 0
            best = {name: value.detach().clone() for name, value in free.items()}
    report = {**asdict(config), "epochs_run": epoch, "items": len(train) + len(held),
              "held_out_error_at_start": first, "held_out_error": lowest}  # fmt: skip
    return _finished(start, best, report)


def _forward(start: LearnedFusion, free: dict[str, Any], x: list[Any], known: Any) -> Any:  # noqa: ANN401
    """Return the standardised targets of N items, (N, G)."""
    import torch

    names = list(start.experts)
    shown = [rows * known[:, [number]] for number, rows in enumerate(x)]
    keys = [rows @ free[f"{name}.key"] for rows, name in zip(shown, names, strict=True)]
    if start.kind == "gate":
        logits = free["bias"] + sum(keys) + (~known).float() @ free["lacking"]
    else:
        logits = free["bias"] + torch.cat(keys, dim=1)
    weights = torch.softmax(logits.masked_fill(~known, -1e9), dim=1)
    values = [rows @ free[f"{name}.value"] for rows, name in zip(shown, names, strict=True)]
    fused = torch.einsum("nm,nmd->nd", weights, torch.stack(values, dim=1))
    return fused @ free["out"]


def _finished(
    start: LearnedFusion, free: dict[str, Any], report: dict[str, float | int | str]
) -> LearnedFusion:
    arrays = {name: np.asarray(value.numpy(), np.float32) for name, value in free.items()}
    experts = {
        modality: Expert(
            expert.fingerprint,
            expert.mean,
            expert.scale,
            arrays[f"{modality}.value"],
            arrays[f"{modality}.key"],
        )
        for modality, expert in start.experts.items()
    }
    return LearnedFusion(
        start.kind, experts, arrays["bias"], arrays["lacking"], arrays["out"], report
    )
