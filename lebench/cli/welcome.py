"""``lebench`` and ``lebench list`` alone: what there is, and what to do next."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from lebench import registry

_STEPS = (
    ("lebench run --model knn --task digits/accuracy", "a first score, in seconds"),
    ("lebench run --model mlp --dry-run", "what a run would do, and how long it would take"),
    ("lebench show", "the scores in results/, beside the leaderboard"),
    ("lebench compare mlp resnet", "the differences of two models, with intervals"),
    ("lebench list", "what there is to run; 'lebench info mlp' says what it is"),
    ("lebench run --plugin mine.py --model mine", "a model of your own: see docs/getting-started.md"),
)


def text() -> str:
    """Return what to do next."""
    lines = ["lebench measures how neural networks and kernels learn: do they generalize, are they locally elastic,"]
    lines += ["do their features collapse?", ""]
    width = max(len(command) for command, _ in _STEPS)
    lines += [f"  {command.ljust(width)}  {what}" for command, what in _STEPS]
    if (Path("results") / "records").is_dir():
        lines += ["", "There are records in results/: 'lebench show' prints them."]
    return "\n".join([*lines, "", "All commands: lebench --help"])


def counts(*, as_json: bool) -> str:
    """Return how many names there are of each kind, by their commonest tags."""
    if as_json:
        return json.dumps({f"{kind}s": len(known.names()) for kind, known in registry.REGISTRIES.items()}, indent=1)
    rows = []
    for kind, known in registry.REGISTRIES.items():
        items = known.items()
        tags = Counter(item.tags[0] for item in items if item.tags)
        shown = ", ".join(f"{count} {tag}" for tag, count in tags.most_common(5))
        rows.append((f"lebench list {kind}s", str(len(items)), shown))
    width = max(len(command) for command, _, _ in rows)
    return "\n".join(f"{command.ljust(width)}  {count:>4}  {shown}".rstrip() for command, count, shown in rows)
