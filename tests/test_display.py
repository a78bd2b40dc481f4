"""Views of a reply: what is printed, what a frame holds, how often, and what the caption says."""

from __future__ import annotations

from typing import Any

import pytest

from nbchat import Chat, ProviderError
from nbchat import display as displays
from nbchat.display import CellView, Look, TextView, show
from nbchat.errors import ReplyCutOff
from nbchat.messages import Finish, Notice, Usage
from nbchat.testing import Gate, ScriptedProvider


class Page:
    """Stands where a kernel's display publisher does, and keeps what it is sent."""

    def __init__(self) -> None:
        self.frames: list[tuple[dict[str, str], dict[str, Any]]] = []

    def publish(self, data: dict[str, str], *, metadata: Any, transient: Any, update: bool) -> None:
        assert update == bool(self.frames)
        self.frames.append((data, metadata))


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    """The page that the next `CellView` draws on."""
    page = Page()
    monkeypatch.setattr(displays, "publisher", lambda: page)
    return page


def chat(*pieces: Any, **options: Any) -> Chat:
    return Chat("big-model", provider=ScriptedProvider(list(pieces), name="Fake"), **options)


def last_frame(page: Page, *pieces: Any, look: Look = Look(), **options: Any) -> dict[str, str]:  # noqa: B008
    reply = chat(*pieces, **options).send("hello")
    reply.wait(10)
    CellView(look).draw(reply)
    return page.frames[-1][0]


def test_text_goes_to_stdout_as_it_comes_and_notices_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    gate = Gate()
    reply, view = chat("one ", Notice("busy, retrying in 4 s"), gate, "two").send("hello"), TextView(Look())
    assert gate.wait_reached()
    view.draw(reply)
    assert capsys.readouterr() == ("one ", "(busy, retrying in 4 s)\n")
    gate.open()
    reply.wait(10)
    view.draw(reply)
    assert capsys.readouterr() == ("two\n", "")


def test_show_raises_what_failed_after_what_came(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ProviderError, match="is down"):
        show(lambda: chat("one", ProviderError("is down")).send("hello"))
    assert capsys.readouterr().out == "one\n"


def test_while_nothing_has_come_the_caption_says_who_is_asked(page: Page) -> None:
    gate = Gate()
    reply, view = chat(gate, "text").send("hello"), CellView(Look())
    assert gate.wait_reached()
    view.draw(reply)
    assert "big-model · Fake · 0 s · asking" in page.frames[-1][0]["text/html"]
    assert page.frames[-1][0]["text/plain"] == ""
    view.draw(reply)
    assert len(page.frames) == 1  # nothing has changed
    gate.open()
    reply.wait(10)
    view.draw(reply)
    assert page.frames[-1][0]["text/plain"] == "text"


def test_a_notice_is_shown_while_it_matters(page: Page) -> None:
    gate = Gate()
    reply, view = chat(Notice("rate limited, retrying in 4 s"), gate, "text").send("hello"), CellView(Look())
    assert gate.wait_reached()
    view.draw(reply)
    assert "rate limited, retrying in 4 s" in page.frames[-1][0]["text/html"]
    gate.open()
    reply.wait(10)
    view.draw(reply)
    assert "retrying" not in page.frames[-1][0]["text/html"]


@pytest.mark.parametrize(
    ("pieces", "said"),
    [
        (("text",), "· 4 characters"),
        (("text", Usage(3, 7)), "· 7 tokens"),
        (("text", Finish("length")), "the reply reached its limit of tokens"),
        (("text", ReplyCutOff("ended early")), "cut off"),
        ((ProviderError("refused"),), "failed"),
    ],
)
def test_the_caption_says_how_it_ended(page: Page, pieces: tuple[Any, ...], said: str) -> None:
    assert said in last_frame(page, *pieces)["text/html"]


def test_the_caption_says_what_was_left_out(page: Page) -> None:
    long = Chat("m", provider=ScriptedProvider(["text"]), max_context=10)
    long.send("one " * 20).result(10)
    reply = long.send("two")
    reply.wait(10)
    CellView(Look()).draw(reply)
    assert "1 older turn left out" in page.frames[-1][0]["text/html"]


def test_a_caption_is_never_markup(page: Page) -> None:
    reply = Chat("<script>$x$</script>", provider=ScriptedProvider(["text"])).send("hello")
    reply.wait(10)
    CellView(Look()).draw(reply)
    assert "<script" not in page.frames[-1][0]["text/html"]
    assert "mathjax_process" not in page.frames[-1][0]["text/html"]


def test_raw_frames_hold_the_text_alone(page: Page) -> None:
    assert last_frame(page, "**x**", look=Look(raw=True)) == {"text/plain": "**x**"}


def test_frames_are_rationed_and_the_last_one_always_comes(page: Page) -> None:
    reply, view = chat(*["word "] * 3000).send("hello"), CellView(Look())
    while not reply.wait(0):
        view.draw(reply)
    view.draw(reply)
    assert page.frames[-1][0]["text/plain"] == "word " * 3000
    assert sum(len(data.get("text/html", "")) for data, _ in page.frames) < 40 * 15_000


def test_a_view_that_stands_alone_says_what_failed(page: Page) -> None:
    reply = chat("half", ProviderError("is <b>down</b>")).send("hello")
    reply.wait(10)
    CellView(Look(), alone=True).draw(reply)
    assert "ProviderError: is &lt;b&gt;down&lt;/b&gt;." in page.frames[-1][0]["text/html"]


def test_the_metadata_tells_of_the_turn(page: Page) -> None:
    reply = chat("text", Usage(3, 7)).send("hello")
    reply.wait(10)
    CellView(Look()).draw(reply)
    told = page.frames[-1][1]["nbchat"]
    assert told["id"] == reply.turn.id
    assert (told["model"], told["provider"], told["status"]) == ("big-model", "Fake", "done")
    assert told["usage"] == {"prompt": 3, "completion": 7}
