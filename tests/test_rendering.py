"""Rendering: what markdown becomes, that nothing harmful gets through, and that streaming gives the same.

Whatever is rendered here is held against the short list of what may go out, written down a second time in `faults`.
"""

from __future__ import annotations

import html
import random
import re
from collections.abc import Iterator

import pytest

from hostile import REPLIES
from nbchat.rendering import LIMIT, Live, caption, render
from nbchat.rendering import code as code_module
from pages import FORMULA, Page, bare, faults, joined


def inner(text: str) -> str:
    """What a text becomes, but for how it looks, and without the element around it."""
    whole = render(text)
    assert faults(whole) == []
    return bare(whole)


def formulas(text: str) -> list[str]:
    return [html.unescape(found) for found in re.findall(rf'class="{FORMULA}">(.*?)</', inner(text), re.DOTALL)]


def pieces(text: str, sizes: Iterator[int]) -> Iterator[int]:
    """Where the text is cut when it comes in pieces of these sizes."""
    end = 0
    while end < len(text):
        end = min(len(text), end + next(sizes))
        yield end


def streamed(text: str, sizes: Iterator[int]) -> list[str]:
    """The sealed pieces of a text that came in pieces; each frame on the way is looked at."""
    live, sealed = Live(), []
    for end in pieces(text, sizes):
        frame = live.update(text[:end])
        assert faults(frame.sealed + frame.tail) == []
        sealed.append(frame.sealed)
    sealed.append(live.finish(text))
    return [piece for piece in sealed if piece]


def always(size: int) -> Iterator[int]:
    while True:
        yield size


def at_random(seed: int, most: int) -> Iterator[int]:
    chance = random.Random(seed)
    while True:
        yield chance.randint(1, most)


# What markdown becomes


BECOMES = {
    "a paragraph": ("a\nb", '<p dir="auto">a\nb</p>\n'),
    "a lowered heading": ("# a", '<h3 dir="auto">a</h3>\n'),
    "the lowest heading": ("##### a", '<h6 dir="auto">a</h6>\n'),
    "an underlined heading": ("a\n---", '<h4 dir="auto">a</h4>\n'),
    "emphasis": ("*a* **b** ~~c~~ `d`", '<p dir="auto"><em>a</em> <strong>b</strong> <s>c</s> <code>d</code></p>\n'),
    "open emphasis": ("**a", '<p dir="auto">**a</p>\n'),
    "HTML as text": ("a <b>c</b> &lt; &amp;", '<p dir="auto">a &lt;b&gt;c&lt;/b&gt; &lt; &amp;</p>\n'),
    "a hard break": ("a<br>b<BR />c", '<p dir="auto">a<br>\nb<br>\nc</p>\n'),
    "a quotation": ("> a", '<blockquote>\n<p dir="auto">a</p>\n</blockquote>\n'),
    "a rule": ("---", "<hr>\n"),
    "a list that starts late": ("3. a\n4. b", '<ol start="3" dir="auto">\n<li>a</li>\n<li>b</li>\n</ol>\n'),
    "nested lists": (
        "- a\n  1. b\n     - c\n- d",
        '<ul dir="auto">\n<li>a\n<ol>\n<li>b\n<ul>\n<li>c</li>\n</ul>\n</li>\n</ol>\n</li>\n<li>d</li>\n</ul>\n',
    ),
    "tasks": ("- [ ] a\n- [x] b\n- [y] c", '<ul dir="auto">\n<li>☐ a</li>\n<li>☑ b</li>\n<li>[y] c</li>\n</ul>\n'),
    "code without a language": (
        "```\na < b\n```",
        '<div class="highlight" dir="ltr"><pre><code>a &lt; b\n</code></pre></div>\n',
    ),
    "code in no known language": (
        "```qqq\na\n```",
        '<div class="highlight" dir="ltr"><span>qqq</span><pre><code>a\n</code></pre></div>\n',
    ),
    "an open fence": (
        "```python\nTrue",
        '<div class="highlight" dir="ltr"><span>python</span><pre><code><b class="kc">True</b></code></pre></div>\n',
    ),
    "an empty fence": (
        "```python\n```",
        '<div class="highlight" dir="ltr"><span>python</span><pre><code></code></pre></div>\n',
    ),
    "code that starts with an empty line": (
        "```\n\na\n```",
        '<div class="highlight" dir="ltr"><pre><code>\na\n</code></pre></div>\n',
    ),
    "indented code": ("    a < b", '<div class="highlight" dir="ltr"><pre><code>a &lt; b\n</code></pre></div>\n'),
    "right to left": (
        "مرحبا\n\n- שלום",
        '<p dir="rtl">مرحبا</p>\n<ul dir="rtl">\n<li>שלום</li>\n</ul>\n',
    ),
    "emphasis beside scripts without spaces": (
        "**意：**请**「本」**です *(주)*를 ~~删。~~后 中**",
        '<p dir="auto"><strong>意：</strong>请<strong>「本」</strong>です <em>(주)</em>를 <s>删。</s>后 中**</p>\n',
    ),
    "CJK and emoji": ("你好，**世界** 👩‍👩‍👧 é", '<p dir="auto">你好，<strong>世界</strong> 👩‍👩‍👧 é</p>\n'),
    "returns": ("a\r\n\r\nb\rc", '<p dir="auto">a</p>\n<p dir="auto">b\nc</p>\n'),
    "half a surrogate pair": ("a\ud83d", '<p dir="auto">a\ufffd</p>\n'),
    "a null": ("a\0b", '<p dir="auto">a\ufffdb</p>\n'),
}


@pytest.mark.parametrize("name", BECOMES)
def test_markdown_becomes_html(name: str) -> None:
    text, expected = BECOMES[name]
    assert inner(text) == expected


def test_a_table_is_aligned_as_it_says_and_else_at_the_start() -> None:
    table = render("| a | b | c | d |\n|---|:--|:-:|--:|\n| 1 | `x\\|y` | **3** |")
    assert re.findall(r"<th style=\"text-align:(\w+)\">(\w)", table) == [
        ("left", "a"),
        ("left", "b"),
        ("center", "c"),
        ("right", "d"),
    ]
    assert '<td style="text-align:left"><code>x|y</code></td>' in table
    assert '<td style="text-align:right"></td>' in table


ROWS = {
    "formulas": (r"| $P(A|B)$ | \(\ln |x|\) |", [r"\(P(A|B)\)", r"\(\ln |x|\)"]),
    "more formulas": (r"| $|x|$ | $$|x| + \|y\|$$ |", [r"\(|x|\)", r"\[|x| + |y|\]"]),
    "formulas among prices": ("|$5|$x_1|y$|", ["$5", r"\(x_1|y\)"]),
    "prices": ("|$5|$6|", ["$5", "$6"]),
    "variables": ("|$a|$b|", ["$a", "$b"]),
    "code": ("| `$a` | `$b` |", ["<code>$a</code>", "<code>$b</code>"]),
    "an open formula": (r"| \(a | b\[ |", ["(a", "b["]),
    "an endless formula": (r"| \(" + "a" * 1_000 + r"|b\) |", ["(" + "a" * 1_000, "b)"]),
}


@pytest.mark.parametrize("name", ROWS)
def test_bars_of_formulas_end_no_cells(name: str) -> None:
    row, cells = ROWS[name]
    found = re.findall(r"<td[^>]*>(.*)</td>", inner(f"| a | b |\n|---|---|\n{row}"))
    assert [re.sub(rf'<span class="{FORMULA}">(.*)</span>', r"\1", cell) for cell in found] == cells


def test_a_table_with_formulas_in_its_head_is_whole() -> None:
    assert inner("| $|x|$ | $|y|$ |\n|---|---|\n" + "| $|a|$ | b |\n" * 300).count("<tr>") == 301


def test_code_is_coloured_by_classes() -> None:
    code = inner("```Python title=x\ndef f(x):\n    return 'a$b' # <c>\n```")
    assert '<span>Python</span><pre><code><b class="k">def</b> <span class="nf">f</span>' in code
    assert '<i class="c1"># &lt;c&gt;</i>' in code


def test_unfinished_code_is_not_marked_as_wrong() -> None:
    assert 'class="err"' not in inner("```python\nx = 'abc")


@pytest.mark.parametrize(
    "language", ["python", "c++", "C#", "html", "json", "bash", "console", "diff", "yaml", "js", "tex"]
)
def test_colouring_keeps_the_code(language: str) -> None:
    code = "".join(f'if a{number} < b: # "x" $y {{z}} <br> \\n\n\n  \tc &amp; d\n' for number in range(300))
    assert Page(render(f"```{language}\n{code}```")).text == f"{language}{code}\n\n"


def test_code_past_the_patience_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_module, "_PATIENCE", -1)
    assert inner("```python\nTrue\n```").endswith("<pre><code>True\n</code></pre></div>\n")


def test_endless_lines_of_code_are_plain() -> None:
    assert "<b" not in inner("```python\n" + "True " * 500 + "\n```")


LINKS = {
    "[a](https://b.example/c?d=e&f#g)": "https://b.example/c?d=e&f#g",
    "[a](MAILTO:b@c.example)": "MAILTO:b@c.example",
    "<https://b.example>": "https://b.example",
    "<b@c.example>": "mailto:b@c.example",
    "see http://b.example.": "http://b.example",
    "(https://b.example/c_(d)), and": "https://b.example/c_(d)",
    "**https://b.example/c_d_e**": "https://b.example/c_d_e",
    "请看https://b.example/c。谢谢": "https://b.example/c",
    "HTTPS://b.example": "HTTPS://b.example",
    "(www.b.example/c_d?e=f&g), and": "http://www.b.example/c_d?e=f&g",
    "请看www.b.example。谢谢": "http://www.b.example",
    "mail a_b+c@d-e.example.": "mailto:a_b+c@d-e.example",
    "[a][b]\n\n[b]: https://c.example 'd'": "https://c.example",
    "[a]\n\n[A]: <https://c.example>": "https://c.example",
    "![a](https://b.example/c.png)": "https://b.example/c.png",
    "[![a](https://b.example/c.png)](https://d.example)": "https://d.example",
}


@pytest.mark.parametrize("text", LINKS)
def test_links_to_the_web_and_to_mail(text: str) -> None:
    assert re.findall(r'<a href="([^"]*)" target="_blank" rel="noopener noreferrer">', inner(text)) == [
        html.escape(LINKS[text])
    ]


@pytest.mark.parametrize(
    "target", ["c.md", "#d", "/e", "//f.example", "javascript:g", "data:h", "file:///i", "ftp://j"]
)
def test_of_other_links_the_words_remain(target: str) -> None:
    assert inner(f"[a **b**]({target}) ![c]({target})") == '<p dir="auto">a <strong>b</strong> 🖼 c</p>\n'


def test_no_address_within_a_word_or_a_link() -> None:
    for text in ("xhttps://a.example", "xwww.a.example", "a@b", "@a/b@1.c-3", "`www.a.example`", "[www.a.example](b)"):
        assert "<a" not in inner(text)
    assert inner("[https://a.example](https://b.example)").count("<a") == 1
    assert inner("[www.a.example](https://b.example)").count("<a") == 1


# Formulas and money


FORMULAS = {
    "$x$": [r"\(x\)"],
    r"\(x\)": [r"\(x\)"],
    "$$x$$": [r"\[x\]"],
    r"a \[ x \] b": [r"\[x\]"],
    "$a_1*b_1*c$ *d*": [r"\(a_1*b_1*c\)"],
    r"$\frac{a}{b} \\ \{c\}$": [r"\(\frac{a}{b} \\ \{c\}\)"],
    r"$a < b & c$": ["\\(a < b & c\\)"],
    r"$\text{if } x$": [r"\(\text{if } x\)"],
    r"$10 \text{ kg}$, $5$, $2x$": [r"\(10 \text{ kg}\)", r"\(5\)", r"\(2x\)"],
    "the $n$th, ($a$, $b$), $x$-axis": [r"\(n\)", r"\(a\)", r"\(b\)", r"\(x\)"],
    r"$\$5$": [r"\(\$5\)"],
    "公式$x$是": [r"\(x\)"],
    "$$\na_1 &= b \\\\\n- c\n= d\n$$": ["\\[a_1 &= b \\\\\n- c\n= d\\]"],
    "so:\n\\[\nx\n\\]\nthen": [r"\[x\]"],
    "\\[\nx \\\\[2pt]\ny\n\\]": ["\\[x \\\\[2pt]\ny\\]"],
    "- a\n\n  $$\n  x\n  $$\n- b": [r"\[x\]"],
    "> $$\n> x\n> y\n> $$": ["\\[x\ny\\]"],
    "| a |\n|---|\n| $x$ |": [r"\(x\)"],
    "# $x$": [r"\(x\)"],
    "[$x$](https://a.example)": [r"\(x\)"],
}

NO_FORMULAS = [
    "It costs $5 and $10.",
    "$5-$10, $5/$10 or 5$",
    "US$5, or A$7.",
    "$5 for me and 10$ for you",
    "from $1,000 to $2,000, or $3k",
    "set $HOME and $PATH, or $HOME/$USER:$x",
    "echo $$ shows it; $$ is its number",
    r"\$x\$ and \\(x\\)",
    "`$x$` and ``\\(x\\)``",
    "```tex\n$x$ \\[y\\]\n```",
    "    $x$",
    "a $ b $ c",
    "$$ $$",
    "$x\n\ny$",
    "$$\nx\n\ny\n$$",
    "$$\nx",
    r"\(x",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_reach_mathjax_as_they_are(text: str) -> None:
    assert formulas(text) == FORMULAS[text]


@pytest.mark.parametrize("text", NO_FORMULAS)
def test_dollars_that_are_no_formula(text: str) -> None:
    assert formulas(text) == []


def test_a_formula_that_could_do_something_is_shown_as_code() -> None:
    assert inner(r"$\href{x}{y}$") == r'<p dir="auto"><code>$\href{x}{y}$</code></p>' + "\n"
    assert r"<pre><code>$$" in inner("$$\n\\style{x}{y}\n$$")


def test_words_above_and_below_the_line() -> None:
    assert "H<sub>2</sub>O, m<sup>2</sup>" in inner("H<sub>2</sub>O, m<sup>2</sup>")
    assert "**x<sub><em>i</em></sub> y" in inner("**x<sub>*i*</sub> y")
    assert "&lt;sub onclick=run()&gt;" in inner("<sub onclick=run()>a</sub>")
    assert "&lt;sub&gt;a&lt;/sup&gt;" in inner("<sub>a</sup>")


@pytest.mark.parametrize("name", ["equation", "align*", "gather"])
def test_an_environment_needs_no_marks_around_it(name: str) -> None:
    tex = f"\\begin{{{name}}}\na_1 &= b_1 \\\\\nc &= d\n\\end{{{name}}}"
    assert formulas(f"Text\n{tex}\nmore *text*") == [f"\\[{tex}\\]"]
    assert "\\[" not in inner(f"Text\n{tex.removesuffix('}')}")


def test_an_environment_that_is_no_formula_is_text() -> None:
    assert "mathjax_process" not in inner("\\begin{verbatim}\nx\n\\end{verbatim}")
    assert "mathjax_process" not in inner("\\begin{align}\n\\href{x}{y}\n\\end{align}")


def test_a_label_is_left_out_of_a_formula() -> None:
    assert formulas("$$\n\\begin{align}\na &= b \\label{eq:one.a} \\\\ c\n\\end{align}\n$$") == [
        "\\[\\begin{align}\na &= b   \\\\ c\n\\end{align}\\]"
    ]
    assert formulas(r"$\hr\label{x}ef{x}{y}$") == [r"\(\hr ef{x}{y}\)"]
    assert formulas(r"$\label{\href{x}{y}}$") == []


@pytest.mark.parametrize("tex", [r"\rule{1em}[2em]{9999em}", r"\kern-100.5in x", r"\raise 1000 pt x", r"a\\[900em]b"])
def test_a_formula_larger_than_a_page_is_shown_as_code(tex: str) -> None:
    assert f"<code>${tex}$</code>" in inner(f"${tex}$")


@pytest.mark.parametrize("tex", [r"\rule{1em}{2em} 1000", r"\kern 99in", r"h = 150 cm", r"\hspace{1cm} 1000"])
def test_a_formula_with_large_numbers_is_one(tex: str) -> None:
    assert formulas(f"${tex}$") == [f"\\({tex}\\)"]


@pytest.mark.parametrize(
    "command", [r"\text{x}", r"\left( x \right)", r"a \newline b", r"\hrefs", r"\delta", r"\\href"]
)
def test_commands_that_look_like_dangerous_ones(command: str) -> None:
    assert formulas(f"${command}$")


# What means harm


@pytest.mark.parametrize("number", range(len(REPLIES)))
def test_nothing_harmful_gets_through(number: int) -> None:
    text = f"Before.\n\n{REPLIES[number]}\n\nAfter."
    assert faults(render(text)) == []
    assert faults(render(REPLIES[number])) == []
    for sizes in (always(1), always(7), at_random(number, 20)):
        assert joined(streamed(text, sizes)) == render(text) or "]:" in text


def test_all_harmful_replies_in_one() -> None:
    text = "\n".join(REPLIES)
    assert faults(render(text)) == []
    assert faults(render("".join(REPLIES))) == []
    assert faults("".join(streamed(text, at_random(1, 400)))) == []


@pytest.mark.parametrize(
    "source",
    [
        "<script>alert(1)</script>",
        '<p onclick="x">a</p>',
        '<p style="color:red">a</p>',
        '<p id="x">a</p>',
        '<span class="jp-Cell">a</span>',
        '<a href="javascript:x" rel="noopener noreferrer">a</a>',
        '<a href="//x" rel="noopener noreferrer">a</a>',
        '<a href="https://x">a</a>',
        '<img src="x">',
        "<!-- x -->",
        "<p>a",
        "</p>",
        rf'<span class="{FORMULA}">\(\href{{x}}{{y}}\)</span>',
        rf'<span class="{FORMULA}">\(<b>x</b>\)</span>',
        '<p data-commandlinker-command="x">a</p>',
    ],
)
def test_the_check_sees_what_is_harmful(source: str) -> None:
    assert faults(f'<div class="nbchat-reply mathjax_ignore tex2jax_ignore">{source}</div>')
    assert faults(source)


def test_a_caption_is_text() -> None:
    made = caption("a $x$ **b** <script>\ud800").replace(' style="margin:0;opacity:0.7"', "")
    assert faults(made) == []
    assert "<p><small>a $x$ **b** &lt;script&gt;\ufffd</small></p>" in made


# While it streams


REPLY = """# Title

A paragraph with **bold**, `code`, $x_1$ and $5, and
a [link](https://a.example/b), on two lines.

| a | b |
|---|--:|
| 1 | 2 |
| 3 | $y$ |

1. One

   ```python
   def f():
       return 1

   f()
   ```

2. Two
   - [x] nested
   - https://b.example/c.
### No blank line before
```js
let x = `a`;

// after a blank line
```
$$
\\begin{aligned}
a &= b \\\\
c &= d
\\end{aligned}
$$

> A quotation
goes on

Setext
======

\\[ x \\]

[r]: https://c.example "title"
The end: مرحبا, 你好, 👋🏽.
"""

ATOMS = [*"*_`[]()|=-!\\{}$aé\t\r\n\n\n\0\ud83d", "- ", "* ", "1. ", "2. ", "10) ", "# ", "## ", "> ", "+ ", "[ ] "]
ATOMS += ["```", "```py\n", "~~~", "$$", "\\[", "\\]", "\\(", "\\)", "---", "===", "  ", "    ", "**", "~~", "\\\\"]
ATOMS += ["[x](http://y)", "![i](http://z)", "<br>", "http://a.b/c", "x=1", "$x$", "<b>", "&amp;", "你好", "😀"]
ATOMS += ["text\n", "some words", "| a | b |\n", "|-|-|\n", "\n\n", "\n\n", "\r\n", "$$\nx\n$$\n", "\\[\nx\n\\]\n"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 10_000])
def test_a_reply_in_pieces_becomes_what_it_becomes_as_a_whole(size: int) -> None:
    for text in (REPLY, REPLY.replace("\n", "\r\n")):
        parts = streamed(text, always(size))
        assert joined(parts) == render(text)
        assert len(parts) > 8 or size > 7


def test_each_frame_holds_what_came() -> None:
    live, sealed = Live(), ""
    for end in range(1, len(REPLY) + 1):
        frame = live.update(REPLY[:end])
        sealed += frame.sealed
        word = REPLY[:end].split()[-1] if REPLY[:end].split() else ""
        assert not re.fullmatch(r"[a-z]{3,}", word) or word in Page(sealed + frame.tail).text


@pytest.mark.parametrize("seed", range(300))
def test_any_text_in_pieces_becomes_what_it_becomes_as_a_whole(seed: int) -> None:
    chance = random.Random(seed)
    text = "".join(chance.choices(ATOMS, k=chance.choice([5, 20, 60])))
    assert faults(render(text)) == []
    assert joined(streamed(text, at_random(seed, chance.choice([1, 5, 30])))) == render(text)


def test_a_block_is_sealed_once_it_is_done() -> None:
    live, a, b = Live(), render("a"), render("b")
    assert live.update("a\n\n") == ("", a)
    assert live.update("a\n\nb") == ("", render("a\n\nb"))
    assert live.sealed == 0
    assert live.update("a\n\nb\n") == (a, b)
    assert live.sealed == 3
    assert live.update("a\n\nb\n") == ("", b)
    assert live.finish("a\n\nb\n") == b
    assert live.sealed == 5


@pytest.mark.parametrize(
    "text",
    [
        "1. a\n\n2",  # may become the list's next item
        "a\n| b |\n|-|",  # a table, but perhaps not yet all of its second line
        "$$\n# a\nb",  # a formula, if it is closed
        "a\n-",  # a heading, or a list
        "```\na\n\nb",
    ],
)
def test_nothing_is_sealed_before_it_is_sure(text: str) -> None:
    assert Live().update(text).sealed == ""


def test_no_text_is_nothing() -> None:
    assert render("") == ""
    live = Live()
    assert live.update("") == ("", "")
    assert live.update("\n \r") == ("", "")
    assert live.finish("\n \r") == ""


def test_a_link_by_reference_is_one_as_soon_as_its_definition_has_come() -> None:
    parts = streamed("[a]: https://a.example\n\n[a]\n\n[b]\n\nc\n\n[b]: https://b.example\n", always(1))
    assert ["https://a.example" in part for part in parts] == [True, False, False]
    assert not any('<a href="https://b.example' in part for part in parts)
    assert render("[b]\n\n[b]: https://b.example").count("<a") == 1


def test_half_a_definition_is_not_kept() -> None:
    live, text = Live(), "[a]\n\nb\n\n[a]: https://a.example/long\n\n[a]\n\n"
    for end in range(len(text) + 1):
        live.update(text[:end])
    assert 'href="https://a.example/long"' in live.finish(text)


# What is too much


def test_a_text_past_the_limit_is_plain_with_a_word_about_it() -> None:
    text = "# a & <b>\n" + "x" * LIMIT
    assert faults(render(text)) == []
    word, *parts = Page(render(text)).text.split("\n", maxsplit=1)
    assert word == f"This reply has more than {LIMIT:,} characters; they are shown as plain text."
    assert "".join(parts).replace("x\nx", "xx").strip() == text


def test_a_reply_that_grows_past_the_limit_goes_on_as_plain_text() -> None:
    text = "**a** line of text, and <more> of it\n\n" * (LIMIT // 30) + "*end* \ud800"
    parts = streamed(text, always(1999))
    shown = Page("".join(parts)).text
    assert shown.count("are shown as plain text") == 1
    assert len(re.findall(r"a(\*\*)? line of text, and <more> of it", shown)) == LIMIT // 30
    assert "*end* \ufffd" in shown


def test_a_paragraph_that_nobody_reads_has_no_markup() -> None:
    assert inner("**a** " * 2_000).count("<strong>") == 0
    assert inner("**a** " * 1_000).count("<strong>") == 1_000
    assert inner("[a](https://b.example) www.b.example " * 400).count("<a") == 0
    assert inner("[a](https://b.example) " * 200).count("<a") == 200


DEEP = {
    "quotations": ">" * 50_000,
    "lists": "- " * 25_000,
    "indented lists": "".join("  " * depth + "- a\n" for depth in range(300)),
    "brackets": "[" * 50_000,
    "nested brackets": "[" * 3_000 + "]" * 3_000,
    "nested images": "![" * 1_000 + "](https://a.example)" * 1_000,
    "images": "![" * 25_000,
    "links": "[a](" * 12_000,
    "stars": "*" * 50_000,
    "emphasis": "*a **b " * 7_000,
    "dollars": "$" * 50_000,
    "open formulas": "\\(a" * 15_000,
    "open displays": "\\[\n" * 15_000,
    "more displays": "$$x\n" * 12_000,
    "backticks": "".join("`" * length + "a" for length in range(300)),
    "fences": "```py\n" * 8_000,
    "hosts": "www." + "a." * 45_000,
    "angles": "<a " * 15_000,
    "definitions": "[a]: b\n" * 7_000,
    "backslashes": "\\" * 50_000,
    "newlines": "\n" * 50_000,
    "tables": "|a|\n|-|\n" * 6_000,
    "tables and headings": "|a|\n|-|\n# |b|\n" * 6_500,
    "rows of open formulas": "|a|\n|-|\n" + ("|" + "\\(a" * 300 + "\n") * 100,
    "entities": "&amp;" * 10_000,
    "harmful code": "```csharp\n" + "a\n" * 24_000,
    "more harmful code": "```matlab\n" + "\n" * 20_000,
    "code in an endless line": "```ini\n" + "=" * 40_000,
}


@pytest.mark.parametrize("name", DEEP)
def test_texts_made_to_take_long_come_back(name: str) -> None:
    """Without a guard the time grows with the square or the cube of the length: minutes, past the time limit."""
    text = DEEP[name]
    assert faults(render(text)) == []
    assert faults("".join(streamed(text, always(10_000)))) == []


SWOLLEN = {
    "a table of empty cells": "|" + "a|" * 200 + "\n|" + "-|" * 200 + "\n" + "|\n" * 10_000,
    "many tables of empty cells": ("|" + "a|" * 100 + "\n|" + "-|" * 100 + "\n" + "|\n" * 20 + "\n") * 50,
    "a long definition": "[a]: https://a.example/" + "x" * 20_000 + "\n\n" + "[a] " * 2_000 + "\n\n[a]" * 2_000,
    "a long title": "[a]: https://a.example '" + "x" * 20_000 + "'\n\n" + "[a] " * 2_000,
    "a long image": "[a]: https://a.example/" + "x" * 20_000 + "\n\n" + "![a] " * 2_000,
}


@pytest.mark.parametrize("name", SWOLLEN)
def test_a_short_text_does_not_become_very_much(name: str) -> None:
    text = SWOLLEN[name]
    assert len(render(text)) <= 50 * len(text)
