"""Reading results and the leaderboard: tables of records, intervals over seeds, entries and the board."""

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
from lebench.board.frame import frame
from lebench.board.outlook import Beside, Outlook, Prospect, make_outlook
from lebench.board.places import Method, Place, Standings
from lebench.board.point_effects import Effects
from lebench.board.point_halves import PointHalves, halves_of_values
from lebench.board.point_store import Recorded, Resampled, TaskPoints, gather
from lebench.board.ranking import Standing, direction_of, is_control, leaders, primary_of, standing, summary
from lebench.board.resolution import Resolution, make_resolution
from lebench.board.scores import Score
from lebench.board.standings import make_standings
from lebench.board.tables import score_table, write_tables
from lebench.board.verification import Check, Verification, Verified, read_verification, verified, write_verification
from lebench.stats import Estimate, mean_interval, paired_difference, smallest_difference

__all__ = [
    "Beside",
    "Board",
    "Check",
    "ControlError",
    "Effects",
    "Entry",
    "EntryError",
    "EntryInfo",
    "Estimate",
    "Method",
    "Outlook",
    "Place",
    "PointHalves",
    "Position",
    "Prospect",
    "Recorded",
    "Resampled",
    "Resolution",
    "Score",
    "Standing",
    "Standings",
    "TaskPoints",
    "Triple",
    "Verification",
    "Verified",
    "check_controls",
    "direction_of",
    "entry_name",
    "frame",
    "gather",
    "halves_of_values",
    "is_control",
    "leaders",
    "make_board",
    "make_outlook",
    "make_resolution",
    "make_standings",
    "mean_interval",
    "paired_difference",
    "place",
    "primary_of",
    "read_entries",
    "read_entry",
    "read_verification",
    "score_table",
    "smallest_difference",
    "standing",
    "summary",
    "triples_among",
    "verified",
    "write_board",
    "write_entry",
    "write_tables",
    "write_verification",
]
