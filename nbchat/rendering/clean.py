"""The short lists of what may go out, and the sanitizer that holds what was made against them."""

from __future__ import annotations

import nh3

from nbchat.rendering import looks
from nbchat.rendering.code import CODE_CLASSES
from nbchat.rendering.formulas import MATH

_STYLES: dict[str, set[str]] = {
    "p": {f"{style}{side}" for style in (looks.BLOCKS["p"], looks.GOES_ON["p"]) for side in ("", ";text-align:right")}
    | {"text-align:right", looks.CAPTION},
    "div": {*looks.CODE_BLOCK.values(), *looks.SCROLLED.values(), looks.DISPLAY, looks.UNFOLDED},
    "pre": {*looks.PRE.values(), looks.PLAIN, looks.PLAIN_PART},
    "code": {looks.CODE},
    "span": {looks.LABEL},
    "table": {looks.TABLE},
    **{tag: {f"text-align:{side}" for side in ("left", "center", "right")} for tag in ("th", "td")},
    "li": {looks.TASK},
    "details": {looks.REASONING},
    "summary": {looks.SUMMARY},
    **{tag: {style, looks.GOES_ON.get(tag, style)} for tag, style in looks.BLOCKS.items() if tag != "p"},
}
_CLASSES: dict[str, set[str]] = {
    "div": {"highlight", MATH},
    "span": {MATH, *CODE_CLASSES},
    **{tag: {looks.NO_CONTENTS} for tag in ("h3", "h4", "h5", "h6")},
    "b": CODE_CLASSES,
    "i": CODE_CLASSES,
}
_DIRECTED = {"p", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "div", "th", "td", "code", "span"}
_PLAIN = {"thead", "tbody", "tr", "a", "br", "em", "s", "small", "strong", "sub", "sup"}
_TAGS = {*_STYLES, *_CLASSES, *_DIRECTED, *_PLAIN}


def _values(tag: str) -> dict[str, set[str]]:
    directions = {"auto", "ltr", "rtl"} if tag in _DIRECTED else set[str]()
    return {"class": _CLASSES.get(tag, set()), "style": _STYLES.get(tag, set()), "dir": directions}


_VALUES = {tag: _values(tag) for tag in _TAGS}


def clean(body: str) -> str:
    """Take away whatever is not on the lists."""
    return nh3.clean(
        body,
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        tag_attribute_values=_VALUES,
        set_tag_attribute_values={"a": {"target": "_blank"}},
        link_rel="noopener noreferrer",
        url_schemes={"http", "https", "mailto"},
    )
