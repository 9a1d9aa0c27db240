"""A batch of users of a classic task: begin episodes, show slates, observe."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium import spaces

from slategym.envs.arrays import AnyArray, BoolArray, FloatArray, KeyArray, LongArray
from slategym.envs.buffers import Pool
from slategym.envs.classic_constants import N_TOPICS
from slategym.envs.classic_family import FAMILY, Family
from slategym.envs.classic_kernels import BAD_POSITION, run
from slategym.envs.classic_late import LateObservation
from slategym.envs.classic_one import OneCut
from slategym.envs.classic_output import Told, blocks_of, real_widths, told_of, whole_widths
from slategym.envs.classic_state import EPISODE, SEED, STREAM, Output, new_state
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.classic_view import slate_view
from slategym.envs.protocol import Step, out_of_range, positions, restore
from slategym.envs.render_view import SlateView, as_text

Observation = dict[str, AnyArray]
StepResult = tuple[Observation, FloatArray, BoolArray, BoolArray, dict[str, Any]]
OneResult = tuple[Observation, float, bool, bool, dict[str, Any]]


class ClassicSimulation:
    """B users at once. Every array it hands out is new and is never written to again."""

    def __init__(self, variant: ClassicVariant, batch: int) -> None:
        self.variant = variant
        self.batch = batch
        self.family: Family = FAMILY[variant.family]
        constants = variant.constants
        self.rules = self.family.rules(constants)
        self.state = new_state(batch, self.family.columns(constants))
        self.sizes = self.family.sizes(constants, batch)
        self.observation_space = self.family.observation_space(constants)
        count, size = constants.num_candidates, constants.slate_size
        self.action_space: spaces.Space[Any] = (
            spaces.Discrete(count) if size == 1 else spaces.MultiDiscrete([count] * size)
        )
        real = batch * sum(real_widths(self.sizes))
        self._whole = batch * sum(whole_widths(self.sizes))
        self._pool = Pool(real)
        # Room for the last observations of rows that end; of its pages only the first are used.
        self._finals = self._output(np.empty(real, dtype=np.float32))
        self._cut = OneCut(self.family, self.sizes)
        self._all = np.ones(batch, dtype=np.bool_)
        self._last: Output | None = None

    @property
    def item_vectors(self) -> FloatArray:
        """What a policy on ids looks documents up in: the one-hot clusters (20, 20)."""
        return np.eye(N_TOPICS, dtype=np.float32)

    def begin(self, seed: KeyArray, stream: KeyArray) -> None:
        """Start episode 0 of user stream (seed, stream) in every row."""
        counters = self.state.counters
        counters[:, SEED], counters[:, STREAM], counters[:, EPISODE] = seed, stream, 0
        run("begin", self.rules, self.state, self._all)
        self._last = None

    def next_episode(self, rows: BoolArray) -> None:
        """Start the next episode of the same user streams in ``rows`` (B,)."""
        self.state.counters[rows, EPISODE] += np.uint64(1)
        run("begin", self.rules, self.state, np.ascontiguousarray(rows, dtype=np.bool_))

    def step(self, actions: AnyArray) -> Step:
        """Show slates: ``actions`` (B, K) holds candidate positions, which may repeat.

        Raises:
            UsageError: the actions have another shape, kind or range; nothing has changed then.
        """
        slates = positions(actions, self.batch, self.variant.slate_size)
        out = self._next_output()
        self._take_step(slates, out, look=False)
        told = told_of(out, self.sizes)
        return Step(told.reward[0], told.ended[0], told.ended[1], self._info(told))

    def turn(self, actions: AnyArray, privileged: bool) -> StepResult:
        """Return what `SlateVectorEnv.step` returns: step, autoreset, observation in one pass."""
        slates = positions(actions, self.batch, self.variant.slate_size)
        if privileged:
            return self._turn_in_parts(slates)
        out = self._next_output()
        ended = run(
            "turn", self.rules, self.state, slates.view(np.uint64), out, self._finals, self.sizes
        )
        if ended == BAD_POSITION:
            raise out_of_range(slates, self.variant.num_candidates)
        self._last = out
        told = told_of(out, self.sizes)
        info = self._info(told)
        terminated, truncated = told.ended
        if ended:
            done = terminated | truncated
            info["final_info"] = dict(info)
            info["final_obs"], info["_final_obs"] = self._final_observation(done, ended), done
            info["_final_info"] = done.copy()
        return self._by_key(out), told.reward[0], terminated, truncated, info

    def turn_one(self, action: AnyArray | int, privileged: bool) -> OneResult:
        """Return what `SlateEnv.step` returns, of a batch of one: no autoreset, no axis B."""
        slate = positions(np.asarray(action)[None], 1, self.variant.slate_size)
        out = self._output(np.empty(self._pool.size, dtype=np.float32))
        self._take_step(slate, out, look=True)
        info = self._cut.info(out)
        if privileged:
            info["privileged"] = {key: value[0] for key, value in self.privileged().items()}
        terminated, truncated = out.ended.tolist()
        return self._cut.observation(out), float(out.real[-2]), terminated, truncated, info

    def observe(self, rows: BoolArray | None = None) -> Observation:
        """Return the observation of the rows (the others are zero), by key."""
        if rows is None:
            rows, out = self._all, self._output(self._pool.take())
        else:
            rows = np.ascontiguousarray(rows, dtype=np.bool_)
            out = self._output(np.zeros(self._pool.size, dtype=np.float32), zero=True)
        run("observe", self.rules, self.state, rows, out, self.sizes)
        return self._by_key(out)

    def privileged(self, quality: bool = True) -> dict[str, AnyArray]:
        """Return what only an oracle may know of the users and of the next candidates.

        Evolution: ``quality`` and ``cluster_id`` (B, C), ``interest`` (B, 20), ``time_budget``
        (B,) minutes. Exploration: ``quality`` and ``cluster_id`` (B, C), ``affinity`` (B, Z),
        ``user_type`` (B,). Satisfaction: ``clickbait`` (B, C), ``npe``, ``satisfaction`` and
        ``time_budget`` (B,) steps.

        Args:
            quality: draw the quality of every candidate in evolution, which a step leaves
                undrawn but for the documents it shows.
        """
        known = self.family.privileged(self.state)
        if quality and "quality" not in known and "cluster_id" in known:
            drawn = np.empty(self.state.cluster.shape, dtype=np.float64)
            run("quality", self.rules, self.state, drawn)
            known = {"quality": drawn, **known}
        return known

    def get_state(self) -> dict[str, AnyArray]:
        """Return a copy of everything that changes; `set_state` goes on from there exactly."""
        return {name: array.copy() for name, array in self.state._asdict().items()}

    def set_state(self, snapshot: Mapping[str, AnyArray]) -> None:
        """Go back to a snapshot of `get_state`.

        Raises:
            UsageError: the snapshot is of another batch size or variant.
        """
        restore(self.state._asdict(), snapshot)
        self._last = None

    def ansi(self, row: int) -> str:
        """Return the last slate of a row as text."""
        return as_text(self.slate_view(row))

    def slate_view(self, row: int) -> SlateView:
        """Return the last slate of a row, ready to be written or drawn."""
        last = None if self._last is None else told_of(self._last, self.sizes)
        view = slate_view(self.family, self.variant, self.state, last, row)
        # Empty places, so that a picture before the first step has the size of those after it.
        return view if view.cards else replace(view, cards=(None,) * self.variant.slate_size)

    def _take_step(self, slates: LongArray, out: Output, *, look: bool) -> None:
        """Take a step in every row, and observe if asked to."""
        unsigned = slates.view(np.uint64)
        if run("step", self.rules, self.state, unsigned, out, self.sizes, look) == BAD_POSITION:
            raise out_of_range(slates, self.variant.num_candidates)
        self._last = out

    def _turn_in_parts(self, slates: LongArray) -> StepResult:
        """Step, autoreset and observe one after the other, with what an oracle may know."""
        reward, terminated, truncated, info = self.step(slates)
        done = terminated | truncated
        info["privileged"] = self.privileged()
        if done.any():
            info["final_info"] = dict(info)
            info["final_obs"], info["_final_obs"] = self.observe(done), done
            info["_final_info"] = done.copy()
            self.next_episode(done)
            info["privileged"] = self.privileged()
        return self.observe(), reward, terminated, truncated, info

    def _next_output(self) -> Output:
        """Return buffers for a step, those of the last step if nobody else looks at them."""
        self._last = None
        return self._output(self._pool.take())

    def _output(self, real: FloatArray, *, zero: bool = False) -> Output:
        """Return buffers for one step, the given one among them."""
        make = np.zeros if zero else np.empty
        whole = make(self._whole, dtype=np.int32)
        return Output(real, whole, np.empty(2 * self.batch, dtype=np.bool_))

    def _final_observation(self, done: BoolArray, count: int) -> LateObservation:
        """Return the last observations of rows that ended, which lie in the first rows."""
        rows = np.flatnonzero(done)
        last = {key: block[:count].copy() for key, block in self._by_key(self._finals).items()}

        def make() -> Observation:
            made = {}
            for key, block in last.items():
                made[key] = np.zeros((self.batch, *block.shape[1:]), dtype=block.dtype)
                made[key][rows] = block
            return made

        return LateObservation(make)

    def _info(self, told: Told) -> dict[str, Any]:
        """Return what a step's info tells of the response."""
        response: dict[str, AnyArray] = dict(zip(self.family.names, told.real, strict=True))
        if self.family.has_clusters:
            response["cluster_id"] = told.whole[1]
        return {
            "response": response,
            "slate": told.whole[0],
            "reward_terms": {self.family.reward_term: told.reward[1]},
        }

    def _by_key(self, out: Output) -> Observation:
        """Return the observation in the buffers by key; flat in features mode."""
        blocks = blocks_of(out, self.sizes)
        history, candidates, feedback = blocks.history, blocks.candidates, blocks.feedback
        if self.sizes.ids:
            history, candidates = blocks.past_ids, blocks.ids  # type: ignore[assignment]
            feedback = feedback.reshape(self.batch, -1, 3)
        return {
            "user": blocks.user,
            "history": history,
            "history_feedback": feedback,
            "candidates": candidates,
            "context": blocks.context,
        }
