"""What stands beside a reply: the prompt it answers, the thoughts before it, the caption below."""

from __future__ import annotations

from nbchat.rendering.code import Env, escape
from nbchat.rendering.looks import BLOCKS, CAPTION, REASONING, SUMMARY, UNFOLDED
from nbchat.rendering.markdown import parse, to_html
from nbchat.rendering.pages import page, plain, tidy

_LONGEST_REASONING = 50_000
"""Longer thoughts are shown as plain text: few will unfold them, and each would pay for their markdown."""

_END = 1_500
"""How many characters of a very long reply are shown while it comes."""


def caption(text: str) -> str:
    """One small line below a reply, as it is: no markdown, no formulas."""
    return page(f'<p style="{CAPTION}"><small>{escape(tidy(text))}</small></p>\n')


def quote(text: str) -> str:
    """A prompt above its reply, as it is: no markdown, no formulas."""
    lines = "<br>".join(escape(line) for line in tidy(text).splitlines())
    return page(f'<blockquote style="{BLOCKS["blockquote"]}" dir="auto">{lines}</blockquote>\n') if lines else ""


def last_lines(text: str) -> str:
    """How a reply is shown while it comes, once it is too long for that: how far it is, and its end."""
    word = f"<p>{len(text):,} characters so far. All of them are shown at the end; these are the last.</p>\n"
    return page(word + plain(text[-_END:]))


def reasoning(text: str, title: str = "Reasoning") -> str:
    """What a model thought before it answered, folded up under a title that opens it.

    Args:
        text: Markdown, held to the same lists as a reply.
        title: One line, as it is.

    Returns:
        One safe HTML element; an empty string for a text without content.
    """
    env: Env = {}
    body = to_html(parse(tidy(text), env), env) if len(text) <= _LONGEST_REASONING else plain(text)
    if not body:
        return ""
    summary = f'<summary style="{SUMMARY}">{escape(tidy(title))}</summary>'
    return page(f'<details style="{REASONING}">{summary}\n<div style="{UNFOLDED}">\n{body}</div></details>\n')
