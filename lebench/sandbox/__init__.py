"""A submitted model at arm's length: its code runs in a sandbox and answers over a pipe.

The process that scores, compares and writes documents never imports a plug-in. It starts a *guest*, a process without
network, rights and secrets that does, and asks it for what a model is asked for: to fit a split, to predict, for
features, similarities, kernels. What comes back are arrays of limited size and checked shape, never objects.
"""

from lebench.sandbox.confinement import confined, why_not
from lebench.sandbox.remote import StandIns

__all__ = ["StandIns", "confined", "why_not"]
