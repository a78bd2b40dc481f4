"""The turns of a conversation: in order, in memory, on disk, and in a saved notebook."""

from nbchat.history.changes import Change, Move, Record
from nbchat.history.context import Window, context, size_that_fits
from nbchat.history.turn import Cell, Standing, Status, Turn
from nbchat.history.turns import History

__all__ = [
    "Cell",
    "Change",
    "History",
    "Move",
    "Record",
    "Standing",
    "Status",
    "Turn",
    "Window",
    "context",
    "size_that_fits",
]
