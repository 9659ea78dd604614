import numpy as np

from lebench.board import make_standings

rng = np.random.default_rng(1)
quality = {"wide": 0.92, "deep": 0.915, "small": 0.87, "linear": 0.70}
tasks = [f"task {number}" for number in range(14)]

# A score is the model's quality, how well model and task suit each other, and the luck of the seed.
values = {
    task: {
        model: {seed: mean + suits + rng.normal(0, 0.004) for seed in range(5)}
        for model, mean in quality.items()
        for suits in [rng.normal(0, 0.05)]
    }
    for task in tasks
}
for task in tasks[:3]:
    del values[task]["wide"]

standings = make_standings(
    "example",
    values,
    signs=dict.fromkeys(tasks, 1),  # more is better
    tracks=dict.fromkeys(tasks, "example"),
    models=quality,
)
for place in standings.places:
    print(
        f"{place.entry:7} rank {place.rank}: {place.lower} to {place.upper}, group {place.group}; "
        f"on these tasks {place.seed_lower} to {place.seed_upper}; points {place.points:.2f} of {place.tasks} tasks"
    )
print("deep is above wide in a share of", standings.win_probability[1][0], "of the draws")
