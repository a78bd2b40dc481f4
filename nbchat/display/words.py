"""The words in the HTML of a reply, in the styles that a terminal has for them, and harmless to it.

Colours are the terminal's own, those that suit light and dark.
"""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from urllib.parse import unquote
from xml.etree.ElementTree import Element, TreeBuilder

from rich.style import Style
from rich.text import Text

from nbchat.display.controls import harmless

DIM = Style(dim=True)
CODE = Style(color="cyan")
_STYLES = {
    "h3": Style(bold=True, underline=True),
    **dict.fromkeys(("h4", "h5", "h6", "strong", "th"), Style(bold=True)),
    "em": Style(italic=True),
    "s": Style(strike=True),
    "code": CODE,
    "a": Style(underline=True),
}
_COLOURS = {
    "k": Style(color="magenta"),
    "ow": Style(color="magenta"),
    "s": Style(color="green"),
    "m": Style(color="cyan"),
    "c": Style(dim=True, italic=True),
    "nb": Style(color="cyan"),
    "nc": Style(color="blue", bold=True),
    "nd": Style(color="cyan"),
    "nf": Style(color="blue"),
    "nt": Style(color="blue"),
    "gd": Style(color="red"),
    "gi": Style(color="green"),
}
"""By the class that pygments gives, or its first letter."""
_FORMULA = "mathjax_process"
_BLOCKS = {"p", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "hr", "div", "pre"}
_VOID = {"br", "hr"}
_TAB = 4


def tree(html: str) -> Element:
    """What `rendering` has made, as a tree: its children are pages, theirs are blocks."""
    builder = _Tree()
    builder.feed(html)
    return builder.root()


class _Tree(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self._builder = TreeBuilder()
        self._builder.start("pages", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._builder.start(tag, {name: harmless(value or "") for name, value in attrs})
        if tag in _VOID:
            self._builder.end(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            self._builder.end(tag)

    def handle_data(self, data: str) -> None:
        self._builder.data(harmless(data).expandtabs(_TAB))

    def root(self) -> Element:
        self.close()
        self._builder.end("pages")
        return self._builder.close()


def dim(text: str) -> Text:
    """Words that stand back."""
    return Text.assemble((harmless(text).expandtabs(_TAB), DIM))


def words(element: Element) -> Text:
    """All words of an element, which is no block or has none in it."""
    text = Text()
    _add(text, element, Style())
    return text


def code(pre: Element, style: Style) -> Text:
    """The lines of a program; what has no colour gets that style."""
    text = Text()
    for part in pre:
        _add_inside(text, part, style, newline="\n")
    if text.plain.endswith("\n"):
        text.right_crop()
    return text


def parts(element: Element) -> Iterator[Text | Element]:
    """The blocks in an element; words that stand between them are one, too."""
    text = Text(_folded(element.text))
    for child in element:
        if child.tag not in _BLOCKS:
            _add(text, child, Style())
        else:
            yield from _if_any(text)
            yield child
            text = Text()
        text.append(_folded(child.tail))
    yield from _if_any(text)


def _if_any(text: Text) -> Iterator[Text]:
    if text.plain.strip():
        yield text


def _add(text: Text, element: Element, style: Style, newline: str = " ") -> None:
    kind = element.get("class", "")
    if element.tag == "br":
        text.append("\n")
    elif _FORMULA in kind:
        text.append((element.text or "")[2:-2].strip(), style + Style(italic=True))
    else:
        own = _COLOURS.get(kind) or _COLOURS.get(kind[:1]) or _STYLES.get(element.tag) or Style()
        _add_inside(text, element, style + own, newline)
    if element.tag == "a":
        text.append(_address(element), DIM)


def _add_inside(text: Text, element: Element, style: Style, newline: str) -> None:
    text.append(_folded(element.text, newline), style)
    for child in element:
        _add(text, child, style, newline)
        tail = _folded(child.tail, newline)
        text.append(tail.lstrip() if child.tag == "br" else tail, style)


def _folded(text: str | None, newline: str = " ") -> str:
    return (text or "").replace("\n", newline)


def _address(link: Element) -> str:
    """Where a link leads, unless its words say so."""
    href, said = link.get("href", ""), "".join(link.itertext())
    is_said = said.isprintable() and said in (
        href,
        unquote(href),
        href.removeprefix("mailto:"),
        href.removeprefix("http://"),
    )
    return "" if is_said or not href else f" ({href})"
