"""A live reply in a cell or a terminal: frames at their own pace, the caption, the final form.

A view polls the reply and draws what has changed; the provider's thread never calls here. In a notebook a
reply is one display, updated in place, of safe HTML beside its exact text; elsewhere it is text that grows.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol
from uuid import uuid4

from nbchat.errors import ReplyInterrupted
from nbchat.loop import TICK, Worker
from nbchat.notebook import cell_id, in_kernel, publisher
from nbchat.reply import Reply

_REST = 5
"""A frame that took t seconds to draw is followed by t × _REST seconds without one."""
_BYTES_A_SECOND = 200_000
"""How much HTML a reply may send to the page; a long one is drawn more slowly for it."""
_LAST_LOOK = 0.3
"""Seconds that an interrupted reply gets to end before its last frame is drawn."""


@dataclass(frozen=True)
class Look:
    """How a reply is shown: `raw` without markdown, `stream` as it comes."""

    raw: bool = False
    stream: bool = True


class View(Protocol):
    """Something that a reply can be drawn on."""

    def draw(self, reply: Reply) -> None:
        """Draw the reply as it is now, if it has changed and it is time; the last call comes after its end."""


class TextView:
    """A terminal, a pipe, a script: the text as it grows, on standard output."""

    def __init__(self, look: Look) -> None:
        self._look = look
        self._shown = 0
        self._notices = 0

    def draw(self, reply: Reply) -> None:
        """Print what is new; notices, and what a caption would say at the end, go to standard error."""
        ended = reply.wait(0)
        if ended or self._look.stream:
            new = reply.turn.chunks[self._shown :]
            self._shown += len(new)
            sys.stdout.write("".join(new))
        words = [notice.text for notice in reply.notices[self._notices :]]
        self._notices += len(words)
        if ended:
            sys.stdout.write("" if not self._shown or reply.text.endswith("\n") else "\n")
            words.append(_left_out(reply))
        sys.stdout.flush()
        sys.stderr.write("".join(f"({word})\n" for word in words if word))


class CellView:
    """A notebook cell's output: one display, updated in place.

    Args:
        look: How the reply is shown.
        alone: Whether nothing else will tell how the reply failed.
    """

    def __init__(self, look: Look, *, alone: bool = False) -> None:
        from nbchat import rendering  # with its parsers, so not before the first reply

        self._rendering = rendering
        self._live = rendering.Live()
        self._sealed = ""
        self._look = look
        self._alone = alone
        self._id = uuid4().hex
        self._publish = publisher().publish  # this cell's: a later one's may be captured
        self._drawn: object = None
        self._not_before = 0.0

    def draw(self, reply: Reply) -> None:
        """Send a frame; the first and the last always, others at a pace that suits page and kernel."""
        ended, now = reply.wait(0), time.monotonic()
        state = _state(reply)
        if not ended and (not self._look.stream or state == self._drawn or now < self._not_before):
            return
        bundle = self._bundle(reply, ended)
        metadata = {"nbchat": _metadata(reply)}
        update = self._drawn is not None
        self._publish(bundle, metadata=metadata, transient={"display_id": self._id}, update=update)
        self._drawn = state
        spent = time.monotonic() - now
        self._not_before = now + spent + max(spent * _REST, len(bundle.get("text/html", "")) / _BYTES_A_SECOND)

    def _bundle(self, reply: Reply, ended: bool) -> dict[str, str]:
        """The frame's mimebundle: safe HTML, and the exact text for whoever wants text."""
        text = reply.text
        if self._look.raw:
            return {"text/plain": text}
        if ended:
            body = self._rendering.render(text)
        else:
            sealed, tail = self._live.update(text)
            self._sealed += sealed
            body = self._sealed + tail
        if ended or not text:
            body += self._rendering.caption(_caption(reply))
        if self._alone and reply.error:
            body += self._rendering.caption(f"{type(reply.error).__name__}: {reply.error}")
        return {"text/html": body, "text/plain": text}


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
    except KeyboardInterrupt:
        raise _interrupted(reply, view) from None
    view.draw(reply)
    reply.result()
    return reply


async def show_async(start: Callable[[], Reply], look: Look = Look()) -> Reply:
    """Start a reply and show it until it ends, while the kernel's loop goes on with other work; like `show`.

    A kernel interrupts an awaiting cell by cancelling its task. While nothing else happens it is seen only
    when the loop wakes, hence the short sleeps.
    """
    view = _view(look)
    reply = start()
    try:
        while not reply.wait(0):
            view.draw(reply)
            await asyncio.sleep(TICK)
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise _interrupted(reply, view) from None
    view.draw(reply)
    reply.result()
    return reply


def show_page(text: str) -> None:
    """Show markdown of our own in a cell."""
    from nbchat import rendering

    publisher().publish({"text/html": rendering.render(text), "text/plain": text})


def show_live(reply: Reply) -> None:
    """Show a reply that is a cell's last expression: the cell ends, and the display goes on to the reply's end.

    Where nobody would see that (no cell id: nbclient, a console; a captured cell; no kernel at all) it waits.
    """
    if not cell_id() or _is_captured() or reply.wait(0):
        show(lambda: reply)
        return
    view = CellView(Look(), alone=True)
    view.draw(reply)
    worker = Worker("nbchat-display")
    worker.submit(_follow(reply, view)).add_done_callback(lambda _: worker.stop(patience=0))


async def _follow(reply: Reply, view: View) -> None:
    while not reply.wait(0):
        view.draw(reply)
        await asyncio.sleep(TICK)
    view.draw(reply)


def _view(look: Look) -> View:
    """The view that suits where output goes; where each frame would be kept, one that draws only the last."""
    if not in_kernel():
        return TextView(look)
    return CellView(replace(look, stream=look.stream and not _is_captured()))


def _is_captured() -> bool:
    return type(publisher()).__name__ == "CapturingDisplayPublisher"


def _interrupted(reply: Reply, view: View) -> ReplyInterrupted:
    """Stop the reply, draw its last frame, and give the error to raise."""
    reply.stop()
    reply.wait(_LAST_LOOK)
    view.draw(reply)
    return ReplyInterrupted(len(reply.text))


def _state(reply: Reply) -> tuple[object, ...]:
    """What a frame shows; a new frame is due only when it has changed."""
    waiting = None if reply.text else int(reply.seconds)
    return reply.status, len(reply.turn.chunks), len(reply.turn.thoughts), len(reply.notices), waiting


def _metadata(reply: Reply) -> dict[str, Any]:
    """What the saved output tells of its turn."""
    turn = reply.turn
    found: dict[str, Any] = {
        "id": turn.id,
        "model": turn.model,
        "provider": turn.provider,
        "status": turn.status,
        "time": turn.started.isoformat(timespec="seconds"),
        "seconds": round(reply.seconds, 1),
    }
    if turn.usage:
        found["usage"] = {"prompt": turn.usage.prompt_tokens, "completion": turn.usage.completion_tokens}
    return found


def _caption(reply: Reply) -> str:
    """One line on a reply: while nothing has come, who is asked and for how long; at the end, what it was."""
    return " · ".join(part for part in _parts(reply) if part)


def _parts(reply: Reply) -> Iterator[str]:
    turn = reply.turn
    yield turn.model
    if not turn.model or turn.provider.casefold() not in turn.model.casefold():
        yield turn.provider
    yield f"{reply.seconds:.1f} s" if reply.wait(0) else f"{reply.seconds:.0f} s"
    if not reply.wait(0):
        yield reply.notices[-1].text if reply.notices else "waiting" if turn.status == "queued" else "asking"
        return
    if turn.usage and turn.usage.completion_tokens is not None:
        yield f"{turn.usage.completion_tokens} tokens"
    elif reply.text:
        yield f"{len(reply.text)} characters"
    words = {"stopped": "stopped", "failed": "cut off" if turn.cut else "failed"}
    yield words.get(reply.status, "")
    yield _left_out(reply)
    for notice in reply.notices:
        yield notice.text if notice.lasting else ""


def _left_out(reply: Reply) -> str:
    """What of the conversation did not fit and was not sent."""
    return f"{reply.left_out} older turn{'s' * (reply.left_out != 1)} left out" if reply.left_out else ""
