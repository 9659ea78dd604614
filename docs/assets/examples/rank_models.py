import numpy as np

from lebench.stats import anchors, compare, ranks_of

rng = np.random.default_rng(1)
models = ["wide", "deep", "small", "linear"]

# Accuracies of four models on three tasks with five seeds: a seed makes all models better or worse alike.
quality = np.array([0.92, 0.915, 0.87, 0.70])[:, None]
luck = rng.normal(0, 0.02, (3, 1, 5))
scores = quality + luck + rng.normal(0, 0.004, (3, 4, 5))

centre, scale = anchors(scores.mean(axis=2))  # of a released suite they are frozen
found = compare(scores, centre, scale, clusters=["digits"] * 3, trained=[1, 1, 1, 1])
ranks = ranks_of(found)
for k, model in enumerate(models):
    print(
        f"{model:7} rank {ranks.rank[k]}: {ranks.lower[k]} to {ranks.upper[k]}; "
        f"track score {100 * found.scores[k]:.1f} [{100 * found.lower[k]:.1f}, {100 * found.upper[k]:.1f}]"
    )
print(f"wide against deep: p = {found.p[0, 1]:.3f}")
