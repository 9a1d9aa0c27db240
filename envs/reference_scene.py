"""One step of B users as the parts see it: what is shown, how it attracts, what comes of it."""

import hashlib
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from slategym.envs import rng, traits
from slategym.envs.arrays import AnyArray, BoolArray, DoubleArray, IntArray, KeyArray, LongArray
from slategym.envs.part import Part
from slategym.envs.parts_candidates import PopularCandidates, alias_table
from slategym.envs.parts_change import Change, Satisfaction
from slategym.envs.parts_supply import Ageing
from slategym.envs.tables import people_of
from slategym.envs.users import Named
from slategym.envs.variant import Variant
from slategym.envs.world import World

# The calendar belongs to a seed and not to a stream: all users of a seed share the news.
_EVERYONE = np.uint64(2**63)
# Purposes of draws below this number are those of `slategym.envs.rng`; 2^24 is the end.
_OWN_PURPOSES, _END = 2**16, 2**24


def purpose_number(name: str) -> int:
    """Return the number of a purpose that has a name: a hash, the same in every process.

    Two names share a number with probability 6e-8; their draws would then be alike.
    """
    digest = hashlib.sha256(name.encode()).digest()
    return _OWN_PURPOSES + int.from_bytes(digest[:8], "big") % (_END - _OWN_PURPOSES)


@dataclass(frozen=True, eq=False)
class Setting:
    """What does not change while users are simulated; every array is read-only."""

    world: World
    variant: Variant
    parameters: dict[str, Any]
    """Every parameter of the variant and its parts, by name."""
    gates: tuple[Change, ...]
    """The parts that may keep an item from being shown."""
    pool: IntArray
    """(P,) population rows that episodes draw users from."""
    recency: DoubleArray
    """(H,) weight of each place of a history, newest last."""
    price: DoubleArray
    """(I,) in median prices."""
    clickbait: DoubleArray
    """(I,) in [0, 1]."""
    birth: IntArray
    """(I,) calendar step of publication; (0,) if drawn, or without `Ageing`."""
    creator: IntArray
    """(I,) group of creators; (0,) without `Creators`."""
    alias: tuple[DoubleArray, AnyArray]
    """Thresholds and aliases (I,) of `PopularCandidates`, else (0,)."""


def setting_of(world: World, variant: Variant, users: str) -> Setting:
    """Return the setting of a variant over a world, episodes drawing from a split of users."""
    people, source = people_of(world, variant, users), variant["candidates"]
    none: AnyArray = np.zeros(0)
    alias: tuple[DoubleArray, AnyArray] = (none, none)
    if isinstance(source, PopularCandidates):
        alias = alias_table(source.weights(world.item_popularity))
    birth, creator = np.zeros(0, np.int32), np.zeros(0, np.int32)
    if variant.find("ageing") is not None:
        birth = traits.births(world, int(variant.parameters["calendar"]))
    if variant.find("creators") is not None:
        creator = traits.creators(world, int(variant.parameters["creators"]))
    return Setting(
        world=world,
        variant=variant,
        parameters=variant.parameters,
        gates=tuple(part for part in variant.parts if _is_gate(part)),
        pool=people.pool,
        recency=people.recency.astype(np.float64),
        price=traits.prices(world).astype(np.float64),
        clickbait=traits.clickbait(world).astype(np.float64),
        birth=birth,
        creator=creator,
        alias=alias,
    )


def _is_gate(part: Part) -> TypeGuard[Change]:
    return isinstance(part, Change) and type(part).available is not Change.available


class Scene:
    """B users and N items each: the slate of a step (N = K), or their candidates (N = C).

    Numbers are float64; a row b belongs to one user and must not depend on the others. Draws are
    functions of the user stream, the episode, the step, a purpose and an index, so they are the
    same whatever the batch; give items as index, and luck hangs on the item.
    """

    setting: Setting
    """What does not change: prices, clickbait, ..."""
    state: Named
    """The users' state by name, float32 and live, such as ``state.satiation`` (B, Z)."""
    own: dict[str, dict[str, AnyArray]]
    """Part name -> the arrays that the part keeps, live."""
    slate: IntArray
    """(B, N) item rows, -1 for an empty place."""
    items: LongArray
    """(B, N) the same with row 0 in empty places, to index with."""
    filled: BoolArray
    """(B, N)."""
    topics: DoubleArray
    """(B, N, Z), zero in empty places."""
    shown: DoubleArray
    """(B, Z) mean topics of the filled places."""
    value: DoubleArray
    """(B, N) predicted value on the log's scale."""
    click_logit: DoubleArray
    """(B, N) natural-log odds that the value is worth a click."""
    fatigue: DoubleArray
    """(B, N) of `Satiation` as the step began, 0 without it."""
    mean_fatigue: DoubleArray
    """(B,) its mean over the filled places."""
    taste: DoubleArray
    """(B, N) natural-log odds, from the part of slot "response"."""
    utility: DoubleArray
    """(B, N) taste and what the parts of slot "change" add."""
    click: BoolArray
    """(B, N) taken."""
    signals: dict[str, DoubleArray]
    """Name -> (B, N) feedback given so far in this step, 0 where nothing was taken."""
    consumed: DoubleArray
    """(B, Z) sum of the topics of the items taken."""
    over: BoolArray
    """(B,) the step ended the session; set before the reward is settled, as all below."""
    bored: BoolArray
    """(B,) because patience ran out."""
    never: BoolArray
    """(B,) and the user never returns."""
    back: BoolArray
    """(B,) and the user returns."""
    gap: DoubleArray
    """(B,) after so many days, else 0."""
    creators_lost: DoubleArray
    """(B,) creators who left in this step."""

    def __init__(
        self,
        setting: Setting,
        state: Named,
        own: dict[str, dict[str, AnyArray]],
        *,
        beginning: bool = False,
    ) -> None:
        self.setting, self.state, self.own = setting, state, own
        episode = rng.episode_key_of(state.seed, state.stream, state.episode)
        self.at = rng.step_key_of(episode, state.step.astype(np.uint64))  # (B,)
        # What is drawn as a session begins is drawn apart from what its first step draws.
        self._prefix = "begin:" if beginning else ""
        ageing = self.find("ageing")
        if isinstance(ageing, Ageing):
            start, step = state.start.astype(np.int64), state.step.astype(np.int64)
            self.now = ageing.now(start, step, state.day.astype(np.float64))
            """(B,) step of the calendar, with part "ageing"."""
        nothing = np.zeros(self.batch, dtype=np.bool_)
        self.signals = {}
        self.over, self.bored, self.never, self.back = (nothing.copy() for _ in range(4))
        self.gap, self.creators_lost = np.zeros(self.batch), np.zeros(self.batch)

    @property
    def world(self) -> World:
        """Items, users, and the fitted model."""
        return self.setting.world

    @property
    def variant(self) -> Variant:
        """The task."""
        return self.setting.variant

    @property
    def batch(self) -> int:
        """B."""
        return len(self.state.seed)

    @property
    def price(self) -> DoubleArray:
        """(B, N) in median prices."""
        return self.setting.price[self.items]

    @property
    def clickbait(self) -> DoubleArray:
        """(B, N) in [0, 1]."""
        return self.setting.clickbait[self.items]

    @property
    def duration(self) -> DoubleArray:
        """(B, N) minutes."""
        return self.world.item_duration[self.items].astype(np.float64)

    def find(self, name: str) -> Part | None:
        """Return the variant's part of that name, or None."""
        return self.variant.find(name)

    def signal(self, name: str) -> DoubleArray:
        """Return the feedback (B, N) of that name, 0 if no part has given it."""
        found = self.signals.get(name)
        return np.zeros(self.items.shape) if found is None else found

    # --- draws ---------------------------------------------------------------------------------

    def bits(self, purpose: int | str, index: AnyArray | int) -> KeyArray:
        """Return 64 random bits: (B,) for one index, (B, N) for indices (N,) or (B, N).

        Args:
            purpose: a name, best the part's own; numbers belong to the parts of slategym.
            index: at least 0 and below 2^40.
        """
        number = purpose_number(self._prefix + purpose) if isinstance(purpose, str) else purpose
        at = self.at if np.ndim(index) == 0 else self.at[:, None]
        return rng.bits_of(
            at, np.array([number], np.uint64), np.atleast_1d(index).astype(np.uint64)
        )

    def uniform(self, purpose: int | str, index: AnyArray | int) -> DoubleArray:
        """Return numbers in (0, 1); see `bits` for purpose, index and shape."""
        return rng.uniform_of(self.bits(purpose, index))

    def normal(self, purpose: int | str, index: AnyArray | int) -> DoubleArray:
        """Return standard normal numbers; see `bits`."""
        return rng.normal_of(self.bits(purpose, index))

    def gumbel(self, purpose: int | str, index: AnyArray | int) -> DoubleArray:
        """Return standard Gumbel numbers; see `bits`."""
        return rng.gumbel_of(self.bits(purpose, index))

    def exponential(self, purpose: int | str, index: AnyArray | int) -> DoubleArray:
        """Return exponential numbers of mean one; see `bits`."""
        return rng.exponential_of(self.bits(purpose, index))

    def below(self, purpose: int | str, index: AnyArray | int, count: int) -> LongArray:
        """Return whole numbers in [0, count); see `bits`."""
        return rng.below_of(self.bits(purpose, index), count)

    def shared_bits(self, purpose: int | str, index: AnyArray) -> KeyArray:
        """Return bits (B, N) that all users of a seed share, in every step and episode."""
        number = purpose_number(purpose) if isinstance(purpose, str) else purpose
        zero = np.zeros(self.batch, np.uint64)
        everyone = np.full(self.batch, _EVERYONE)
        key = rng.step_key_of(rng.episode_key_of(self.state.seed, everyone, zero), zero)
        return rng.bits_of(key[:, None], np.array([number], np.uint64), index.astype(np.uint64))

    # --- what is shown, and how it attracts ----------------------------------------------------

    def show(self, slate: IntArray) -> None:
        """Set which items are looked at: rows (B, N), -1 for an empty place."""
        self.slate, self.filled = slate, slate >= 0
        self.items = np.where(self.filled, slate, 0).astype(np.int64)
        self.topics = self.world.item_topics[self.items] * self.filled[:, :, None].astype(float)
        count = np.maximum(self.filled.sum(axis=1, keepdims=True), 1)
        self.shown = self.topics.sum(axis=1) / count

    def look(self) -> None:
        """Set value, click logit and fatigue of what is shown."""
        info = self.world.info
        bias = self.state.bias.astype(np.float64)[:, None]
        self.value = info.mean + bias + self.worth_by_taste(self.items)
        self.click_logit = info.click_intercept + info.click_slope * self.value
        tired = self.find("satiation") is not None
        self.fatigue = self.along(self.state.satiation) if tired else np.zeros(self.items.shape)
        self.mean_fatigue = self.fatigue.sum(axis=1) / np.maximum(self.filled.sum(axis=1), 1)

    def worth_by_taste(self, items: IntArray | LongArray) -> DoubleArray:
        """Return item bias + p . q (B, N) of ``items`` (B, N)."""
        world, taste = self.world, self.state.taste.astype(np.float64)
        product = np.einsum("bf,bnf->bn", taste, world.item_factors[items].astype(np.float64))
        return world.item_bias[items].astype(np.float64) + product

    def along(self, level: AnyArray) -> DoubleArray:
        """Return ``sum_z level_bz topic_iz`` (B, N) of a level per topic (B, Z)."""
        return np.einsum("bz,bnz->bn", level.astype(np.float64), self.topics)

    def available(self, items: IntArray | LongArray) -> BoolArray:
        """Return (B, N) whether every part lets each of ``items`` (B, N) be shown."""
        there = np.ones(items.shape, dtype=np.bool_)
        for part in self.setting.gates:
            there &= part.available(self, items)
        return there

    def need(self) -> DoubleArray:
        """Return (B, N) the need of `Needs` along the items' topics, 0 without it."""
        if self.find("needs") is None:
            return np.zeros(self.items.shape)
        return self.along(self.state.need)

    def no_click(self, given: float | None) -> float:
        """Return the utility of taking nothing: ``given``, or the one fitted to the world."""
        return self.world.info.no_click_logit if given is None else given

    def satisfaction(self) -> DoubleArray:
        """Return (B,) the satisfaction S of `Satisfaction`, 1/2 without it."""
        part = self.find("satisfaction")
        if not isinstance(part, Satisfaction):
            return np.full(self.batch, 0.5)
        return part.level(self.state.exposure)

    # --- candidates ----------------------------------------------------------------------------

    @property
    def most_are_candidates(self) -> bool:
        """Whether more than half of the catalogue is drawn in each step."""
        return 2 * self.state.candidates.shape[1] > self.world.n_items

    def of_first_episode(self) -> "Scene":
        """Return a scene that draws as in the first step of the first episode of each stream."""
        first = Scene(self.setting, self.state, self.own)
        zero = np.zeros(self.batch, np.uint64)
        key = rng.episode_key_of(self.state.seed, self.state.stream, zero)
        first.at = rng.step_key_of(key, zero)
        return first
