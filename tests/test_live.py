"""A reply while it comes: what is seen of markup that has only begun, long blocks in parts, what all frames cost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import pytest

from nbchat.rendering import Frame, Live, render
from pages import CLOSE, OPEN, Page, bare, joined
from replies import REPLIES, long


class Seen(NamedTuple):
    """One frame of a reply: what is seen of its tail, and of what was sealed with it."""

    text: str
    """The text so far."""
    above: Page
    tail: Page
    rows: int
    """About how high both are."""
    tail_rows: int


_ROW = re.compile(r"<(?:p|li|tr|h[3-6]|hr|br|pre)[ >]")
_CODE = re.compile(r"<pre.*?</pre>", re.DOTALL)


def rows(source: str) -> int:
    """How many lines there are, if none is broken."""
    return len(_ROW.findall(source)) + sum(code.count("\n") for code in _CODE.findall(source))


def frames(text: str, step: int) -> Iterator[tuple[str, Frame]]:
    live = Live()
    for end in range(step, len(text) + step, step):
        yield text[:end], live.update(text[:end])


@cache
def seen(name: str) -> list[Seen]:
    """Every frame of a reply that comes character by character; every third of a long one."""
    text = REPLIES[name]
    return [
        Seen(so_far, Page(above), Page(tail), rows(above + tail), rows(tail))
        for so_far, (above, tail) in frames(text, 1 if len(text) < 2_000 else 3)
    ]


def pieces(text: str, step: int) -> list[str]:
    """What is sealed one after the other of a text that comes in steps."""
    live = Live()
    sealed = [live.update(text[:end]).sealed for end in range(step, len(text), step)]
    sealed.append(live.finish(text))
    assert live.sealed == len(text)
    return [piece for piece in sealed if piece]


def tail(text: str) -> str:
    """What is seen of a text that is still coming, if nothing is sealed of it, but for how it looks."""
    frame = Live().update(text)
    assert frame.sealed == ""
    assert Page(frame.tail).faults == []
    return bare(frame.tail)


def words(text: str) -> str:
    return "".join(text.split())


# Replies as models write them


@pytest.mark.parametrize("name", REPLIES)
def test_no_frame_holds_what_may_not_be_there(name: str) -> None:
    assert [
        (frame.text[-40:], frame.tail.faults) for frame in seen(name) if frame.above.faults + frame.tail.faults
    ] == []


MARKS = ["**", "~~", "`", "](", "[", "|", "![", "<br", "<http", "&", "#", r"\(", r"\[", "_", "*", "> ", "- "]


@pytest.mark.parametrize("name", REPLIES)
def test_no_frame_shows_a_mark_that_the_whole_does_not(name: str) -> None:
    whole = Page(render(REPLIES[name])).text
    gone = [mark for mark in MARKS if mark not in whole]
    shown = [(mark, frame.text[-40:]) for frame in seen(name) for mark in gone if mark in frame.tail.text]
    assert len(gone) >= 5
    assert shown == []


@pytest.mark.parametrize("name", ["math", "Hebrew", "Chinese"])
def test_no_frame_shows_the_dollar_of_a_formula(name: str) -> None:
    """But for one before two letters, or a digit: that may be a variable, or a price."""
    assert [frame.text[-40:] for frame in seen(name) if re.search(r"\$(?![a-z]{2}|\d)", frame.tail.text)] == []


def lost(before: str, after: str) -> str:
    """Characters that were there before and are not any more, in their order."""
    missing, position = "", 0
    for character in words(before):
        found = after.find(character, position)
        missing += character if found < 0 else ""
        position = max(position, found + 1)
    return missing


@pytest.mark.parametrize("name", REPLIES)
def test_text_that_was_shown_stays(name: str) -> None:
    """Between two frames no more than a mark goes; but a definition makes links of words in brackets."""
    before = ""
    for frame in seen(name):
        if defined := re.search(r"^\[(\w+)\]: .*\n\Z", frame.text, re.MULTILINE):
            before = re.sub(rf"\[(\w+)\]\[{defined[1]}\]", r"\1", before)
        gone = lost(before, frame.above.text + frame.tail.text)
        assert len(gone) <= 2, frame.text[-40:]
        before = frame.tail.text


@pytest.mark.parametrize("name", REPLIES)
def test_no_frame_is_lower_than_the_one_before_by_more_than_a_line(name: str) -> None:
    before = 0
    for frame in seen(name):
        assert frame.rows >= before - 1, frame.text[-40:]
        before = frame.tail_rows


@pytest.mark.parametrize("step", [4, 60])
@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_in_pieces_ends_as_the_whole(name: str, step: int) -> None:
    text = REPLIES[name]
    sealed = pieces(text, step)
    if name in ("Python", "a tutorial"):  # these have long code
        assert len(CUTS.findall(marked(sealed))) in (1, 2)
        assert put_together(sealed) == uncoloured(render(text))
    else:
        assert joined(sealed) == render(text)


# What has only begun


COMING = {
    "**bo": "<strong>bo</strong>",
    "**bold*": "<strong>bold</strong>",
    "a *it": "a <em>it</em>",
    "_it": "<em>it</em>",
    "***a** b": "<em><strong>a</strong> b</em>",
    "**a _b": "<strong>a <em>b</em></strong>",
    "*a **b\nc": "<em>a <strong>b\nc</strong></em>",
    "**a [b](c) d": "<strong>a b d</strong>",
    "~~st": "<s>st</s>",
    "这是**粗": "这是<strong>粗</strong>",
    "`co": "<code>co</code>",
    "a ``co`d`": "a <code>co`d</code>",
    "a [te": "a te",
    "a [te](": "a te",
    "a [t *e*](https://b.example/": "a t <em>e</em>",
    'a [te](https://b.example "ti': "a te",
    "a [te][na": "a te",
    "a ![im": "a 🖼 im",
    "a ![im](https://b": "a 🖼 im",
    "a [![im](https://b.example/c.png)](http": "a 🖼 im",
    "a <b@c": "a b@c",
    "a $x^": "a <code>x^</code>",
    r"a $\frac{a}{": r"a <code>\frac{a}{</code>",
    "a $x_1": "a <code>x_1</code>",
    "a $$x = 1$": "a <code>x = 1</code>",
    "a $$ ": "a ",
    "a $$ x": "a ",
    "a $$ x = 1 ": "a <code>x = 1</code>",
    "**注意：**请 **「": "<strong>注意：</strong>请 <strong>「</strong>",
    r"a \(x": "a <code>x</code>",
    "a \\[x\n= y\\": "a <code>x = y</code>",
    "a $": "a ",
    "a \\": "a ",
    "a **": "a ",
    "a ~": "a ",
    "a `": "a ",
    "a [": "a ",
    "a ![": "a ",
    "a &am": "a ",
    "a &#x2": "a ",
    "a <b": "a ",
    "a <BR /": "a ",
    "a <https:/": "a ",
    "a\n-": "a",
    "a\n==": "a",
    "a\n---": "a",
    "a\n```": "a",
    "a\n``": "a",
    "a\n~~~py": "a",
    "a\n>": "a",
    "a\n> -": "a",
    "a\n#": "a",
    "a\n1": "a",
    "a\n12.": "a",
    "a\n1. [x": "a",
    "a\n|": "a",
    "a\n$$": "a",
    "a\n\\[": "a",
    "a\n\n[b": "a",
    "a\n\n[b]: htt": "a",
    "a\n\n[b]: http://c.example 'd": "a",
    "a\n\n![": "a",
}
"""Paragraphs."""


@pytest.mark.parametrize("text", COMING)
def test_what_has_begun_is_shown_as_what_it_will_be(text: str) -> None:
    assert tail(text) == f'<p dir="auto">{COMING[text]}</p>\n'


@pytest.mark.parametrize(
    "text",
    [
        *("2 * 3", "2*3", "x**2", "array[i", "f(x)[1", "snake_case", "a ~ b", "a_b", "[a](b c", "[a] b", "a < b"),
        *("AT&T", "&nothing", "$5", "$HOME/x", "US$x^2", "${HOME", "echo $$ or", "a [b) c", "![a] b", "<div", "a\\b"),
    ],
)
def test_what_is_no_mark_stays(text: str) -> None:
    assert Page(Live().update(f"{text} ").tail).text.strip() == text


@pytest.mark.parametrize("text", ["**a", "`a", "[a", "[a](b", r"\(a", "$x^2", "~~a", "| a | `b |", "*a\n**b"])
def test_what_was_never_closed_is_as_it_stands_once_its_block_has_ended(text: str) -> None:
    assert Live().update(f"{text}\n\nb\n").sealed == render(text)
    assert "*a" in Page(Live().update("# *a\n").tail).text


TABLES = ["| a | b", "| a | b |", "| a | b |\n", "| a | b |\n|", "| a | b |\n|--", "| a | b |\n|--|:-:|"]


@pytest.mark.parametrize("text", TABLES)
def test_a_table_is_one_from_its_first_row_on(text: str) -> None:
    assert re.findall(r"<th[^>]*>(.*)</th>", tail(text)) == ["a", "b"]
    for before, margin in {"- ": "  ", "> ": "> ", "a\n": ""}.items():
        inside = before + text.replace("\n", f"\n{margin}")
        assert re.findall(r"<th[^>]*>(.*)</th>", tail(inside)) == ["a", "b"]


def test_rows_of_a_table_come_cell_by_cell() -> None:
    head = "| a | b |\n|--|--|\n| 1 | **2** |\n"
    for row, cells in {"|": [], "| `c": ["<code>c</code>", ""], "| c | **d": ["c", "<strong>d</strong>"]}.items():
        assert re.findall(r"<td[^>]*>(.*)</td>", tail(head + row)) == ["1", "<strong>2</strong>", *cells]
    for row, cell in {r"| $P(A|B": "P(A|B", r"| \(|x|": "|x|"}.items():
        assert re.findall(r"<td[^>]*>(.*)</td>", tail(head + row))[2:] == [f"<code>{cell}</code>", ""]
    assert "<th" not in tail("a | b")
    assert "<th" not in tail("| a | b |\n\n")


BEGUN = {
    "an item": ("- a\n- **b", "<li>a</li>\n<li><strong>b</strong></li>\n</ul>"),
    "a task": ("- a\n- [ ] b", "<li>☐ b</li>\n</ul>"),
    "no task yet": ("- a\n- [", "<li>a</li>\n</ul>"),
    "an item in an item, perhaps": ("- a\n  -", "<li>a</li>\n</ul>"),
    "a quotation": ("> **a\n> b\n>", "<strong>a\nb</strong></p>\n</blockquote>"),
    "a heading": ("## *a", "<em>a</em></h4>"),
    "code": ("```\na\n``", "<code>a\n</code></pre></div>"),
    "code in an item": ("- a\n  ```\n  b\n  `", "<code>b\n</code></pre></div>"),
    "a formula": ("$$\na_1 * b\n# c\n$", "<code>a_1 * b # c</code></p>"),
    "a formula in an item": ("- a\n\n  \\[\n  x\n  y\\", "<code>x y</code></p>"),
    "a long formula": ("$$\n" + "x + y\n" * 50, "<code>" + "x + y " * 16 + "x + …</code></p>"),
    "prose after dollars": ("$$ is the `num", "$$ is the <code>num</code></p>"),
}


@pytest.mark.parametrize("name", BEGUN)
def test_a_block_that_has_begun(name: str) -> None:
    text, expected = BEGUN[name]
    assert f"{expected}\n" in tail(text)


def test_a_line_below_a_paragraph_makes_no_heading_before_it_is_whole() -> None:
    assert "<h" not in tail("a\n===")
    assert "<h3" in tail("a\n===\n")


def test_half_a_mark_alone_is_nothing() -> None:
    for text in (
        "*",
        "-",
        "1",
        "1.",
        "#",
        ">",
        "|",
        "`",
        "```py",
        "~~~",
        "$",
        "$$",
        "\\[",
        "[",
        "[ab",
        "- [x",
        "<",
        "&",
    ):
        assert Page(Live().update(text).tail).text.strip() == ""


# Long blocks


CODE = "".join(f"def f{number}(x):\n    return x + {number}  # $x$\n\n\n" for number in range(100))
LONG = {
    "code": f"```python\n{CODE}```\n",
    "code that nobody ends": "~~~py | x\n" + "x = [1, 2]\n" * 300,
    "code without blank lines": "```json\n" + '  {"a": [1, "b"]},\n' * 200 + "```\n\nand\n\n    x\n",
    "indented code": "    x = 1\n\n    y = 2\n" * 200,
    "a list": "".join(f"- item **{number}**\n  goes on\n" for number in range(200)),
    "a list with numbers": "".join(f"{number}. item\n    1. in it\n" for number in range(7, 300)),
    "a list with the same number": "1) item\n\n   more\n\n" * 300,
    "a table": "a | b\n:-:|--\n" + "`x \\| y` | **2**\n" * 200 + "\nend\n",
    "a quotation": "> some *words*\n> and more\n>\n> - a list\n>\n" * 100,
    "a paragraph": "some **words** and\n" * 900 + "\n# end\n",
    "a paragraph on one line": "some **words** and " * 900,
    "a paragraph of one word": "一" * 17_000,
}
CUTS = re.compile(
    r"</code></pre></div>\n\0<div class=.highlight.[^>]*><pre><code>|</([uo]l|blockquote)>\n\0<\1[^>]*>\n"
    r"|</tbody>\n</table></div>\n\0<div[^>]*><table>\n<tbody>\n|</p>\n\0<p[^>]*>"
)


def uncoloured(source: str) -> str:
    return re.sub(r"</?(?:span|b|i)\b[^>]*>", "", bare(source))


def marked(sealed: list[str]) -> str:
    """The pieces as one, with a mark between one and the next."""
    return uncoloured(re.sub(CLOSE + OPEN.pattern, "\0", "".join(sealed)))


def put_together(sealed: list[str]) -> str:
    """The pieces as one, and the parts of a block as one block."""
    return CUTS.sub("", marked(sealed)).replace("\0", "")


@pytest.mark.parametrize("returns", [False, True])
@pytest.mark.parametrize("step", [300, 2_000])
@pytest.mark.parametrize("name", LONG)
def test_the_parts_of_a_long_block_are_the_whole(name: str, step: int, returns: bool) -> None:
    text = LONG[name].replace("\n", "\r\n") if returns else LONG[name]
    sealed = pieces(text, step)
    assert [fault for piece in sealed for fault in Page(piece).faults] == []
    assert CUTS.search(marked(sealed))
    whole, parts = uncoloured(render(text)), put_together(sealed)
    if name.startswith("a paragraph"):
        whole, parts = words(whole), words(parts)
    assert parts == whole


@pytest.mark.parametrize("name", LONG)
def test_the_tail_of_a_long_block_is_short(name: str) -> None:
    if not name.startswith("a paragraph"):
        live, text = Live(), LONG[name]
        for end in range(0, len(text), 100):
            live.update(text[:end])
            assert end - live.sealed <= 1_600


@pytest.mark.parametrize(("name", "first"), [("a list with numbers", 7), ("a list with the same number", 1)])
def test_the_numbers_of_a_list_go_on(name: str, first: int) -> None:
    parts = pieces(LONG[name], 100)
    starts = [int(found) for found in re.findall(r'<ol [^>]*start="(\d+)"', "".join(parts))]
    items = [len(re.findall(r"<li>\s*(?:<p>)?item", part)) for part in parts]
    assert len(parts) >= 3
    assert sum(items) >= 290
    assert starts == [first + sum(items[:number]) for number in range(first == 1, len(parts))]


def test_code_goes_on_in_its_language_and_as_one_block() -> None:
    first, second, *_ = pieces(LONG["code"], 100)
    assert ">python<" in first
    assert ">python<" not in second
    assert second.count(">def<") >= 10
    assert "padding:0.5em 0.75em 0;" in first
    assert "padding:0 0.75em;" in second


def test_code_is_cut_where_it_starts_anew_else_not_within_a_string() -> None:
    assert all(piece.text.startswith("def f") for piece in map(Page, pieces(LONG["code"], 100)[1:]))
    text = "```py\n" + "x = 1\n" * 150 + 'y = """\n' + "word\n" * 60 + '"""\n' + "z = 1\n" * 100
    assert 'y = """' not in Page(pieces(text, 50)[0]).text or '"""\n' in Page(pieces(text, 50)[0]).text


def test_a_table_goes_on_without_its_head() -> None:
    sealed = "".join(pieces(LONG["a table"], 100))
    assert sealed.count("<thead") == 1
    assert sealed.count("<table") >= 2
    assert sealed.count("<tr>") == 201
    assert sealed.count('<td style="text-align:center">') == 200


def test_a_table_with_missing_cells_is_not_cut() -> None:
    """It may have only some of them: how many are left could not be told to the part below."""
    text = "| a | b | c |\n|---|---|---|\n" + "| 1 |\n" * 400
    assert pieces(text, 100) == [render(text)]


def test_items_of_a_list_stay_set_apart() -> None:
    sealed = pieces("- a\n\n" + "- word word word\n" * 300, 100)
    assert len(sealed) > 2
    assert joined(sealed).count("<li>\n<p>") == 301


def test_a_sealed_part_is_told_by_how_much_of_the_text_it_shows() -> None:
    live, text, sealed = Live(), LONG["code"], ""
    for end in range(0, len(text), 150):
        sealed += live.update(text[:end]).sealed
        assert words(Page(sealed).text) == words(text[: live.sealed].replace("```", ""))


# What all frames cost


def cost(text: str, step: int) -> tuple[int, int]:
    """How many characters of HTML all tails have, and how many characters were parsed."""
    live, html, before = Live(), 0, ""
    for end in range(step, len(text) + step, step):
        frame = live.update(text[:end])
        html += len(frame.tail) if frame.tail != before else 0
        before = frame.tail
    return html, live.work


@pytest.mark.parametrize("names", [(), ("Python", "tables")])
def test_a_reply_of_any_length_costs_the_same_per_character(names: tuple[str, ...]) -> None:
    short, large = long(14_000, *names), long(57_000, *names)
    html, work = cost(short, 100)
    assert html <= 20 * len(short)
    assert work <= 8 * len(short)
    more_html, more_work = cost(large, 100)
    assert more_html / len(large) <= 1.2 * html / len(short)
    assert more_work / len(large) <= 1.2 * work / len(short)


ENDLESS = {
    "an item": "- a\n" + "  - b **c**\n" * 5_000,
    "a quotation": "> word **word**\n" * 4_000,
    "a table with missing cells": "|a|b|\n|-|-|\n" + "|1\n" * 20_000,
    "a paragraph": "word **word** " * 4_000,
    "a line of code": "```py\n" + "x = 1; " * 8_000,
    "definitions": "[a]: https://a.example\n" * 2_500,
    "blank lines": "a\n" + "\n" * 50_000,
    "open emphasis": "*a **b " * 8_000,
    "open brackets": "[a " * 20_000,
    "open formulas": "\\(a" * 20_000,
    "dollars": "$x^" * 20_000,
    "ticks": "`a ``b " * 8_000,
}


@pytest.mark.parametrize("name", ENDLESS)
def test_the_cost_is_linear_in_the_number_of_frames_and_characters(name: str) -> None:
    for length in (3_000, 12_000):
        text = ENDLESS[name][:length]
        for spent in cost(text, 400):
            assert spent <= 16_000 * length / 400 + 50 * length + 2 * len(render(text))


def test_frames_that_cost_too_much_come_rarer_and_the_end_always() -> None:
    live, text = Live(), ENDLESS["a line of code"][:50_000]
    drawn = {live.update(text[:end]).tail for end in range(0, 16_000, 20)}
    assert len(drawn) > 700
    drawn = {live.update(text[:end]).tail for end in range(16_000, 50_000, 20)}
    assert 50 < len(drawn) < 34_000 / 20 / 4
    assert live.finish(text) == render(text)


def test_words_above_the_line_have_no_marks_while_they_come() -> None:
    text = "H<sub>2</sub>O"
    for end in range(1, len(text) + 1):
        assert Page(Live().update(text[:end]).tail).text.strip() in ("H", "H2", "H2O")
