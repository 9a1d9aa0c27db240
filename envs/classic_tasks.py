"""The classic tasks that come with slategym: RecSim's three, and harder ones beside them."""

from slategym.envs.classic_constants import (
    EvolutionConstants,
    ExplorationConstants,
    SatisfactionConstants,
)
from slategym.envs.classic_variant import ClassicVariant
from slategym.envs.registry import register_variant

_NICHE = ExplorationConstants(
    slate_size=2,
    topic_distribution=(0.25, 0.25, 0.25, 0.25),
    topic_quality_mean=(0.8, 0.5, 0.5, 0.5),
    topic_quality_stddev=(0.1, 0.1, 0.1, 0.1),
    user_type_distribution=(0.4, 0.2, 0.2, 0.2),
    user_document_mean_affinity_matrix=(
        (0.9, 0.1, 0.1, 0.1),
        (0.1, 1.2, 0.1, 0.1),
        (0.1, 0.1, 1.2, 0.1),
        (0.1, 0.1, 0.1, 1.2),
    ),
    user_document_stddev_affinity_matrix=((0.1, 0.1, 0.1, 0.1),) * 4,
)

CLASSICS = (
    ClassicVariant(
        "slategym/InterestEvolution-v0",
        "RecSim's videos that cost time and change interests; a static rule comes near.",
        EvolutionConstants(),
    ),
    ClassicVariant(
        "slategym/InterestEvolutionTight-v0",
        "Not clicking is dear and interests move fast: neither quality nor taste alone will do.",
        EvolutionConstants(slate_size=2, step_penalty=4.0, alpha_y_intercept=0.9),
    ),
    ClassicVariant(
        "slategym/InterestExploration-v0",
        "RecSim's hidden tastes; showing the best quality to everyone is nearly optimal.",
        ExplorationConstants(),
    ),
    ClassicVariant(
        "slategym/NicheExploration-v0",
        "Three niches beside the mainstream: who never asks what a user likes loses most of it.",
        _NICHE,
    ),
    ClassicVariant(
        "slategym/LongTermSatisfaction-v0",
        "RecSim's clickbait; at its numbers the most of it is best in the long run too.",
        SatisfactionConstants(),
    ),
    ClassicVariant(
        "slategym/LongTermSatisfactionHard-v0",
        "Clickbait that harms: satisfaction is ten times as sensitive, and myopia loses a fifth.",
        SatisfactionConstants(sensitivity=0.1),
    ),
    ClassicVariant(
        "slategym/LongTermSatisfactionExtreme-v0",
        "Two hundred times as sensitive: who plans ahead earns 38 times what myopia does.",
        SatisfactionConstants(sensitivity=2.0),
    ),
)
"""Registered when this module is imported."""

for _variant in CLASSICS:
    register_variant(_variant)
