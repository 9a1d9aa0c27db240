"""News: articles arrive, age and expire; readers come back to a front page that kept its word."""

from slategym.envs.parts import (
    Ageing,
    Bursts,
    Familiarity,
    LogitChoice,
    Patience,
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

NEWS = Variant(
    id="slategym/News-v0",
    description="A front page over three weeks: articles age and expire, topics flare up, and "
    "readers return to what kept its word.",
    slate_size=5,
    num_candidates=15,
    horizon=300,
    parts=(
        # Of what is on the shelf; freshness, and not retrieval, makes the difference here.
        UniformCandidates(),
        TasteResponse(),
        LogitChoice(),
        # A lurid headline is opened more and read less.
        Watch(watch_clickbait=1.5),
        # Read once is enough; forgotten as newer articles are read.
        Familiarity(repeat_gain=0.0, repeat_tire=6.0),
        # A calendar step is half an hour: five days, of which an article is on the shelf for two
        # and a half, so that half of a catalogue is there; freshness halves in twelve hours.
        Ageing(
            calendar=240.0,
            lifetime=120.0,
            half_life=24.0,
            freshness_weight=2.0,
            steps_per_day=48.0,
        ),
        # Every third day or so a topic is on everyone's mind, for some six hours.
        Bursts(burst_rate=0.3, burst_window=48.0, burst_half_life=12.0, burst_weight=1.5),
        # A visit is a handful of pages: tiring of topics ends it even while articles are read.
        Satiation(satiation_weight=0.8, satiation_decay=0.95, consume_gain=0.6, expose_gain=0.2),
        Patience(
            patience=3.0,
            patience_cap=3.0,
            patience_gain=0.0,
            patience_loss=1.0,
            boredom=2.0,
            boredom_threshold=0.3,
        ),
        # What lures is paid for in trust, over some thirty steps, which is several visits.
        Satisfaction(
            clickbait_pull=3.0,
            clickbait_debt=2.0,
            watch_credit=1.0,
            watch_expected=0.65,
            satisfaction_memory=0.97,
            satisfaction_sensitivity=0.5,
            satisfaction_weight=0.5,
        ),
        # At S = 1/2 the next visit is a day and a half away and one in twenty is the last.
        Returning(
            days=21.0,
            gap_min=0.3,
            gap_mean=1.2,
            gap_sensitivity=1.5,
            churn_intercept=-3.0,
            churn_sensitivity=3.0,
            rest_per_day=0.2,
        ),
        # Articles read: the fraction read of each, summed.
        Reward(watch_weight=1.0),
    ),
)
"""Readers of a news site; a step is a front page, the reward is articles read."""

register_variant(NEWS)
