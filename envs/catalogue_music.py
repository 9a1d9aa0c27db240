"""``slategym/Music-v0``: a week of listening, where playing the favourites ends the session."""

from slategym.envs.parts import (
    Boredom,
    Familiarity,
    InterestDrift,
    LogitChoice,
    Mood,
    Patience,
    Rating,
    RetrievedCandidates,
    Returning,
    Reward,
    Satiation,
    Satisfaction,
    Skip,
    TasteResponse,
    Watch,
)
from slategym.envs.registry import register_variant
from slategym.envs.variant import Variant

register_variant(
    Variant(
        id="slategym/Music-v0",
        description="Songs heard and not skipped over a week: repeats please, then tire.",
        slate_size=3,
        num_candidates=20,
        horizon=250,
        parts=(
            # A shelf mixes songs near the listener's taste, new ones, and those played lately.
            RetrievedCandidates(tries=3.0, explore=0.3, revisit=0.4),
            TasteResponse(),
            LogitChoice(),
            # About one song in twelve that is begun is left early.
            Watch(watch_intercept=0.25, watch_satiation=0.3, watch_noise=1.2),
            Rating(),
            Skip(skip_below=0.3),
            InterestDrift(interest_drift=0.02),
            # A song tires little by itself, but its genre stays in the ear for some twenty songs.
            Satiation(
                satiation_weight=0.3, satiation_decay=0.95, consume_gain=0.4, expose_gain=0.0
            ),
            Boredom(boredom_weight=2.0, bored_at=3.0, rested_at=1.0),
            # "Clickbait" is here a hit: better known than liked.
            Satisfaction(
                clickbait_pull=0.5,
                clickbait_debt=0.0,
                watch_credit=2.0,
                watch_expected=0.6,
                satisfaction_memory=0.95,
                satisfaction_sensitivity=1.0,
                satisfaction_weight=0.5,
            ),
            Familiarity(repeat_gain=1.5, repeat_tire=0.6),
            Mood(mood_spread=0.8, mood_memory=0.97),
            Patience(
                patience=4.0,
                patience_cap=4.0,
                patience_gain=0.0,
                patience_loss=1.0,
                boredom=0.5,
                boredom_threshold=0.4,
                skip_annoyance=0.5,
            ),
            Returning(
                days=7.0,
                gap_min=0.5,
                gap_mean=1.5,
                gap_sensitivity=1.0,
                churn_intercept=-3.0,
                churn_sensitivity=2.0,
            ),
            # 1 is a song heard to its end.
            Reward(watch_weight=1.0, skip_weight=0.5),
        ),
    )
)
