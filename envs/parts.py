"""All built-in parts by name; each is defined, with its formula, in the module it comes from.

Logits and utilities are natural-log odds; times are minutes, steps or days, as named.
"""

from slategym.envs.parts_candidates import (
    CatalogueCandidates,
    FixedCandidates,
    PopularCandidates,
    RetrievedCandidates,
    UniformCandidates,
)
from slategym.envs.parts_change import (
    Boredom,
    Familiarity,
    InterestDrift,
    Mood,
    Needs,
    Satiation,
    Satisfaction,
    TasteShift,
)
from slategym.envs.parts_choice import (
    ExponentialCascade,
    LogitChoice,
    PositionChoice,
    ProportionalCascade,
    ProportionalChoice,
    TasteResponse,
)
from slategym.envs.parts_feedback import Like, Purchase, Rating, Share, Skip, Watch
from slategym.envs.parts_leaving import Budget, Patience, Returning
from slategym.envs.parts_reward import Reward
from slategym.envs.parts_supply import Ageing, Bursts, Creators

__all__ = [
    "BUILT_IN",
    "Ageing",
    "Boredom",
    "Budget",
    "Bursts",
    "CatalogueCandidates",
    "Creators",
    "ExponentialCascade",
    "Familiarity",
    "FixedCandidates",
    "InterestDrift",
    "Like",
    "LogitChoice",
    "Mood",
    "Needs",
    "Patience",
    "PopularCandidates",
    "PositionChoice",
    "ProportionalCascade",
    "ProportionalChoice",
    "Purchase",
    "Rating",
    "RetrievedCandidates",
    "Returning",
    "Reward",
    "Satiation",
    "Satisfaction",
    "Share",
    "Skip",
    "TasteResponse",
    "TasteShift",
    "UniformCandidates",
    "Watch",
]

BUILT_IN = (
    UniformCandidates, PopularCandidates, RetrievedCandidates, FixedCandidates,
    CatalogueCandidates, TasteResponse, LogitChoice, ProportionalChoice, ExponentialCascade,
    ProportionalCascade, PositionChoice, Watch, Rating, Like, Skip, Share, Purchase, InterestDrift,
    TasteShift, Satiation, Boredom, Satisfaction, Familiarity, Mood, Ageing, Bursts, Needs,
    Creators, Patience, Budget, Returning, Reward,
)  # fmt: skip
"""The parts that the compiled step knows."""
