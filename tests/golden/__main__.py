"""Write the golden values anew and print what moved: ``make golden``.

``make golden CASES=digits`` does those with that in their names, ``make golden CASES=new`` those without values.

A value that moves is written only if the version is raised of what is responsible for it; a version that is raised,
only if something moved.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor

from golden.cases import FACTS, Case, store, stored, wanted
from golden.compare import Facts, fact_moved, facts_of_today, moved, responsible, timed


class Update:
    """What `make golden` found so far: the cases to write, and what speaks against writing them."""

    def __init__(self) -> None:
        self.before = {case.name: case for case in stored()}
        self.facts: Facts = json.loads(FACTS.read_text(encoding="utf-8")) if FACTS.exists() else {}
        self.today = facts_of_today()
        self.written = dict(self.before)
        self.unraised: set[str] = set()
        self.raised: set[str] = set()
        self.moved: set[str] = set()

    def add_facts(self) -> None:
        """Compare points and variants."""
        for name, fact in self.today.items():
            old = self.facts.get(name)
            if old is None:
                continue
            if fact_moved(old, fact):
                print(f"{name}: its {'points' if 'points' in fact else 'variants'} moved")
                self.moved.add(name)
                if old["version"] == fact["version"]:
                    self.unraised.add(name)
            if old["version"] != fact["version"]:
                self.raised.add(name)

    def add(self, case: Case, after: Case) -> None:
        """Compare a case that was asked for with what came of it."""
        old = self.before.get(case.name)
        if not after.tasks:
            self.written.pop(case.name, None)
            return
        if old is None or old.tasks != after.tasks:
            print(f"{case.name}: new, or of other tasks")
            self.moved |= after.versions.keys()
            self.written[case.name] = after
            if old is None and not self.unraised:
                # At once, so that what is new is not lost if the rest is interrupted.
                self.write()
            return
        raised = {name for name, version in after.versions.items() if old.versions.get(name, version) != version}
        self.raised |= raised
        found = moved(old, after)
        if not found:
            self.written[case.name].versions = after.versions
            return
        print(f"{case.name}: {len(found)} numbers moved", *(one.text for one in found[:8]), sep="\n  ")
        self.moved |= raised
        blamed = responsible(old, found, list(self.before.values()), self.facts)
        self.unraised |= blamed - raised
        self.written[case.name] = after

    def write(self) -> None:
        """Write cases and facts."""
        store([self.written[case.name] for case in wanted() if case.name in self.written])
        lines = (f"{json.dumps(name)}:{json.dumps(fact, separators=(',', ':'))}" for name, fact in self.today.items())
        FACTS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main(parts: list[str]) -> int:
    """Compare every case that has the given parts in its name, and write what may be written."""
    update = Update()
    update.add_facts()
    new = parts == ["new"]
    asked = [
        case
        for case in wanted()
        if (case.name not in update.before if new else all(part in case.name for part in parts))
    ]
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        for case, (seconds, after) in zip(asked, pool.map(timed, asked), strict=True):
            print(f"{seconds:6.2f} s {case.name} {after.failed or ''}", file=sys.stderr, flush=True)
            update.add(case, after)
    idle = update.raised - update.moved
    for name in sorted(update.unraised):
        print(f"raise the version of {name}: nothing is written")
    for name in sorted(idle):
        print(
            f"the version of {name} is raised and nothing moved: add a golden case that moves (tests/golden/cases.py)"
        )
    if update.unraised or idle:
        return 2
    update.write()
    return 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(main(sys.argv[1:]))
