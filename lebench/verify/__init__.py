"""Whether an entry holds what it claims: its files, the invariants of its records, and its scores computed again.

Everything in an entry may come from anybody. Files are looked at before they are read, nothing is unpickled, no model
of an entry is built, and what is recomputed is computed by the code of the installed lebench.
"""

from lebench.verify.recomputation import ABSOLUTE, RELATIVE, Recomputed, differences, recompute
from lebench.verify.validation import validate
from lebench.verify.violations import Violation

__all__ = ["ABSOLUTE", "RELATIVE", "Recomputed", "Violation", "differences", "recompute", "validate"]
