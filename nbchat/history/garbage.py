"""The garbage collector kept away while a long history is made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_collection() -> Iterator[None]:
    """Tens of thousands of new objects, none of them garbage, would set the garbage collector off many times.

    Nor is it set off by them afterwards: all that there is counts as old then. (To freeze objects and let them go
    moves them there, whatever their number; those that somebody else has frozen stay so.)
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            if not gc.get_freeze_count():
                gc.freeze()
                gc.unfreeze()
            gc.enable()
