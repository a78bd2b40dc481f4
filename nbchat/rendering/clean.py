"""The short lists of what may go out, and the sanitizer that holds what was made against them."""

from __future__ import annotations

import nh3

from nbchat.rendering.code import CODE_CLASSES
from nbchat.rendering.formulas import MATH

CAPTION = "margin:0;opacity:0.7"
"""How a caption stands back: these need no colour of the theme's."""
_ALIGNED = {"style": {f"text-align:{side}" for side in ("left", "center", "right", "start")}}
_DIRECTED = {"p", "h3", "h4", "h5", "h6", "ul", "ol", "blockquote", "table"}
_TAGS = _DIRECTED | {"li", "pre", "hr", "div", "thead", "tbody", "tr", "th", "td"}
_TAGS |= {"a", "br", "code", "em", "s", "small", "span", "strong"}
_VALUES: dict[str, dict[str, set[str]]] = {
    **{tag: {"dir": {"auto"}} for tag in _DIRECTED},
    "p": {"dir": {"auto"}, "style": {"text-align:start", CAPTION}},
    "div": {"class": {"highlight", MATH}},
    "span": {"class": {MATH, *CODE_CLASSES}},
    "th": _ALIGNED,
    "td": _ALIGNED,
}


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
