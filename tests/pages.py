"""What was rendered, read as a browser does, and held against the short list of what may go out: a second one."""

from __future__ import annotations

import re
from html.parser import HTMLParser

OPEN = re.compile(r'<div class="nbchat-reply mathjax_ignore tex2jax_ignore"[^>]*>')
"""How each piece of a reply begins."""
CLOSE = "</div>\n"
"""And how it ends."""
FORMULA = "mathjax_process tex2jax_process"

TAGS = "p|h[3-6]|[uo]l|li|blockquote|pre|code|em|strong|s|[hb]r|table|thead|tbody|t[rhd]|a|span|div|small|[bi]"
TAGS += "|details|summary|su[bp]"
VOID = {"br", "hr"}
DECLARATION = (
    r"(?:(?:margin|padding|border|font-size|opacity)(?:-[a-z]+)?:[\w. ]+"
    r"|border-left:3px solid rgba\([\d,.]+\)|background:(?:none|rgba\([\d,.]+\))"
    r"|text-align:(?:left|right|center)|font-weight:bold|list-style-type:none|display:(?:block|list-item)"
    r"|overflow-[xy]:(?:auto|hidden)|overflow-wrap:break-word|white-space:pre(?:-wrap)?|scrollbar-width:none"
    r"|content-visibility:auto|contain-intrinsic-size:auto 6000px"
    r"|cursor:pointer|(?:-webkit-)?user-select:none)"
)
VALUES = {
    "dir": r"auto|ltr|rtl",
    "start": r"\d{1,9}",
    "style": rf"{DECLARATION}(?:;{DECLARATION})*",
    "target": r"_blank",
    "rel": r"noopener noreferrer",
    "href": r"(?i:https?://[^/\s\"'<>`]|mailto:)[^\s\"'<>`]*",
    "class": rf"highlight|tocSkip|[a-z][a-z0-9]{{0,2}}|{FORMULA}|nbchat-reply mathjax_ignore tex2jax_ignore",
}
ATTRIBUTES = {"a": {"href", "target", "rel"}, "ol": {"dir", "start", "style"}}
ATTRIBUTES |= {tag: {"class", "dir", "style"} for tag in ("div", "span", "b", "i", "h3", "h4", "h5", "h6")}
COMMANDS = re.compile(
    r"\\(href|url|class|style|cssId|data|unicode|require|bbox|html|texttip|mathtip|toggle|mmlToken|include|label|ref"
    r"|eqref|refeq|verb|fcolorbox|def|gdef|let|usetagform|newtagform|renewtagform"
    r"|newcommand|renewcommand|newenvironment|DeclareMathOperator|html\w+)(?![A-Za-z])|begin\s*\{html"
)


class Page(HTMLParser):
    """Reads what was rendered, and notes all that may not be there."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.faults: list[str] = []
        self.text = ""
        self._open: list[tuple[str, str]] = []
        self.feed(source)
        self.close()
        self.faults += [f"<{tag}> is not closed" for tag, _ in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = ATTRIBUTES.get(tag, {"dir", "style"})
        if not re.fullmatch(TAGS, tag):
            self.faults.append(f"<{tag}>")
        for name, value in attrs:
            if name not in known or not re.fullmatch(VALUES[name], value or ""):
                self.faults.append(f"<{tag} {name}={value!r}>")
        if tag == "a" and any(name == "href" for name, _ in attrs) and ("rel", "noopener noreferrer") not in attrs:
            self.faults.append("a link that knows its opener")
        if self._class() == FORMULA:
            self.faults.append(f"<{tag}> in a formula")
        if not self._open and dict(attrs).get("class") != "nbchat-reply mathjax_ignore tex2jax_ignore":
            self.faults.append(f"<{tag}> outside of a reply")
        if tag not in VOID:
            self._open.append((tag, dict(attrs).get("class") or ""))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop()[0] != tag:
            self.faults.append(f"</{tag}> closes something else")

    def handle_data(self, data: str) -> None:
        self.text += data
        if not self._open and data.strip():
            self.faults.append(f"{data!r} outside of a reply")
        if self._class() == FORMULA and (not re.match(r"\\[(\[]", data) or COMMANDS.search(data.replace("\\\\", ""))):
            self.faults.append(f"the formula {data!r}")

    def handle_comment(self, data: str) -> None:
        self.faults.append("a comment")

    def handle_decl(self, decl: str) -> None:
        self.faults.append("a declaration")

    def unknown_decl(self, data: str) -> None:
        self.faults.append("a declaration")

    def handle_pi(self, data: str) -> None:
        self.faults.append("an instruction")

    def _class(self) -> str:
        return self._open[-1][1] if self._open else ""


def faults(source: str) -> list[str]:
    """What is in rendered HTML that may not be there."""
    return Page(source).faults


def joined(pieces: list[str]) -> str:
    """The pieces of a reply as if they were one."""
    return re.sub(CLOSE + OPEN.pattern, "", "".join(pieces))


def bare(source: str) -> str:
    """What was rendered, without how it looks and without the element around it."""
    inner = OPEN.sub("", source, count=1).removesuffix(CLOSE)
    return re.sub(r' (style="[^"]*"|class="tocSkip")', "", inner)
