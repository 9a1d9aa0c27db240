"""Which family's formulas compiled code uses: looked up by the type of the rules."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

from numba.extending import overload

from slategym.envs import classic_evolution, classic_exploration, classic_satisfaction
from slategym.envs.classic_state import EvolutionRules, ExplorationRules, SatisfactionRules

FORMULAS: dict[type, ModuleType] = {
    EvolutionRules: classic_evolution,
    ExplorationRules: classic_exploration,
    SatisfactionRules: classic_satisfaction,
}
"""Rules -> the module that holds what a user of that family does."""


def _by_rules(name: str) -> Callable[..., Any]:
    """Return a function that compiled code replaces by the family's own of that name."""

    def chosen(*_: Any) -> Any:  # noqa: ANN401
        raise NotImplementedError(f"{name} is for compiled code")

    @overload(chosen, strict=False, jit_options={"forceinline": True, "error_model": "numpy"})
    def choose(rules: Any, *arguments: Any) -> Any:  # noqa: ANN401, ARG001
        formula = getattr(FORMULAS[rules.instance_class], name)

        def call(rules: Any, *arguments: Any) -> Any:  # noqa: ANN401
            return formula(rules, *arguments)

        return call

    return chosen


draw_user = _by_rules("draw_user")
"""(rules, at, user (U,)): write a new user."""
draw_candidates = _by_rules("draw_candidates")
"""(rules, users, work): write new candidates of a block of users."""
meet = _by_rules("meet")
"""(rules, users, slates, out, luck): show slates; place, reward, value, and who leaves."""
progress = _by_rules("progress")
"""(rules, step): how far the episode is, in [0, 1]."""
put_user = _by_rules("put_user")
"""(rules, user (N, U), out (N, Du)): write what is seen of users."""
put_document = _by_rules("put_document")
"""(rules, cluster, feature, out, start): write what is seen of a document into zeros."""
put_documents = _by_rules("put_documents")
"""(rules, clusters (N,), features (N,), out (N * D,)): write what is seen of N documents."""
tally_document = _by_rules("tally_document")
"""(rules, cluster, feature, weight, sums, at): add a document to sums, with a weight."""
