"""The panel's module in an empty page: a stub in the place of anywidget's model, and no kernel.

A test says what the kernel says (`push`), does what a person does, and reads what was asked of the kernel (`asked`).
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect

from nbchat.panel.widget import Panel
from nbchat.rendering import Live

Json = dict[str, Any]

FILES = {
    "panel.js": (Panel._esm, "text/javascript"),
    "panel.css": (Panel._css, "text/css"),
    "stub_model.js": ((Path(__file__).parent / "stub_model.js").read_text(), "text/javascript"),
}
PAGE = """<!doctype html><html lang="en"{html}><head><title>A notebook</title><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="panel.css">
<style>body {{ margin: 0; color-scheme: light dark; {variables} }}
body {{ background: var(--jp-layout-color1, Canvas); color: var(--jp-content-font-color1, CanvasText); }}</style></head>
<body{body}><main><h1 style="margin:0;font-size:1em">A notebook</h1>
<div class="jp-Cell" tabindex="-1"><div id="first"></div></div><div id="second"></div></main></body></html>"""
SITE = "http://localhost/"  # where a page has a clipboard and a storage; nothing is asked of the network


def blocks_of(text: str) -> list[str]:
    """A finished reply's blocks, as the kernel renders them."""
    live, blocks = Live(), []
    for end in range(0, len(text), 200):
        blocks.append(live.update(text[:end]).sealed)
    return [block for block in [*blocks, live.finish(text)] if block]


_ids = itertools.count(1)


def turn(prompt: str = "Hello", reply: str | None = "Hi there.", **fields: Any) -> Json:
    """A turn as the page has it; it has ended unless a status says otherwise."""
    number = next(_ids)
    status = fields.get("status", "done")
    ended = status not in ("queued", "streaming")
    whole: Json = {
        "id": f"t{number}",
        "number": number,
        "prompt": prompt,
        "model": "fake",
        "provider": "Fake",
        "status": status,
        "standing": "current",
        "cell": None,
        "time": "2026-03-01T12:00:00+00:00",
        "stale": False,
        "versions": 1,
        "cut": False,
        "reasoning": "",
        "blocks": blocks_of(reply) if reply else [],
        "tail": "",
        "text": reply if ended else None,
        "error": "",
        "notice": "",
        "notes": [],
        "seconds": 3.25 if ended else 0.0,
        "tokens": 120 if ended else None,
        "prompt_tokens": 15 if ended else None,
    }
    return whole | fields


def live(prompt: str = "Hello", **fields: Any) -> Json:
    """A turn whose reply is under way."""
    return turn(prompt, None, **({"status": "streaming"} | fields))


class PanelPage:
    """A page with one panel in it."""

    def __init__(self, browser: Browser, **options: Any) -> None:
        self.context: BrowserContext = browser.new_context(**({"viewport": {"width": 900, "height": 700}} | options))
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.faults: list[str] = []
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("console", lambda said: self.faults.append(said.text) if said.type == "error" else None)
        self.seq = 0
        self.variables = self.body = self.html = ""
        self.context.route("**/*", self._serve)

    def _serve(self, route: Route) -> None:
        name = route.request.url.removeprefix(SITE)
        if name in FILES:
            text, kind = FILES[name]
            route.fulfill(body=text, content_type=f"{kind}; charset=utf-8")
        elif name == "":
            page = PAGE.format(variables=self.variables, body=self.body, html=self.html)
            route.fulfill(body=page, content_type="text/html; charset=utf-8")
        else:
            route.fulfill(status=204)

    def open(self, *turns: Json, **options: Any) -> PanelPage:
        """Load the page, and show a panel whose state is this."""
        self.page.goto(SITE)
        return self.render(*turns, **options)

    def render(
        self, *turns: Json, head: Json | None = None, connected: bool = True, id: str = "widget-1", **state: Any
    ) -> PanelPage:
        """Show a panel in the page that is loaded."""
        top = {"conversation": "main", "conversations": ["main", "other"], "model": "guide", "undo": "", "earlier": 0}
        known = {"_turns": turns, "_head": top | {"mine": True} | (head or {}), "_seq": self.seq, "_sends": "enter"}
        known |= {"models": ["guide", "google-gemini", "openai/gpt-5-mini"], "height": 420} | state
        self.page.evaluate(
            """async ([state, id, connected]) => {
                const { open } = await import("./stub_model.js");
                window.panel = await open("./panel.js", state, id, connected);
                window.panel.closes.push(await window.panel.show(document.querySelector("#first")));
            }""",
            [known, id, connected],
        )
        self.settle()
        return self

    def show_again(self) -> None:
        """A second view of the same widget."""
        self.page.evaluate(
            'async () => window.panel.closes.push(await window.panel.show(document.querySelector("#second")))'
        )
        self.settle()

    def settle(self) -> None:
        """Wait for what was told to be painted, and for the sizes of that to be looked at."""
        self.page.evaluate(
            "async () => { for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame); }"
        )

    def push(self, *changes: Json, head: Json | None = None) -> None:
        """The kernel tells of changes, in one frame."""
        self.seq += 1
        self.say({"op": "frames", "seq": self.seq, "changes": list(changes)} | ({"head": head} if head else {}))

    def say(self, message: Json) -> None:
        """The kernel says something."""
        self.page.evaluate('(message) => window.panel.stub.trigger("msg:custom", message, [])', message)
        self.settle()

    def put(self, *turns: Json, at: int = 0) -> None:
        """The kernel puts turns in."""
        self.push(*({"id": one["id"], "at": at + place, "turn": one} for place, one in enumerate(turns)))

    def answer(self, op: str, **outcome: Any) -> Json:
        """The kernel acknowledges and carries out the last thing that was asked; what that was."""
        asked = self.asked(op)[-1]
        self.say({"op": "ack", "nonce": asked["nonce"]})
        self.say({"op": "done", "nonce": asked["nonce"]} | outcome)
        return asked

    def asked(self, op: str = "") -> list[Json]:
        """What the page has asked of the kernel."""
        sent: list[Json] = self.page.evaluate("window.panel.stub.sent")
        return [one for one in sent if op in ("", one["op"])]

    def disconnect(self) -> None:
        """The kernel restarts or dies: what the widget manager does then."""
        self.page.evaluate(
            '() => { window.panel.stub.comm_live = false; window.panel.stub.trigger("comm_live_update"); }'
        )
        self.settle()

    def close(self) -> None:
        """Leave; the page may not have complained of anything."""
        self.context.close()
        assert self.faults == []

    @property
    def root(self) -> Locator:
        return self.page.locator("#first .nbchat-panel")

    @property
    def log(self) -> Locator:
        return self.root.get_by_role("log", name="Conversation")

    @property
    def composer(self) -> Locator:
        return self.root.get_by_role("textbox", name="Message")

    @property
    def model(self) -> Locator:
        return self.root.get_by_role("combobox", name="Model")

    @property
    def status(self) -> Locator:
        return self.root.get_by_role("status")

    @property
    def banner(self) -> Locator:
        return self.root.locator(".nbchat-banner")

    def button(self, name: str) -> Locator:
        return self.root.get_by_role("button", name=name, exact=True)

    def turn(self, place: int) -> Locator:
        return self.root.get_by_role("article").nth(place)

    def scrolled(self) -> Json:
        """Where the transcript is scrolled to: pixels from its top and to its end."""
        return self.log.evaluate(
            "(log) => ({ top: log.scrollTop, left: log.scrollHeight - log.scrollTop - log.clientHeight })"
        )


__all__ = ["PanelPage", "blocks_of", "expect", "live", "turn"]
