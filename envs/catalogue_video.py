"""``slategym/Video-v0``: a month of evenings on a video platform, where lures cost later visits."""

from slategym.envs.parts import (
    Budget,
    InterestDrift,
    Like,
    LogitChoice,
    Patience,
    Rating,
    Returning,
    Reward,
    Satiation,
    Satisfaction,
    TasteResponse,
    UniformCandidates,
    Watch,
)
from slategym.envs.registry import register_variant
from slategym.envs.variant import Variant

register_variant(
    Variant(
        id="slategym/Video-v0",
        description="Watch time over a month of visits: a lure is clicked now and paid for later.",
        slate_size=5,
        num_candidates=20,
        horizon=200,
        parts=(
            UniformCandidates(),
            TasteResponse(),
            LogitChoice(),
            # How long a video is watched hangs on taste less than whether it is begun.
            Watch(watch_scale=0.4, watch_clickbait=1.0),
            Rating(),
            Like(like_intercept=-1.5, like_clickbait=2.0),
            InterestDrift(interest_drift=0.02),
            Satiation(satiation_weight=0.8, satiation_decay=0.9, consume_gain=0.5, expose_gain=0.0),
            # Clickbait has a spread of about 0.17: one such step wins a third of a logit now and
            # costs what a third of a video unwatched would.
            Satisfaction(
                clickbait_pull=2.0,
                clickbait_debt=2.0,
                watch_credit=1.0,
                watch_expected=0.6,
                satisfaction_memory=0.9,
                satisfaction_sensitivity=1.5,
                satisfaction_weight=0.5,
            ),
            Patience(patience=4.0, patience_cap=4.0, patience_gain=1.0, boredom=0.0),
            Budget(minute_budget=45.0, browse_minutes=1.0),
            Returning(
                days=30.0,
                gap_min=0.5,
                gap_mean=1.5,
                gap_sensitivity=1.0,
                churn_intercept=-3.0,
                churn_sensitivity=2.0,
            ),
            # 1 is ten minutes watched.
            Reward(watch_weight=0.0, minutes_weight=0.1),
        ),
    )
)
