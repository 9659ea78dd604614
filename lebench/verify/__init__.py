"""Whether an entry holds what it claims: its files, the invariants of its records, and its scores made again.

Everything in an entry may come from anybody. Files are looked at before they are read, nothing is unpickled, and what
is computed is computed by the code of the installed lebench: scores from recordings without any model, and records
from scratch only by models that are lebench's own or that whoever checks has given as a plug-in.
"""

from lebench import callables
from lebench.verify.recomputation import Recomputed, recompute
from lebench.verify.rerun import Rerun, available, draw, make_verification, not_of_lebench, run_again, skips
from lebench.verify.submission import Base, base
from lebench.verify.validation import FEWEST_SEEDS, validate
from lebench.verify.violations import Violation

__all__ = [
    "FEWEST_SEEDS",
    "Base",
    "Recomputed",
    "Rerun",
    "Violation",
    "available",
    "base",
    "draw",
    "make_verification",
    "not_of_lebench",
    "recompute",
    "run_again",
    "skips",
    "validate",
]

# ``lebench.verify(...)`` is a function, too.
callables.call(__name__, "lebench.cli.rerunning:verify")
