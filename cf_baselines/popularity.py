"""The popularity baselines: everybody gets what most people liked, all along or lately."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.base import Rows, Scorer
from slategym.cf_baselines.explanations import Case, Part
from slategym.cf_baselines.interactions import FloatArray, RowArray, default_threshold
from slategym.cf_baselines.settings import in_range

DAY = 86400.0


@dataclass(frozen=True)
class PopularityConfig:
    """Settings of `PopularityScorer`.

    Attributes:
        half_life: Days in which a positive loses half its weight, counted back from the newest
            row of the log; 0 for no decay.
        positive: Values from here on are positive; by default `default_threshold` of the log.
    """

    half_life: float = 0.0
    positive: float | None = None

    def __post_init__(self) -> None:
        in_range(
            "popularity",
            self.half_life >= 0,
            f"half_life={self.half_life}",
            "days, at least 0",
        )


class PopularityScorer(Scorer):
    """Scores an item by its share of all positive interactions, in [0, 1].

    With a half-life a positive of age a days counts 2^(-a / half_life).
    """

    name = "popularity"
    Config = PopularityConfig
    config: PopularityConfig

    def _learn(self) -> None:
        log = self.log
        least = default_threshold(log) if self.config.positive is None else self.config.positive
        weight = (log.values >= least).astype(np.float64)
        if self.config.half_life:
            age = (log.times.max() - log.times) / DAY
            weight *= 0.5 ** (age / self.config.half_life)
        total = np.bincount(log.items, weight, len(log.item_ids))
        self._share = (total / max(float(total.sum()), 1e-300)).astype(np.float32)

    def _fold(self, items: Rows, values: FloatArray, times: RowArray) -> int:  # noqa: ARG002
        return len(items)

    def _states(self, users: Rows) -> int:
        return len(users)

    def _score_everything(self, state: int) -> FloatArray:
        return np.tile(self._share, (state, 1))

    def _score(self, state: int, items: Rows) -> FloatArray:  # noqa: ARG002
        return self._share[items]

    def _parts(self, case: Case) -> list[Part]:
        return [Part("popularity", float(self._share[case.item]))]

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {"share": self._share}

    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        self._share = arrays["share"]
