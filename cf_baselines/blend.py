"""A blend of models: the weighted sum of their standardised scores, explained by its members."""

import ast
import re
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from slategym.cf_baselines.base import Rows, Scorer, make_scorer
from slategym.cf_baselines.explanations import Case, Part
from slategym.cf_baselines.interactions import FloatArray, Interactions, RowArray
from slategym.errors import UsageError

_MEMBER = re.compile(r"\s*([-+]?[0-9.eE+-]+)\s*\*\s*([a-z0-9-]+)\s*(?:\(([^()]*)\))?\s*")


@dataclass(frozen=True)
class Member:
    """One model of a blend.

    Attributes:
        weight: What its standardised score is multiplied by.
        scorer: Its name in the register.
        options: Its settings, by name.
    """

    weight: float
    scorer: str
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        options = ", ".join(f"{name}={value!r}" for name, value in self.options)
        return f"{self.weight:g}*{self.scorer}" + (f"({options})" if options else "")


def read_members(text: str) -> tuple[Member, ...]:
    """Return the members of a blend written as ``"1*ease(penalty=300) + 0.5*popularity"``.

    Raises:
        UsageError: it is not written so.
    """
    members = []
    for piece in re.split(r"\+(?![^(]*\))", text):
        found = _MEMBER.fullmatch(piece)
        try:
            if found is None:
                raise ValueError
            call = ast.parse(f"f({found[3] or ''})", mode="eval").body
            assert isinstance(call, ast.Call)
            if call.args or any(word.arg is None for word in call.keywords):
                raise ValueError
            options = tuple((str(w.arg), ast.literal_eval(w.value)) for w in call.keywords)
            members.append(Member(float(found[1]), found[2], options))
        except (ValueError, SyntaxError):
            raise UsageError(
                f"blend: members {piece.strip()!r} cannot be read; write them like "
                "'1*ease(penalty=300) + 0.5*popularity'."
            ) from None
    return tuple(members)


@dataclass(frozen=True)
class BlendConfig:
    """Settings of `BlendScorer`."""

    members: str = "1*ease + 1*item-knn"
    """Weight, name and settings of each model, as `read_members` reads them."""

    def __post_init__(self) -> None:
        for member in read_members(self.members):
            if member.scorer == "blend":
                raise UsageError("blend: a blend cannot be a member of a blend; name its members.")


@dataclass(frozen=True)
class BlendUsers:
    """The states of users for each member of a blend."""

    states: tuple[Any, ...]


class BlendScorer(Scorer):
    """Scores  sum_m w_m (s_m - mean s_m) / sd s_m  over models m.

    Mean and standard deviation are those of the user's scores of all items, so that a weight
    means the same for users with short and with long histories. Members that use content get it.
    Weights can be chosen on validation rows by `choose_weights`.
    """

    name: ClassVar[str] = "blend"
    uses_content: ClassVar[bool] = True
    Config = BlendConfig

    def __init__(self, config: Any = None, **options: Any) -> None:  # noqa: ANN401
        super().__init__(config, **options)
        self.members = read_members(self.config.members)
        self.scorers = tuple(
            make_scorer(member.scorer, **dict(member.options)) for member in self.members
        )

    def _learn(self) -> None:
        for scorer in self.scorers:
            scorer.fit(self.log, content=self.content if scorer.uses_content else None)

    def _relearn(self, before: Interactions) -> None:
        for scorer in self.scorers:
            scorer._take(self.log, self.content if scorer.uses_content else None)  # noqa: SLF001 (a member is a scorer like this one)
            scorer._relearn(before)  # noqa: SLF001 (a member is a scorer like this one)

    def _fold(self, items: Rows, values: FloatArray, times: RowArray) -> BlendUsers:
        return BlendUsers(
            tuple(scorer._fold(items, values, times) for scorer in self.scorers)  # noqa: SLF001
        )

    def _states(self, users: Rows) -> BlendUsers:
        return BlendUsers(
            tuple(scorer._states(users) for scorer in self.scorers)  # noqa: SLF001
        )

    def _members_scores(self, state: BlendUsers) -> FloatArray:
        """Return the weighted standardised scores (M, B, I) of the members."""
        return np.stack(
            [
                np.float32(member.weight) * standardise(scorer.score_all_folded(one))
                for member, scorer, one in zip(
                    self.members, self.scorers, state.states, strict=True
                )
            ]
        )

    def _score_everything(self, state: BlendUsers) -> FloatArray:
        return np.asarray(self._members_scores(state).sum(axis=0), dtype=np.float32)

    def _parts(self, case: Case) -> list[Part]:
        if case.user >= 0:
            state = self._states(np.array([case.user]))
        else:
            state = self._fold(case.items[None], case.values[None], case.times[None])
        shares = self._members_scores(state)[:, 0, case.item]
        return [
            Part("model", float(share), name=member.scorer)
            for share, member in zip(shares, self.members, strict=True)
        ]

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        return {
            f"{place}.{name}": array
            for place, scorer in enumerate(self.scorers)
            for name, array in scorer._arrays().items()  # noqa: SLF001
        }

    def _restore(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        for place, scorer in enumerate(self.scorers):
            own = {
                name.removeprefix(f"{place}."): array
                for name, array in arrays.items()
                if name.startswith(f"{place}.")
            }
            scorer.restore(self.log, self.content if scorer.uses_content else None, own)


def standardise(scores: FloatArray) -> FloatArray:
    """Return scores (B, I) with mean 0 and standard deviation 1 per user; equal ones become 0."""
    centred = scores - scores.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    return np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 1e-12)
