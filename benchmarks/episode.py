"""One episode of one user under a policy, slate by slate, as text or pictures."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from slategym.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from slategym.envs.classic_variant import ClassicVariant
    from slategym.envs.single import SlateEnv

Act = Callable[[Mapping[str, Any], Mapping[str, Any], np.random.Generator], Any]
"""Observation, info (both of one user), randomness -> slate."""


@dataclass
class Episode:
    """What was rendered, and what it came to."""

    frames: list[Any] = field(default_factory=list)
    """A text, or a picture (H, W, 3) uint8, for each slate."""
    total: float = 0.0
    """Sum of rewards."""
    ended: bool = False
    """Whether the episode was over within the steps asked for."""


def play(env: "SlateEnv", act: Act, seed: int, steps: int) -> Episode:
    """Return the episode of user stream (seed, 0), its first ``steps`` slates rendered.

    Args:
        env: made with a render mode.
        act: the policy.
        seed: names the user, the luck, and what the policy draws.
        steps: most slates.
    """
    episode = Episode()
    observation, info = env.reset(seed=seed)
    for step in range(steps):
        rng = np.random.default_rng((seed, step))
        action = act(observation, info, rng)
        scores = _scores(info, action)
        observation, reward, terminated, truncated, info = env.step(action)
        episode.frames.append(_frame(env, scores))
        episode.total += float(reward)
        if terminated or truncated:
            episode.ended = True
            break
    return episode


def _scores(info: Mapping[str, Any], action: Any) -> Any:  # noqa: ANN401
    """Return how attractive the chosen candidates were (K,), where the simulation tells."""
    utility = info.get("privileged", {}).get("utility")
    return None if utility is None else np.atleast_1d(utility[action])


def _frame(env: "SlateEnv", scores: Any) -> Any:  # noqa: ANN401
    """Return the last slate as `SlateEnv.render` does, with scores."""
    from slategym.envs.render_picture import draw_slate
    from slategym.envs.render_view import as_text, with_scores

    view = env.simulation.slate_view(0)  # type: ignore[attr-defined]
    if scores is not None:
        view = with_scores(view, scores)
    return as_text(view) if env.render_mode == "ansi" else draw_slate(view)


def player(env: "SlateEnv", policy: str, run: Path | None) -> Act:
    """Return a policy by name, or a trained agent, as something `play` can call.

    Args:
        env: observed by ids where the policy needs them.
        policy: a name of `slategym.agents.policy.POLICIES`; for a classic, one of
            `slategym.envs.oracles.oracle_names`.
        run: the folder of a trained agent; then ``policy`` is not used.

    Raises:
        UsageError: an unknown policy, or a trained agent for an environment without a world.
    """
    if env.variant.family != "world":
        if run is not None:
            raise UsageError(
                f"{env.variant.id} has no world: a run of `slategym train` cannot serve it."
            )
        return _classic(env, policy)
    # Here, because a classic needs neither policies by name nor torch.
    from slategym.agents.policy import for_variant, make_policy, with_privileged

    if run is not None:
        from slategym.agents.trained import load_agent

        chosen: Any = load_agent(run, env.world, slate_size=env.variant.slate_size)
    else:
        chosen = for_variant(make_policy(policy, env.world, env.variant.slate_size), env.variant)

    def act(observation: Mapping[str, Any], info: Mapping[str, Any], rng: Any) -> Any:  # noqa: ANN401
        seen = with_privileged(chosen, _batch_of_one(observation), _batch_of_one(info))
        slate = np.asarray(chosen.act(seen, rng))[0]
        return slate if slate.size > 1 else slate[0]

    return act


def _batch_of_one(value: Any) -> Any:  # noqa: ANN401
    """Return nested arrays of one user with the leading axis B."""
    if isinstance(value, Mapping):
        return {key: _batch_of_one(entry) for key, entry in value.items()}
    return np.asarray(value)[None]


def _classic(env: "SlateEnv", policy: str) -> Act:
    """Return a policy for a classic: random, or one of its oracles."""
    from slategym.envs.oracles import oracle, oracle_names

    variant = cast("ClassicVariant", env.variant)
    if policy == "random":
        return _random(env)
    if policy not in oracle_names(variant):
        raise unknown_name("policy", policy, oracle_names(variant))
    chosen = oracle(variant, policy)
    learn = getattr(chosen, "learn", None)

    def act(observation: Mapping[str, Any], info: Mapping[str, Any], _: Any) -> Any:  # noqa: ANN401
        told = _batch_of_one(info)
        if learn is not None and "response" in told:
            learn(told)
        slate = chosen.act(told["privileged"], _batch_of_one(observation))[0]
        return slate if slate.size > 1 else slate[0]

    return act


def _random(env: "SlateEnv") -> Act:
    """Return uniform slates of distinct candidates."""
    count, size = env.variant.num_candidates, env.variant.slate_size

    def act(_: Mapping[str, Any], __: Mapping[str, Any], rng: np.random.Generator) -> Any:  # noqa: ANN401
        slate = rng.permutation(count)[:size]
        return slate if size > 1 else slate[0]

    return act


def texts(episode: Episode) -> Iterator[str]:
    """Yield each slate of an episode in render mode "ansi", with its number."""
    for number, frame in enumerate(episode.frames, start=1):
        yield f"slate {number}: {frame}"
