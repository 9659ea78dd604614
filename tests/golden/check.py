"""Compare golden cases whose names hold a text with what is committed: ``python -m golden.check rbf|numpy|digits``.

It ends at the first case that moved, with its message and status 1.
"""

from __future__ import annotations

import json
import sys

from golden.cases import FACTS, stored
from golden.compare import verdict


def main(parts: list[str]) -> int:
    """Print what is wrong with the first case that moved."""
    known = stored()
    asked = [case for case in known if any(part in case.name for part in parts or [""])]
    if not asked:
        print(f"there is no golden case {', '.join(parts)}", file=sys.stderr)
        return 2
    facts = json.loads(FACTS.read_text(encoding="utf-8"))
    for case in asked:
        if message := verdict(case, known, facts):
            print(message)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
