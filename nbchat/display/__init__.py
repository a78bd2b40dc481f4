"""A live reply in a cell or a terminal: frames at their own pace, Stop, the caption, the final form.

A view polls the reply and draws what has changed; the provider's thread never calls here. In a notebook that is
safe HTML beside the exact text (`cell.py`), in a terminal markdown (`screen.py`) or text that grows (`terminal.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from nbchat.display.cell import CellView
from nbchat.display.look import Look, View
from nbchat.display.places import places
from nbchat.display.terminal import TextView
from nbchat.display.terminal import view as terminal_view
from nbchat.errors import ReplyInterrupted
from nbchat.loop import TICK, Worker
from nbchat.notebook import cell_id, in_kernel, inside_a_cell, publisher
from nbchat.reply import Reply

__all__ = ["CellView", "Look", "TextView", "show", "show_async", "show_in_its_cell", "show_live", "show_page"]

_LAST_LOOK = 0.3
"""Seconds that an interrupted reply gets to end before its final form is drawn."""


def show(start: Callable[[], Reply], look: Look = Look()) -> Reply:
    """Start a reply and show it until it ends, waiting on this thread.

    Args:
        start: Sends the prompt; called when all is ready to show it, so that an interrupt always finds a reply.
        look: How to show it.

    Raises:
        ReplyInterrupted: If the wait was interrupted; the reply is stopped, and what came is kept.
        ProviderError: If the reply failed, after what came has been shown.
    """
    view = _view(look)
    reply = start()
    try:
        while not reply.wait(TICK):
            view.draw(reply)
        view.end(reply)
    except KeyboardInterrupt:
        raise _interrupted(reply, view) from None
    reply.result()
    return reply


async def show_async(start: Callable[[], Reply], look: Look = Look()) -> Reply:
    """Start a reply that its cell was run for, and show it until it ends, while the kernel's loop does other work.

    Takes and raises what `show` does. A kernel interrupts an awaiting cell by cancelling its task. While nothing
    else happens it is seen only when the loop wakes, hence the short sleeps.
    """
    view = _view(look, own_cell=True)
    reply = start()
    try:
        while not reply.wait(0):
            view.draw(reply)
            await asyncio.sleep(TICK)
    except (asyncio.CancelledError, KeyboardInterrupt):
        interrupted = _interrupted(reply, view)
        if not inside_a_cell():  # a KeyboardInterrupt that ends a task ends the kernel's loop, too
            raise
        raise interrupted from None
    view.end(reply)
    reply.result()
    return reply


def show_page(text: str, html: str | None = None) -> None:
    """Show markdown of our own in a cell; or a text of which there is safe HTML."""
    from nbchat import rendering

    publisher().publish({"text/html": rendering.render(text) if html is None else html, "text/plain": text})


def show_live(reply: Reply) -> None:
    """Show a reply that is a cell's last expression: the cell ends, and the display goes on to the reply's end.

    Where nobody would see that (no cell id: nbclient, a console; a captured cell; no kernel at all) it waits.
    """
    if not cell_id() or _is_captured() or reply.wait(0):
        show(lambda: reply)
        return
    view = CellView(Look(), outlives=True)
    view.draw(reply)
    _show_on(view, reply)


def show_in_its_cell(reply: Reply) -> None:
    """Show a reply that a widget asked for below the cell of its turn, if the page that asks still has that output."""
    if places.of(reply.turn.id) and not _is_captured():
        _show_on(CellView(Look(turn=reply.turn.id), outlives=True), reply)


def _show_on(view: View, reply: Reply) -> None:
    worker = Worker("nbchat-display")
    worker.submit(_follow(reply, view)).add_done_callback(lambda _: worker.stop(patience=0))


async def _follow(reply: Reply, view: View) -> None:
    while not reply.wait(0):
        view.draw(reply)
        await asyncio.sleep(TICK)
    view.end(reply)


def _view(look: Look, **place: Any) -> View:
    """The view that suits where output goes; where each frame would be kept, one that draws only the last."""
    return CellView(look, frames=not _is_captured(), **place) if in_kernel() else terminal_view(look)


def _is_captured() -> bool:
    return type(publisher()).__name__ == "CapturingDisplayPublisher"


def _interrupted(reply: Reply, view: View) -> ReplyInterrupted:
    """Stop the reply, draw its final form, and give the error to raise."""
    reply.stop()
    with suppress(KeyboardInterrupt):  # another one: somebody is impatient, and loses but the last frame
        reply.wait(_LAST_LOOK)
        view.end(reply)
    return ReplyInterrupted(len(reply.text))
