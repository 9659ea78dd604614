"""Reading results and the leaderboard: tables of records, intervals over seeds, ranks, entries and the board."""

from lebench import callables
from lebench.board.between import Position, Triple, place, triples_among
from lebench.board.board import Board, make_board, write_board
from lebench.board.controls import ControlError, check_controls
from lebench.board.entries import (
    Entry,
    EntryError,
    EntryInfo,
    read_entries,
    read_entry,
)
from lebench.board.entry_writing import entry_name, write_entry
from lebench.board.frame import bounds_of, by_seed, direction_of, frame, is_control, primary_of, summary
from lebench.board.point_store import Recorded, gather
from lebench.board.points import Resampled, TaskPoints, effects_on
from lebench.board.preview import Neighbours, Preview, TrackPreview, make_preview
from lebench.board.ranking import Rank, Ranking, TaskRank, best_of, make_ranking, rank_values, ranks_on_tasks
from lebench.board.resolution import Resolution, make_resolution
from lebench.board.scores import Score
from lebench.board.suite import Suite, core_suite
from lebench.board.tables import score_table, write_tables
from lebench.board.verification import Check, Verification, Verified, read_verification, verified, write_verification
from lebench.stats import Estimate, mean_interval, paired_difference, smallest_difference

__all__ = [
    "Board",
    "Check",
    "ControlError",
    "Entry",
    "EntryError",
    "EntryInfo",
    "Estimate",
    "Neighbours",
    "Position",
    "Preview",
    "Rank",
    "Ranking",
    "Recorded",
    "Resampled",
    "Resolution",
    "Score",
    "Suite",
    "TaskPoints",
    "TaskRank",
    "TrackPreview",
    "Triple",
    "Verification",
    "Verified",
    "best_of",
    "bounds_of",
    "by_seed",
    "check_controls",
    "core_suite",
    "direction_of",
    "effects_on",
    "entry_name",
    "frame",
    "gather",
    "is_control",
    "make_board",
    "make_preview",
    "make_ranking",
    "make_resolution",
    "mean_interval",
    "paired_difference",
    "place",
    "primary_of",
    "rank_values",
    "ranks_on_tasks",
    "read_entries",
    "read_entry",
    "read_verification",
    "score_table",
    "smallest_difference",
    "summary",
    "triples_among",
    "verified",
    "write_board",
    "write_entry",
    "write_tables",
    "write_verification",
]

# ``lebench.board(...)`` is a function, too.
callables.call(__name__, "lebench.reading.standing:make_standing")
