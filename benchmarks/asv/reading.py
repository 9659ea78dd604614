"""What a user waits for when nothing is fitted. Over commits: 'make bench-history'."""

import subprocess
import sys
import tempfile
from pathlib import Path

from lebench.board import make_board, read_entries
from lebench.site import build

ENTRIES = Path(__file__).parents[2] / "leaderboard" / "entries"


def _run(*arguments):
    subprocess.run([Path(sys.executable).with_name("lebench"), *arguments], check=True, capture_output=True)


class CommandLine:
    """Start of the program."""

    def time_help(self):
        _run("--help")

    def time_list(self):
        _run("list", "tasks")


class Leaderboard:
    """From the entries of this checkout to the pages."""

    def setup(self):
        self.entries = read_entries(ENTRIES)
        self.folder = tempfile.TemporaryDirectory()

    def teardown(self):
        self.folder.cleanup()

    def time_read_entries(self):
        read_entries(ENTRIES)

    def time_make_board(self):
        make_board(self.entries)

    def time_write_pages(self):
        build(ENTRIES, Path(self.folder.name))
