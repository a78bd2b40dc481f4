"""A conversation as one web page that needs nothing else, loads nothing, and runs nothing.

Prompts are text, and replies are what `rendering` makes of them. The page forbids itself scripts and everything from
elsewhere, so that even a fault in that would do no harm. It is light or dark as its reader's system is.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

from nbchat import rendering
from nbchat.exchange.captions import caption
from nbchat.exchange.conversation import Conversation
from nbchat.exchange.files import MARK
from nbchat.history import Turn

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
"""Styles are inline since replies have theirs on their elements."""
_PAGE = """\
<!DOCTYPE html>
<html lang="und">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
<h1 dir="auto">{title}</h1>
{body}
</main>
</body>
</html>
<!-- {mark} -->
"""


def document(conversation: Conversation) -> str:
    """The text of a file with this conversation."""
    body = [_section(turn, number) for number, turn in enumerate(conversation.turns, 1)]
    if conversation.system:
        words = _text(conversation.system)
        body.insert(0, f'<details class="system"><summary>System prompt</summary>\n{words}</details>')
    style = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
    title = escape(" ".join(conversation.title.split())) or "Conversation"
    return _PAGE.format(policy=escape(_POLICY), title=title, style=style, body="\n".join(body), mark=MARK)


def _section(turn: Turn, number: int) -> str:
    sent = "" if turn.standing == "current" else ' class="not-sent"'
    thoughts = rendering.reasoning(turn.reasoning) if turn.reasoning else ""
    return (
        f'<section id="turn-{number}"{sent}>\n{_text(turn.prompt)}{thoughts}{rendering.render(turn.text)}'
        f'<p class="caption">{escape(caption(turn))}</p>\n</section>'
    )


def _text(text: str) -> str:
    """A text as it is."""
    return f'<div class="prompt" dir="auto">{escape(text)}</div>\n'
