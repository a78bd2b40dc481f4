"""Traps in a page: whatever a reply would do there beyond standing in its output, and when it does so.

They lie before the page loads. What a script of a harmful reply would call is noted, and so is each request beyond
what the page itself needs, each window, each frame. Each element that is put into an output is looked at, so that
nothing can come and go between two looks.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Frame, Page, Request, WebSocket

from network_guard import is_loopback
from pages import TAGS

CALLS = ("alert", "confirm", "prompt", "print", "open")
ATTRIBUTES = ("class", "dir", "style", "start", "target", "rel", "href")
FORBIDDEN = (
    "script|i?frame|frameset|object|embed|base|meta|link|form|input|textarea|select|img|image|picture|video|audio"
)
FORBIDDEN += "|source|track|map|area|svg|math|template|dialog|marquee|portal|applet|slot"
"""In an output, beside the replies: elements that could do anything."""
MATH = "mjx-[a-z-]+|math|m(?:row|i|n|o|s|text|space|frac|sqrt|root|style|error|padded|phantom|enclose|fenced|sub|sup"
MATH += "|subsup|under|over|underover|multiscripts|prescripts|table|labeledtr|tr|td)|none"
"""Elements that MathJax may make."""
NOT_IN_MATH = "href|xlink:href|src|id|target|actiontype|selection|data-(?!mjx-|c$|padding|thickness|arrowhead).*"
HARMFUL_STYLE = r"url|fixed|absolute|sticky|inset|z-index|image|expression|behavior|content:"
OWN_STYLE = "<style>.jp-OutputArea:has(.nbchat-reply) "

SCRIPT = """
(() => {
    const rules = %s;
    const note = (kind, what) => { window.sprung(kind, String(what)); };
    const matches = pattern => { const whole = new RegExp(`^(?:${pattern})$`); return text => whole.test(text); };
    const isTag = matches(rules.tags), isForbidden = matches(rules.forbidden);
    const isMath = matches(rules.math), isNotInMath = matches(rules.notInMath);
    const harmfulStyle = new RegExp(rules.harmfulStyle);
    for (const name of rules.calls)
        window[name] = (...given) => { note('ran', `${name}(${given})`); return null; };

    const faultIn = (element, name, value) => {
        if (name.startsWith('on') || name.startsWith('data-commandlinker')) return true;
        if (element.closest('mjx-container'))
            return isNotInMath(name) || /jp-|lm-/.test(value) || (name === 'style' && harmfulStyle.test(value));
        if (element.closest('.nbchat-reply')) return !rules.attributes.includes(name);
        return ['src', 'srcset', 'srcdoc', 'action', 'formaction', 'ping'].includes(name);
    };
    const isStrange = element => {
        const tag = element.localName;
        if (element.closest('mjx-container')) return !isMath(tag);
        if (element.closest('.nbchat-reply')) return !isTag(tag);
        return isForbidden(tag) || (tag === 'style' && !element.outerHTML.startsWith(rules.ownStyle));
    };
    const look = element => {
        if (!element.closest('.jp-OutputArea-output, .output_area, .nbchat-reply')) return;
        if (isStrange(element)) note('shown', element.outerHTML);
        for (const {name, value} of element.attributes)
            if (faultIn(element, name, value)) note('shown', `${element.localName} ${name}=${value}`);
    };
    window.drawn = 0;
    const lookAt = record => {
        if (record.type === 'attributes') look(record.target);
        for (const node of record.addedNodes) {
            if (node.nodeType !== Node.ELEMENT_NODE) continue;
            window.drawn += node.matches('.nbchat-reply') + node.querySelectorAll('.nbchat-reply').length;
            [node, ...node.querySelectorAll('*')].forEach(look);
        }
    };
    new MutationObserver(records => records.forEach(lookAt))
        .observe(document, {subtree: true, childList: true, attributes: true});
})();
"""
RULES = {
    "calls": CALLS,
    "tags": TAGS,
    "attributes": ATTRIBUTES,
    "forbidden": FORBIDDEN,
    "math": MATH,
    "notInMath": NOT_IN_MATH,
    "harmfulStyle": HARMFUL_STYLE,
    "ownStyle": OWN_STYLE,
}

TEASE = """
() => {
    const kinds = ['mouseover', 'mouseenter', 'pointerenter', 'focus', 'focusin', 'toggle', 'beforetoggle', 'load',
        'error', 'animationstart', 'scrollend', 'beforematch', 'click'];
    for (const element of document.querySelectorAll('.nbchat-reply *')) {
        if (element.closest('a')) continue;
        for (const kind of kinds) element.dispatchEvent(new Event(kind, {bubbles: true, cancelable: true}));
    }
}
"""
"""Does to all in the replies what sets off scripts that wait for it; links are not followed."""

LEAKS = """
() => {
    const middle = ({x, y, width, height}) => [x + width / 2, y + height / 2];
    const isOutside = ([x, y], {left, right, top, bottom}) => x < left || x > right || y < top || y > bottom;
    return [...document.querySelectorAll('.nbchat-reply *')].filter(element => {
        const output = element.closest('.jp-OutputArea-output, .output_area');
        const place = () => [middle(element.getBoundingClientRect()), output.getBoundingClientRect()];
        if (!isOutside(...place())) return false;
        output.scrollIntoView({block: 'center'});
        return isOutside(...place()) && output.contains(document.elementFromPoint(...place()[0]));
    }).map(element => element.outerHTML);
}
"""
"""What of a reply is seen where its output is not."""

OUTLINE = """
() => ['html', 'body', '#main', '#jp-top-panel', '#jp-main-dock-panel', '.jp-NotebookPanel-toolbar']
    .map(place => [place, document.querySelectorAll(place).length, document.querySelector(place)])
    .map(([place, count, element]) => {
        const style = getComputedStyle(element), {x, y, width, height} = element.getBoundingClientRect();
        return [place, count, style.display, style.position, style.backgroundImage, style.opacity, x, y, width, height];
    })
    .concat([[document.title.replace(/^\\*\\s*/, ''), document.body.children.length, frames.length]])
"""
"""What the page is like around the notebook."""


class Traps:
    """Notes what happens in a page that its user did not ask for.

    Args:
        page: A page that has not loaded yet.
        may_ask: Whether the page itself needs the answer to a request.
    """

    def __init__(self, page: Page, may_ask: Callable[[str], bool]) -> None:
        self._page = page
        self._may_ask = may_ask
        self.sprung: list[str] = []
        """What ran, was fetched, was opened, or was shown and should not have been."""
        page.context.expose_binding("sprung", lambda _, kind, what: self._note(kind, what))
        page.add_init_script(SCRIPT % json.dumps(RULES))
        page.context.on("page", lambda other: self._note("opened", other.url))
        page.on("request", self._note_request)
        page.on("websocket", self._note_socket)
        page.on("frameattached", lambda frame: self._note("opened", f"a frame {frame.url}"))
        page.on("framenavigated", self._note_frame)
        page.on("download", lambda download: self._note("fetched", download.url))

    def tease(self) -> None:
        """Set off whatever waits for a pointer, the focus, an animation, a click."""
        self._page.evaluate(TEASE)
        for leak in self._page.evaluate(LEAKS):
            self._note("shown", f"elsewhere: {leak}")
        for element in self._page.locator(".nbchat-reply a:visible").all()[::25]:
            element.hover()

    def outline(self) -> Any:
        """What JupyterLab is like around the notebook."""
        return self._page.evaluate(OUTLINE)

    def _note(self, kind: str, what: str) -> None:
        self.sprung.append(f"{kind}: {what[:300]}")

    def _note_request(self, request: Request) -> None:
        if not self._may_ask(request.url):
            self._note("fetched", request.url)

    def _note_socket(self, socket: WebSocket) -> None:
        if not is_loopback(urlsplit(socket.url).hostname):
            self._note("fetched", socket.url)

    def _note_frame(self, frame: Frame) -> None:
        if not self._may_ask(frame.url):
            self._note("opened", frame.url)
