"""Statistics: numbers in, numbers out. Nothing here knows what a task or a model is."""

from lebench.stats.hypotheses import Case, Judgement, judge
from lebench.stats.intervals import (
    FREE,
    LEVEL,
    Bounds,
    Estimate,
    Ratio,
    as_array,
    mean_interval,
    mean_intervals,
    paired_difference,
    ratio_of_means,
    smallest_difference,
    within_bounds,
)
from lebench.stats.moderation import moderate, trigamma_inverse
from lebench.stats.points import PointEffects, combined, effects_of, point_effects
from lebench.stats.ranking import Comparisons, Ranks, anchors, compare, holm, ranks_of, reliability

__all__ = [
    "FREE",
    "LEVEL",
    "Bounds",
    "Case",
    "Comparisons",
    "Estimate",
    "Judgement",
    "PointEffects",
    "Ranks",
    "Ratio",
    "anchors",
    "as_array",
    "combined",
    "compare",
    "effects_of",
    "holm",
    "judge",
    "mean_interval",
    "mean_intervals",
    "moderate",
    "paired_difference",
    "point_effects",
    "ranks_of",
    "ratio_of_means",
    "reliability",
    "smallest_difference",
    "trigamma_inverse",
    "within_bounds",
]
