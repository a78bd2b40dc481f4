"""Which library renders markdown, and which cleans HTML: the same questions to each. Run by hand:

    python benchmarks/libraries.py

in an environment that has some of `PARSERS` and `SANITIZERS` (those missing are named and skipped). Times are of the
processor, as ratios to the first row of a table. A stream renders the open tail at each 100 characters: all of the
text, if the library does not tell on which lines blocks start. Each hostile text has 2 s, in a Python of its own.
"""

from __future__ import annotations

import faulthandler
import re
import subprocess
import sys
import time
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from importlib import import_module as load
from importlib.metadata import version
from typing import Any

SECTION = r"""## N. Straße, 東京 and 👩‍🔬

The *mean* of `values` is **not** the [median](https://a.example/?n=N), see https://b.example: it costs ~~$5~~ $7, where
$x_1^2 + y_{N}$ holds. That is about what a model says in one paragraph, before it comes to a list of all the points:

1. First, read the `file`.
   - Only the columns that count, and rows that have a value.
   - The rest is **dropped**, without a word.

2. Then group by hour, which takes a moment; a third item would say the same again, at greater length.

- [x] done by *somebody*, who left a note about it at [the usual place](https://c.example/notes/N)
- [ ] still to do

| step | what it does                       | seconds |
|------|------------------------------------|---------|
| read | `read_csv`, in pieces of 64 kB     | 0.4     |
| sort | by time, **then** by name and size | 1.N     |

```python
def mean(values: list[float]) -> float:
    total = sum(value for value in values if 0 < value <= N)  # <b>not</b> the median

    return total / max(len(values), 1)
```

> A quotation with *stress* says it again in other words, and goes on for a second line.

$$\sum_{i=1}^{N} x_i \le 4$$

"""
REPLY = "".join(SECTION.replace("N", str(number)) for number in range(1, 13))
GFM = {"tables": "|a|\n|-|\n|b|", "strike": "~~a~~", "tasks": "- [x] a", "URLs": "https://a.com", "www": "www.a.com"}
SHOWN = re.compile("<td[^>]*>b|<(del|s|strike)( [^>]*)?>a|checkbox|href=.https?://(www.)?a.com")
BLOCKS, STARTS = "# a\n\nb\nc\n\n- d\n  - e\n\n```\nf\n\ng\n```\n\n|a|\n|-|\n|1|\n", [0, 2, 5, 8, 14]
HOSTILE = {mark: mark * (20_000 // len(mark)) for mark in ("[", "![", "[a](", "*a ", "*a_", "> ", "- ", "<a ", "a``")}
HOSTILE_HTML = {mark: mark * (20_000 // len(mark)) for mark in ("<b>", "<div>", "<p><b>", "<a ", "<", "<!--")}
MUTATIONS = (  # harmless as one parser reads them, and not as the next does
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=run()&gt;">',
    '<svg></p><style><a id="</style><img src=1 onerror=run()>"></a></style></svg>',
    '<noscript><p title="</noscript><img src=1 onerror=run()><script>run()</script>"></p></noscript>',
)
LINKS = ("javascript:run()", "java&#10;script:run()", "data:text/html,a", "tel:1", "//a.example", "/a", "?a", "#a")
TAGS = {*re.findall(r"\w+", "a blockquote br code div em h2 hr li ol p pre s strong table tbody td th thead tr ul")}
CODE, SCHEMES = {"class": {"language-python"}}, {"http", "https", "mailto"}
Render = Callable[[str], tuple[str, list[int]]]
"""Text to HTML, raw HTML off, and the lines, from 0, on which top-level blocks start; none if it does not tell."""


def markdown_it() -> Render:
    parser = load("markdown_it").MarkdownIt("gfm-like2", {"html": False})

    def render(text: str) -> tuple[str, list[int]]:
        tokens = parser.parse(text, env := {})
        lines = [token.map[0] for token in tokens if token.level == 0 and token.map]
        return parser.renderer.render(tokens, parser.options, env), lines

    return render


def mistune() -> Render:
    parser = load("mistune").create_markdown(plugins=["table", "strikethrough", "task_lists", "url"])
    return lambda text: (parser(text), [])


def python_markdown() -> Render:
    extensions = ["tables", "sane_lists", "pymdownx.superfences", "pymdownx.highlight", "pymdownx.tilde"]
    extensions += ["pymdownx.tasklist", "pymdownx.magiclink"]
    options = {"pymdownx.highlight": {"use_pygments": False}}
    parser = load("markdown").Markdown(extensions=extensions, extension_configs=options)
    parser.preprocessors.deregister("html_block")
    parser.inlinePatterns.deregister("html")
    return lambda text: (parser.reset().convert(text), [])


def markdown2() -> Render:
    extras = ["tables", "strike", "task_list", "fenced-code-blocks", "highlightjs-lang", "cuddled-lists"]
    parser = load("markdown2").Markdown(safe_mode="escape", extras=extras)
    return lambda text: (str(parser.convert(text)), [])


def commonmark() -> Render:
    parser, renderer = load("commonmark").Parser, load("commonmark").HtmlRenderer
    return by_marks(lambda text: renderer({"safe": True, "sourcepos": True}).render(parser().parse(text)))


def cmarkgfm() -> Render:
    library = load("cmarkgfm")
    return by_marks(lambda text: library.github_flavored_markdown_to_html(text, library.Options.CMARK_OPT_SOURCEPOS))


def comrak() -> Render:
    library = load("comrak")
    extensions, options = library.ExtensionOptions(), library.RenderOptions()
    extensions.table = extensions.strikethrough = extensions.tasklist = extensions.autolink = True
    options.escape = options.sourcepos = True
    return by_marks(lambda text: library.render_markdown(text, extensions, None, options))


def by_marks(to_html: Callable[[str], str]) -> Render:
    """A parser that writes the first and last line of each block into its HTML."""

    def render(text: str) -> tuple[str, list[int]]:
        html, lines, end = to_html(text), [], 0
        for first, last, column in re.findall(r'data-sourcepos="(\d+):\d+-(\d+):(\d+)"', html):
            if int(first) > end:
                lines.append(int(first) - 1)
                end = int(last) - (column == "0")
        return html, lines

    return render


def marko() -> Render:
    parser = load("marko").Markdown(extensions=["gfm"])

    def render(text: str) -> tuple[str, list[int]]:
        tree = parser.parse(text)
        blocks = [block for block in tree.children if block.get_type() != "BlankLine"]
        return parser.render(tree), [text.count("\n", 0, block.source_span[0]) for block in blocks]

    return render


def pyromark() -> Render:
    library = load("pyromark")
    names = ("ENABLE_TABLES", "ENABLE_STRIKETHROUGH", "ENABLE_TASKLISTS", "ENABLE_GFM")
    parser = library.Markdown(options=sum(library.Options[name] for name in names))

    def render(text: str) -> tuple[str, list[int]]:
        lines, end = [], 0
        for _, span in parser.events_with_range(text):
            if span["start"] >= end:
                lines.append(text.encode().count(b"\n", 0, span["start"]))
                end = span["end"]
        return parser.html(text), lines

    return render


def nh3() -> Callable[[str], str]:
    lists = {"tags": TAGS, "attributes": {"a": {"href"}}, "tag_attribute_values": {"code": CODE}}
    return load("nh3").Cleaner(**lists, url_schemes=SCHEMES, url_relative="deny").clean


def bleach() -> Callable[[str], str]:
    attributes = {"a": ["href"], "code": lambda tag, name, value: value in CODE.get(name, ())}
    return load("bleach").Cleaner(TAGS, attributes, SCHEMES, strip=True).clean


def lxml_html_clean() -> Callable[[str], str]:
    cleaner = load("lxml_html_clean").Cleaner
    return cleaner(allow_tags=TAGS, remove_unknown_tags=False, safe_attrs={"href", "class"}).clean_html


def html_sanitizer() -> Callable[[str], str]:
    lists = {"tags": TAGS, "attributes": {"a": {"href"}, "code": {"class"}}, "empty": TAGS, "separate": TAGS}
    more = {"whitespace": {"br"}, "keep_typographic_whitespace": True, "element_preprocessors": []}
    return load("html_sanitizer").Sanitizer(lists | more).sanitize


def justhtml() -> Callable[[str], str]:
    library = load("justhtml")
    rule = library.UrlRule(allow_fragment=False, resolve_protocol_relative=None, allowed_schemes=SCHEMES)
    urls = library.UrlPolicy(default_allow_relative=False, allow_rules={("a", "href"): rule})
    lists = {"allowed_tags": TAGS, "allowed_attributes": {"a": {"href"}, "code": CODE}}
    policy = library.SanitizationPolicy(**lists, url_policy=urls, strip_invisible_unicode=False)
    return lambda html: library.JustHTML(html, fragment=True, policy=policy).to_html(pretty=False)


def turbohtml() -> Callable[[str], str]:
    library = load("turbohtml.clean")
    attributes = {"a": frozenset({"href"}), "code": frozenset({"class"})}
    lists = {"tags": frozenset(TAGS), "attributes": attributes, "attribute_values": {"code": CODE}}
    more = {"allow_relative_urls": False, "on_disallowed_tag": library.OnDisallowed.STRIP}
    return library.Sanitizer(library.Policy(**lists, **more, url_schemes=frozenset(SCHEMES))).sanitize


PARSERS = {"markdown-it-py": markdown_it, "mistune": mistune, "markdown": python_markdown, "markdown2": markdown2}
PARSERS |= {"commonmark": commonmark, "cmarkgfm": cmarkgfm, "marko": marko, "comrak": comrak, "pyromark": pyromark}
SANITIZERS = {"nh3": nh3, "bleach": bleach, "lxml_html_clean": lxml_html_clean, "html-sanitizer": html_sanitizer}
SANITIZERS |= {"justhtml": justhtml, "turbohtml": turbohtml}


class Inspector(HTMLParser):
    """Looks for what could run or fetch something in a piece of HTML."""

    harmless = True

    def accepts(self, html: str) -> bool:
        self.feed(html)
        self.close()
        return self.harmless

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        scripts = [name for name, value in attrs if name.startswith("on") or "script:" in (value or "")]
        self.harmless &= tag in TAGS and not scripts


def ratio(work: Callable[[], object], reference: Callable[[], object], rounds: int) -> str:
    """The least processor time of the one to that of the other, taken in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for done, spent in zip((work, reference), times, strict=True):
            start = time.process_time()
            done()
            spent.append(time.process_time() - start)
    return f"{min(times[0]) / min(times[1]):.2g}"


def stream(render: Render) -> str:
    """Render the tail at each 100 characters; what is before its last block, after a blank line, is finished."""
    finished, start = "", 0
    for end in range(100, len(REPLY) + 100, 100):
        lines = REPLY[start:end].splitlines(keepends=True)
        last = max(render(REPLY[start:end])[1], default=0)
        if 0 < last < len(lines) - 1 and lines[last - 1] == "\n":
            finished += render("".join(lines[:last]))[0]
            start += len("".join(lines[:last]))
    return finished + render(REPLY[start:])[0]


def visible(html: str) -> str:
    """HTML without marks of lines, and spaces."""
    return re.sub(r' data-sourcepos="[^"]*"|\s+', "", html)


def words(html: str) -> list[str]:
    """The words of a page, and its code as it stands."""
    return unescape(re.sub("<[^>]*>", "", html)).split() + re.findall("<pre>.*?</pre>", unescape(html), re.DOTALL)


def endured(name: str, texts: dict[str, str]) -> str:
    """Which hostile texts a library gets through."""
    failed = []
    for mark, text in texts.items():
        child = subprocess.run([sys.executable, __file__, name], input=text.encode(), capture_output=True, check=False)
        if child.returncode:
            failed.append(f"`{mark}` {'slow' if b'Timeout' in child.stderr else 'fails'}")
    return ", ".join(failed) or "all"


def judge_parser(name: str, render: Render, first: Render) -> dict[str, object]:
    """A row of the first table."""
    raw = render("a <b>c</b>\n\n<div>\nd\n</div>\n")[0]
    tells = render(BLOCKS)[1] == STARTS
    return {
        "render": ratio(lambda: render(REPLY), lambda: first(REPLY), 20),
        "stream": ratio(lambda: stream(render), lambda: stream(first), 3),
        "GFM lacks": ", ".join(name for name in GFM if not SHOWN.search(render(GFM[name] + "\n")[0])) or "–",
        "raw HTML": "kept" if "<b>" in raw else "escaped" if "&lt;b&gt;" in raw and "&lt;div&gt;" in raw else "dropped",
        "lines of blocks": tells,
        "pieces = whole": visible(stream(render)) == visible(render(REPLY)[0]) if tells else "–",
        "hostile texts": endured(name, HOSTILE),
    }


def judge_sanitizer(name: str, clean: Callable[[str], str], first: Callable[[str], str]) -> dict[str, object]:
    """A row of the second table."""
    html = markdown_it()(REPLY)[0]
    code = clean('<code class="language-python">a</code><code class="evil">b</code>')
    return {
        "clean": ratio(lambda: clean(html), lambda: first(html), 20),
        "lists values": "language-python" in code and "evil" not in code,
        "lists schemes": "href" not in clean("".join(f'<a href="{link}">a</a>' for link in LINKS)),
        "mutations harmless": all(Inspector().accepts(clean(text) + clean(clean(text))) for text in MUTATIONS),
        "text unchanged": words(clean(html)) == words(html),
        "hostile HTML": endured(name, HOSTILE_HTML),
    }


def print_table(makers: dict[str, Callable[[], Any]], judge: Callable[[str, Any, Any], dict[str, object]]) -> None:
    """Judge what is installed, beside the first of it."""
    first = None
    for name, make in makers.items():
        try:
            subject = make()
            row = judge(name, subject, first or subject)
        except ImportError as error:
            print(f"{name} is skipped: {error}")
            continue
        if not first:
            print(f"\n| | {' | '.join(row)} |\n|-{'|-' * len(row)}|")
        first = first or subject
        cells = (str({True: "yes", False: "no"}.get(cell, cell)) for cell in row.values())
        print(f"| {name} {version(name)} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:  # in a child of `endured`: take one text, and be ended if that takes too long
        work = (PARSERS | SANITIZERS)[sys.argv[1]]()
        faulthandler.dump_traceback_later(2, exit=True)
        work(sys.stdin.read())
    else:
        print_table(PARSERS, judge_parser)
        print_table(SANITIZERS, judge_sanitizer)
