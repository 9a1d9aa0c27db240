"""References that see the simulator's hidden state: the best slate for now, and one that plans."""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from slategym.agents.assortment import ChoiceRule, FloatArray
from slategym.agents.index_features import IndexFeatures
from slategym.agents.planner_weights import WEIGHTS
from slategym.agents.policy import Observation, Slate
from slategym.envs.registry import get_variant
from slategym.envs.variant import Variant
from slategym.envs.world import World
from slategym.errors import UsageError


class MyopicOracle:
    """Shows the slate of greatest expected immediate reward, given the true state.

    Exact for every built-in choice model (see `ChoiceRule.best`) and for rewards paid per item;
    it knows fatigue, mood, price, money and age as they are now, and nothing of what follows. The
    expected watched fraction is `slategym.envs.valuing`'s probit approximation.

    Args:
        world: gives the no-click utility where the variant leaves it to the world.
        slate_size: K.
        variant: the task, or its id; None: ``slategym/World-v0``. A rollout sets it anew.
    """

    name = "oracle-reward"
    privileged = True

    def __init__(self, world: World, slate_size: int, variant: Variant | str | None = None) -> None:
        self.world, self.slate_size = world, slate_size
        self.variant = _task(variant)
        self.rule = ChoiceRule.of(self.variant, world)

    def for_variant(self, variant: Variant) -> Self:
        """Return the same policy for another task."""
        return type(self)(self.world, self.slate_size, variant)

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)``, the largest contribution first.

        Raises:
            UsageError: the observation lacks ``privileged_utility`` or ``privileged_worth``.
        """
        utility, worth = told(observation, "utility"), told(observation, "worth")
        return self.rule.best(utility, worth, self.slate_size)


class IndexPlanner(MyopicOracle):
    """Shows the best slate by worth now plus a linear index of what it does to the user later.

    ``gain_i = worth_i + sum_j a_j f_ij`` for an item taken and ``cost_i = sum_j c_j f_ij`` for
    one shown, f the features of `IndexFeatures`; the slate is the best one for these gains and
    costs (the value of a slate as a sum over its items: SlateQ, Ie et al. 2019, eq. 7). Weights
    were found by cross-entropy search in the simulator (`slategym.benchmarks.planning_search`).

    Args:
        world: as in `MyopicOracle`.
        slate_size: K.
        variant: as in `MyopicOracle`; with tuned weights for its id, else only those at 0: then
            it is `MyopicOracle`.
        weights: by name of `IndexFeatures.names`, in place of the tuned ones.
    """

    name = "oracle-planner"

    def __init__(
        self,
        world: World,
        slate_size: int,
        variant: Variant | str | None = None,
        weights: dict[str, float] | None = None,
    ) -> None:
        super().__init__(world, slate_size, variant)
        self.features = IndexFeatures(world, self.variant)
        self.given = weights
        known = WEIGHTS.get(self.variant.id, {}) if weights is None else weights
        for name in known:
            if weights is not None and name not in self.features.weights:
                raise UsageError(
                    f"oracle-planner has no weight {name!r} for {self.variant.id}; "
                    f"its weights: {', '.join(self.features.weights)}."
                )
        # (W,), or (B, W): every row its own, as the search for weights needs it.
        self.vector: FloatArray = np.array([known.get(name, 0.0) for name in self.features.weights])

    def for_variant(self, variant: Variant) -> Self:
        """Return the same policy for another task."""
        return type(self)(self.world, self.slate_size, variant, self.given)

    def act(self, observation: Observation, rng: np.random.Generator) -> Slate:  # noqa: ARG002
        """Return slates ``(B, K)``, the largest contribution first.

        Raises:
            UsageError: the observation lacks ``privileged_utility`` or ``privileged_worth``.
        """
        utility, worth = told(observation, "utility"), told(observation, "worth")
        gain, cost = self.features.indices(observation, self.vector)
        return self.rule.best(utility, worth + gain, self.slate_size, cost)


def told(observation: Observation, name: str) -> NDArray[Any]:
    """Return ``privileged_<name>`` of an observation.

    Raises:
        UsageError: it is not there.
    """
    key = f"privileged_{name}"
    if key not in observation:
        raise UsageError(
            f"a privileged policy needs observation[{key!r}]; make the environment with "
            f"privileged=True and copy info['privileged'][{name!r}] (`with_privileged`)."
        )
    return observation[key]


def _task(variant: Variant | str | None) -> Variant:
    """Return a variant of family "world" from itself, its id or None."""
    if isinstance(variant, Variant):
        return variant
    found = get_variant("slategym/World-v0" if variant is None else variant)
    if not isinstance(found, Variant):
        raise UsageError(f"variant {found.id!r} has no world; its own oracle is in the registry.")
    return found
