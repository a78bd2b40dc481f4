"""Formulas: where they are in markdown, what only looks like one, and which MathJax may see."""

from __future__ import annotations

import re
from itertools import accumulate

from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token

from nbchat.rendering.code import escape

MATH = "mathjax_process tex2jax_process"
_DEEPEST = 50
"""Levels of braces."""

CLOSING = {"$": "$", "$$": "$$", "\\(": "\\)", "\\[": "\\]"}
_INLINE = {
    "$": re.compile(r"\$(?!\s)((?:[^\\$]|\\.){1,5000}+)(?<!\s)\$(?!\d)", re.DOTALL),
    "$$": re.compile(r"\$\$((?:[^\\$]|\\.|\$(?!\$)){1,5000}+)\$\$", re.DOTALL),
    "\\(": re.compile(r"\\\(((?:[^\\]|\\[^()]){1,5000}+)\\\)"),
    "\\[": re.compile(r"\\\[((?:[^\\]|\\[^][]){1,5000}+)\\\]"),
}
_BLOCK = {  # no blank lines; the last group is empty where the text ends before the formula does
    "$$": re.compile(
        r"\$\$((?:[^\\$\n]|\\(?:[^\n]|(?=\n|\Z))|\$(?!\$)|\n(?![ \t]*\n)){0,5000}+)(\$\$[ \t]*(?:\n|\Z)|\Z)"
    ),
    "\\[": re.compile(r"\\\[((?:[^\\\n]|\\(?:[^][\n]|(?=\n|\Z))|\n(?![ \t]*\n)){0,5000}+)(\\\][ \t]*(?:\n|\Z)|\Z)"),
}
_ENVIRONMENT = r"\{(?:equation|align|gather|multline|alignat|flalign|eqnarray)\*?\}"
_BLOCK["\\b"] = re.compile(  # \begin{…} without marks around it
    rf"\\begin(?={_ENVIRONMENT})((?:[^\\\n]|\\(?!end{_ENVIRONMENT})(?:[^\n]|(?=\n|\Z))|\n(?![ \t]*\n)){{0,5000}}+)"
    rf"(\\end{_ENVIRONMENT}[ \t]*(?:\n|\Z)|\Z)"
)
_COMING = {  # to the end of the text, without what may be half of the closing mark
    "$": re.compile(r"\$(?!\s)((?:[^\\$]|\\.){1,300}+)\\?\Z", re.DOTALL),
    "$$": re.compile(r"\$\$((?:[^\\$]|\\.){0,5000}+)(?:\\|\$)?\Z", re.DOTALL),
    "\\(": re.compile(r"\\\(((?:[^\\]|\\[^()]){0,5000}+)\\?\Z"),
    "\\[": re.compile(r"\\\[((?:[^\\]|\\[^][]){0,5000}+)\\?\Z"),
}
_LINE = 100
"""A formula that is still coming is shown as one line of at most so many characters."""
_COMMAND = re.compile(r"\\([A-Za-z]+|.)", re.DOTALL)
_UNSAFE = re.compile(
    r"[][()]|.*ref|[rR]efeq|url|class|style|cssId|data|unicode|require|includegraphics|texttip|mathtip|toggle|mmlToken"
    r"|bbox|fcolorbox|verb|set[oO]ptions|mathtoolsset|label|[egx]?def|let|futurelet|csname|usetagform"
    r"|(?:html|(?:re)?new(?:command|environment|tagform|columntype)|provide|define|Declare|New).*"
)
"""Commands by which MathJax runs, fetches, styles or points at something, or changes what later formulas mean; and
`\\verb`, which may end at half of what is read here as one command: `\\verb\\a\\\\href{x}{y}` is a link."""
_UNSAFE_PART = re.compile(
    r"\\begin\s*\{\s*(?:html|tex-html)"
    r"|\\(?:\\|(?:rule|Rule|Space|raisebox|hspace|mspace)(?![A-Za-z]))\*?"
    r"(?:\s*[\[{][^]\[{}\\]*[]}])*?\s*[\[{][^]\[{}\\]*\d{3}"
    r"|\\(?:raise|lower|moveleft|moveright|[hm]skip|m?kern|above)(?![A-Za-z])[-+\s]*\d{3}"
)
"""Likewise environments, and lengths beyond those of a page."""
_LABEL = re.compile(r"\\label\s*\{[\w:. -]*\}")
_MATHEMATICS = re.compile(r"[\\^_={}+*/<>|&]")
_SURELY = re.compile(r"\\[A-Za-z{|]|\^|[\w)}]_\{|\A[A-Za-z](?:_|'*\(|'*\s*(?:[=<>+*]|-[\s\d]|/[\w\\(]))", re.ASCII)
"""What follows a dollar sign in formulas, and not in prices, programs and names of variables."""
_PROSE = re.compile(r"[^\W\d_]{2,}[\W\d_]+[^\W\d_]{2,}|\d\W*\s[^\W\d_]{2,}")


def math_inline(state: StateInline, silent: bool) -> bool:
    """A formula among words: `$…$`, `$$…$$`, `\\(…\\)` or `\\[…\\]`."""
    found = _whole(state.src, state.pos, state.posMax)
    if not found:
        return False
    if not silent:
        token = state.push("math_inline", "", 0)
        token.content, token.markup = found[1].strip(), state.src[state.pos : found.start(1)]
    state.pos = found.end()
    return True


def _whole(text: str, start: int, end: int) -> re.Match[str] | None:
    mark = text[start : min(start + 2, end)]
    mark = mark if mark in _INLINE else mark[:1]
    found = _INLINE[mark].match(text, start, end) if mark in _INLINE else None
    return found if found and found[1].strip() and not (mark[0] == "$" and _is_money(found)) else None


def math_coming(state: StateInline, silent: bool) -> bool:
    """A formula whose end is still to come: its TeX, as far as it is there."""
    if silent or state.posMax < len(state.src):
        return False
    found = _coming(state.src, state.pos)
    if not found:
        return False
    if tex := one_line(found[1]):
        state.push("code_inline", "code", 0).content = tex
    state.pos = state.posMax
    return True


def _coming(text: str, start: int) -> re.Match[str] | None:
    mark = text[start : start + 2]
    mark = mark if mark in _COMING else mark[:1]
    found = _COMING[mark].match(text, start) if mark in _COMING else None
    return found if found and (mark[0] != "$" or _is_surely_math(found)) else None


def formula_with_bars(row: str, start: int, *, coming: bool) -> re.Match[str] | None:
    """The formula in a row of a table that begins there; between dollars there are prices and borders, too."""
    found = _whole(row, start, len(row))
    if found and row[found.start() + 1] not in "([$" and "|" in found[1] and not _has_bars(found):
        return None
    return found or (_coming(row, start) if coming else None)


def _has_bars(found: re.Match[str]) -> bool:
    """Whether the bars between two dollars are surely of a formula, by what it says or since they go in pairs."""
    after = found.string[found.end() : found.end() + 1]
    in_pairs = found[1][:1] == "|" and found[1].count("|") % 2 == 0
    return _is_surely_math(found) or (in_pairs and not after.isalnum())


def _is_surely_math(found: re.Match[str]) -> bool:
    before = found.string[found.start() - 1 : found.start()]
    return bool(_SURELY.search(found[1].lstrip())) and not (before.isascii() and before.isalnum())


def without_marks(token: Token) -> str:
    """The TeX of a formula on lines of its own; an environment is all TeX, and one that is still open has no end."""
    if token.markup == "\\b":
        return token.content
    return token.content[2 : None if token.type == "math_open" else -2].strip()


def one_line(tex: str) -> str:
    """TeX on one line, since a formula of many lines of TeX may have one line when it is set."""
    line = " ".join(tex.split())
    return line if len(line) <= _LINE else line[:_LINE] + "…"


def _is_money(found: re.Match[str]) -> bool:
    """Whether dollar signs, and what is between them, are prices or names of variables in prose."""
    before, after = found.string[found.start() - 1 : found.start()], found.string[found.end() : found.end() + 1]
    if before.isascii() and before.isalnum():
        return True
    if after.isascii() and after.isalnum() and found[1][-1] in "/:-_.,=(":
        return True
    return _is_prose(found[1])


def _is_prose(tex: str) -> bool:
    return not _MATHEMATICS.search(tex) and bool(_PROSE.search(tex))


def math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A formula on lines of its own, without blank lines; while the reply streams it may still be open."""
    position = state.bMarks[start] + state.tShift[start]
    mark = state.src[position : position + 2]
    if mark not in _BLOCK or state.is_code_block(start):
        return False
    found = _BLOCK[mark].match(state.src, position)
    if not found or not (_is_open(state, found) or _is_whole(found)):
        return False
    last = _line_at(state, start, end, len(state.src.rstrip()) if not found[2] else found.end(1))
    if last is None or silent:
        return last is not None
    content = state.getLines(start, last + 1, state.blkIndent, False).strip()
    if found[2] or not _is_prose(found[1]):
        token = state.push("math_block", "", 0) if found[2] else state.push("math_open", "p", 0)
        token.map, token.markup, token.content = [start, last + 1], mark, content
    else:
        _push_paragraph(state, [start, last + 1], content)
    state.line = last + 1
    return True


def _push_paragraph(state: StateBlock, lines: list[int], content: str) -> None:
    """What reads like prose so far; it stays one block, since a formula may yet come of it."""
    state.push("paragraph_open", "p", 1).map = lines
    words = state.push("inline", "", 0)
    words.map, words.content, words.children = lines, content, []
    state.push("paragraph_close", "p", -1)


def _is_open(state: StateBlock, found: re.Match[str]) -> bool:
    return not found[2] and "open" in state.env


def _is_whole(found: re.Match[str]) -> bool:
    return bool(found[2] and found[1].strip()) and not _is_prose(found[1])


def _line_at(state: StateBlock, start: int, end: int, position: int) -> int | None:
    """The line of a position, unless a line on the way there is not of the block that is being read."""
    line = start
    while state.eMarks[line] < position:
        line += 1
        if line >= end or state.sCount[line] < state.blkIndent:
            return None
    return line


def _is_safe(tex: str) -> bool:
    if any(_UNSAFE.fullmatch(command) for command in _COMMAND.findall(tex)):
        return False
    depths = accumulate((character == "{") - (character == "}") for character in tex)
    return not _UNSAFE_PART.search(tex) and max(depths, default=0) <= _DEEPEST


def formula(token: Token) -> str:
    """The text that MathJax takes for a formula, without labels to point at; an empty string if it had better not."""
    tex = _LABEL.sub(" ", token.content)
    if not _is_safe(tex):
        return ""
    opening, closing = ("\\[", "\\]") if token.markup in _BLOCK else ("\\(", "\\)")
    return escape(f"{opening}{tex}{closing}")
