"""Changes of the leaderboard as an Atom feed."""

from __future__ import annotations

from collections import Counter

from lebench.board.board import Board
from lebench.site.history import History
from lebench.site.pages import render

#: What happened to an entry, in words.
WORDS = {
    "added": "added",
    "changed": "records changed",
    "removed": "removed",
    "described": "described anew",
    "verified": "verified",
}
#: Changes in the feed, the newest.
_MOST = 50


def feed(board: Board, history: History) -> str:
    """Return the feed; its links are relative to its own address."""
    items = []
    for day in history.days[:_MOST]:
        count = Counter(change.kind for change in day.changes)
        said = ", ".join(f"{number} {WORDS[kind]}" for kind, number in count.items())
        items.append((day, said, sorted({change.entry for change in day.changes})))
    return render("feed.xml", board=board, items=items, updated=history.days[0].date if history.days else board.date)
