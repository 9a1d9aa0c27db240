"""The mean, and what a user and an item add to it, as a model to rank and predict with."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.base import Rows, Scorer
from slategym.cf_baselines.biases import DAMPING, BiasModel, fit_biases
from slategym.cf_baselines.explanations import Case, Part
from slategym.cf_baselines.interactions import FloatArray, RowArray
from slategym.cf_baselines.settings import in_range

KINDS = ("global", "user", "item", "both")


@dataclass(frozen=True)
class BiasConfig:
    """Settings of `BiasScorer`.

    Attributes:
        kind: What is added to the mean: nothing (``global``), the ``user``, the ``item``, or
            ``both``.
        damping: Rows with a bias of 0 that each user and item starts with, >= 0.
    """

    kind: Literal["global", "user", "item", "both"] = "both"
    damping: float = DAMPING

    def __post_init__(self) -> None:
        said = f"kind={self.kind!r}, damping={self.damping}"
        allowed = f"a kind of {', '.join(KINDS)}, damping at least 0"
        in_range("bias", self.kind in KINDS and self.damping >= 0, said, allowed)


class BiasScorer(Scorer):
    """Scores by mean + user's bias + item's bias, in the log's units; see `fit_biases`.

    States are the users' biases, (B,).
    """

    name = "bias"
    Config = BiasConfig
    config: BiasConfig

    def _learn(self) -> None:
        users, items = self.config.kind in ("user", "both"), self.config.kind in ("item", "both")
        self._model = fit_biases(
            self.log, damping=self.config.damping, with_users=users, with_items=items
        )

    def _fold(self, items: Rows, values: FloatArray, times: RowArray) -> FloatArray:  # noqa: ARG002
        if self.config.kind in ("global", "item"):
            return np.zeros(len(items), np.float32)
        there = items >= 0
        gap = np.where(there, values - self._model.mean - self._model.item_bias[items], 0.0)
        rows = np.maximum(there.sum(axis=1) + self.config.damping, 1e-12)
        return np.asarray(gap.sum(axis=1) / rows, dtype=np.float32)

    def _score_everything(self, state: FloatArray) -> FloatArray:
        total = np.float32(self._model.mean) + state[:, None] + self._model.item_bias
        return np.asarray(total, dtype=np.float32)

    def _parts(self, case: Case) -> list[Part]:
        state = self._fold(case.items[None], case.values[None], case.times[None])
        return [
            Part("average", self._model.mean),
            Part("user", float(state[0])),
            Part("item", float(self._model.item_bias[case.item])),
        ]

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        model = self._model
        return {
            "mean": np.asarray(model.mean),
            "user_bias": model.user_bias,
            "item_bias": model.item_bias,
        }

    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        mean = float(arrays["mean"].item())
        self._model = BiasModel(mean, arrays["user_bias"], arrays["item_bias"])
