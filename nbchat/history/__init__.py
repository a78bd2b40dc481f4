"""The turns of a conversation in their order, and what of them a prompt is sent with."""

from nbchat.history.changes import Change, Move, Record
from nbchat.history.context import Window, context, messages_of, size_that_fits
from nbchat.history.sums import After
from nbchat.history.turn import Cell, Standing, Status, Turn, read_texts
from nbchat.history.turns import History
from nbchat.history.watchers import Watchers

__all__ = [
    "After",
    "Cell",
    "Change",
    "History",
    "Move",
    "Record",
    "Standing",
    "Status",
    "Turn",
    "Watchers",
    "Window",
    "context",
    "messages_of",
    "read_texts",
    "size_that_fits",
]
