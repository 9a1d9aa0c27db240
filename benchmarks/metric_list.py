"""The numbers of a report: how each is called, defined and printed."""

from dataclasses import dataclass
from typing import Literal

Group = Literal["engagement", "staying", "diversity", "fairness"]
GROUPS: dict[Group, str] = {
    "engagement": "What users did",
    "staying": "Whether users stay and return",
    "diversity": "How varied and how well matched it was",
    "fairness": "Who is shown, who is served",
}
"""Group of metrics -> its heading."""

# Costly for every slate: some of each session's, evenly spaced, the first among them.
SAMPLED_SLATES = 8
_SAMPLED = f"over up to {SAMPLED_SLATES} slates of a session, evenly spaced"


@dataclass(frozen=True)
class Metric:
    """How a number is called, measured and printed.

    Attributes:
        key: name in files.
        label: name in tables and figures.
        unit: unit, or "" for a pure number.
        digits: decimals shown.
        convention: one sentence that pins the definition down.
        group: the table it stands in.
        level: "session" (one number for each session, averaged) or "set" (one number for
            all sessions together).
        better: which direction is usually wanted; "" where that is a matter of purpose.
    """

    key: str
    label: str
    unit: str
    digits: int
    convention: str
    group: Group = "engagement"
    level: Literal["session", "set"] = "session"
    better: Literal["higher", "lower", ""] = "higher"


METRICS: tuple[Metric, ...] = (
    Metric("return", "Return", "", 2, "Undiscounted sum of rewards in a session."),
    Metric("clicks", "Clicks", "", 2, "Number of items clicked in a session."),
    Metric("click_rate", "Click rate", "", 3, "Clicks divided by items shown, in a session."),
    Metric("minutes", "Watch time", "min", 1, "Minutes watched in a session."),
    Metric("purchases", "Purchases", "", 2, "Items bought in a session, repeats included."),
    Metric(
        "length",
        "Session length",
        "slates",
        1,
        "Slates seen before leaving for good or the horizon, over all visits.",
        "staying",
    ),
    Metric(
        "stayed",
        "Retention",
        "",
        3,
        "Share of sessions that the horizon (or the last day) ended, and not the user.",
        "staying",
    ),
    Metric("visits", "Visits", "", 2, "Visits begun by a user until the end.", "staying"),
    Metric(
        "visit_length",
        "Visit length",
        "slates",
        2,
        "Slates seen divided by visits; a visit that the horizon cut counts as it is.",
        "staying",
    ),
    Metric(
        "return_days",
        "Return time",
        "days",
        2,
        "Mean days from a user's visit to the next one, also one beyond the last day; users who "
        "never came back have none and are left out, so read it beside retention.",
        "staying",
        better="lower",
    ),
    Metric(
        "last_visit",
        "Last visit",
        "day",
        1,
        "Day on which the user's last visit began, 0 being the first.",
        "staying",
    ),
    Metric(
        "diversity",
        "Intra-list diversity",
        "",
        3,
        "1 minus the mean cosine over unordered pairs of a slate, on the content vectors; "
        "mean over the slates of a session; undefined for a slate of one.",
        "diversity",
        better="",
    ),
    Metric(
        "session_diversity",
        "Session diversity",
        "",
        3,
        "1 minus the mean cosine over all pairs of impressions of a whole session; an item shown "
        "twice is a pair at distance 0.",
        "diversity",
        better="",
    ),
    Metric(
        "consumed_diversity",
        "Diversity of what was clicked",
        "",
        3,
        "The same over the items clicked in a session; undefined below two clicks.",
        "diversity",
        better="",
    ),
    Metric(
        "vendi",
        "Vendi score",
        "items",
        2,
        "Effective number of different items of a slate: exp of the entropy of the eigenvalues "
        f"of its cosines divided by K (Friedman and Dieng 2023); mean {_SAMPLED}.",
        "diversity",
        better="",
    ),
    Metric(
        "volume",
        "DPP log volume",
        "nats",
        2,
        "log det of a slate's cosines plus 1e-6 on the diagonal (Kulesza and Taskar 2012); mean "
        f"{_SAMPLED}.",
        "diversity",
        better="",
    ),
    Metric(
        "novelty",
        "Novelty",
        "bits",
        2,
        "Mean of -log2(max(public count of the item, 1) / all public interactions) over the "
        "items shown in a session.",
        "diversity",
        better="",
    ),
    Metric(
        "serendipity",
        "Serendipity",
        "",
        3,
        "Mean over slots of clicked times surprise, surprise being (1 - cosine of the item to the "
        f"mean direction of the user's public history) / 2; {_SAMPLED}.",
        "diversity",
    ),
    Metric(
        "topic_entropy",
        "Topic entropy of clicks",
        "bits",
        2,
        "Entropy of the mean topic distribution of the items clicked in a session; undefined "
        "without a click; grows with the number of clicks.",
        "diversity",
        better="",
    ),
    Metric(
        "calibration_kl",
        "Miscalibration, KL",
        "nats",
        3,
        "KL(p || 0.99 q + 0.01 p), p the topics of the user's public history and q those of all "
        "items shown in a session (Steck 2018); 0 is calibrated.",
        "diversity",
        better="lower",
    ),
    Metric(
        "calibration_js",
        "Miscalibration, JS",
        "nats",
        3,
        "Jensen-Shannon divergence of the same two distributions (Lin 1991), at most ln 2.",
        "diversity",
        better="lower",
    ),
    Metric(
        "coverage",
        "Coverage",
        "",
        3,
        "Share of the whole catalogue shown at least once, over all sessions together.",
        "fairness",
        level="set",
        better="",
    ),
    Metric(
        "gini",
        "Exposure Gini",
        "",
        3,
        "Gini coefficient of the number of times each item was shown, over the whole "
        "catalogue, items never shown included; 0 = all equal.",
        "fairness",
        level="set",
        better="",
    ),
    Metric(
        "topic_gap",
        "Topics' exposure gap",
        "",
        3,
        "Share of all exposure that would have to move between topics for each to have its share "
        "of the catalogue (total variation).",
        "fairness",
        level="set",
        better="lower",
    ),
    Metric(
        "creator_gap",
        "Creators' exposure gap",
        "",
        3,
        "The same between creators: the catalogue shares treat all items alike.",
        "fairness",
        level="set",
        better="lower",
    ),
    Metric(
        "creator_gini",
        "Creators' exposure Gini",
        "",
        3,
        "Gini coefficient of the number of times each creator's items were shown.",
        "fairness",
        level="set",
        better="",
    ),
    Metric(
        "history_gap",
        "Gap by history",
        "",
        2,
        "Mean return of sessions of users with more public history than the median user, less "
        "that of the others.",
        "fairness",
        level="set",
        better="",
    ),
    Metric(
        "taste_gap",
        "Gap by taste",
        "",
        2,
        "Best less worst mean return among groups of users by the main topic of their public "
        "history, groups below 5 users left out.",
        "fairness",
        level="set",
        better="lower",
    ),
)
METRIC: dict[str, Metric] = {metric.key: metric for metric in METRICS}
