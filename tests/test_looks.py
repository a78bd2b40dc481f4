"""The looks of what is rendered: fixed styles and nothing else, directions, the pieces of code, the folded thoughts.

What only a page can show is looked at in JupyterLab: that pieces stand as the whole does, that wide things scroll
within the output, and that a notebook that is not trusted looks the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

from hostile import REPLIES
from nbchat.rendering import Live, asides, caption, quote, reasoning, render
from nbchat.rendering.clean import clean
from nbchat.rendering.code import code
from pages import Page, faults

if TYPE_CHECKING:
    from labs import Lab

APART = "margin:0 0 1em"
HEADING = "margin:0 0 0.5em;padding:0.5em 0 0;font-weight:bold"
SHADE = "background:rgba(128,128,128,0.08)"
PRE = "margin:0;padding:0;border:0;background:none"
STYLES = {
    "p": {
        *(f"{margin}{side}" for margin in (APART, "margin:0") for side in ("", ";text-align:right")),
        "text-align:right",
        "margin:0;opacity:0.7",
    },
    "h3": {f"{HEADING};font-size:1.3em"},
    "h4": {f"{HEADING};font-size:1.15em"},
    "h5": {f"{HEADING};font-size:1em"},
    "h6": {f"{HEADING};font-size:0.9em"},
    "ul": {APART, "margin:0"},
    "ol": {APART, "margin:0"},
    "hr": {APART},
    "li": {"list-style-type:none"},
    "blockquote": {"margin:0 2em 1em", "margin:0 2em"},
    "div": {
        f"margin:0 0 1em;padding:0.5em 0.75em;{SHADE}",
        f"margin:0;padding:0.5em 0.75em 0;{SHADE}",
        f"margin:0;padding:0 0.75em;{SHADE}",
        f"margin:0 0 1em;padding:0 0.75em 0.5em;{SHADE}",
        "margin:0 0 1em;overflow-x:auto",
        "margin:0 0 0.5em;overflow-x:auto;overflow-y:hidden",
        "padding:0.5em 0 0",
    },
    "pre": {
        f"{PRE};overflow-x:auto",
        f"{PRE};overflow-x:auto;scrollbar-width:none",
        f"{PRE};white-space:pre-wrap",
        f"{PRE};white-space:pre-wrap;content-visibility:auto;contain-intrinsic-size:auto 6000px",
    },
    "code": {"padding:0;background:none;white-space:pre"},
    "span": {"display:block;font-size:0.85em;opacity:0.7;user-select:none;-webkit-user-select:none"},
    "table": {"margin:0"},
    "th": {"text-align:left", "text-align:center", "text-align:right"},
    "td": {"text-align:left", "text-align:center", "text-align:right"},
    "details": {
        "margin:0 0 1em;padding:0 0 0 0.75em;border-left:3px solid rgba(128,128,128,0.4);font-size:0.9em",
    },
    "summary": {"display:list-item;cursor:pointer"},
}
"""The list of styles, written down a second time."""
EVERY = sorted({style for styles in STYLES.values() for style in styles})

REPLY = r"""# One

A paragraph.

## Two

```python
if x:  # a comment
    return [x for x in range(10)], "a line that is far too long for the window of a small screen, and so it scrolls", 10
```

### Three

| a_column_with_a_long_name | another_column_with_one | and_a_third_column_with_a_long_name | and_one_column_more |
|---|---|---|---|
| 1 | 2 | 3 | 4 |

#### Four

- [ ] to do
- [x] done

1. one

> A quotation
>
> - of a list

$$
x = aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa + bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb + ccccccccccccccccccccccccccccccc
$$

---

https://a.example/an/address/that/is/much/too/long/for/one/line/and/has/no/place/to/break/it/at/all/wherever/you/look

مرحبا: `f(x)`, $y$.

The end.
"""


# Fixed styles, and nothing else


@pytest.mark.parametrize("tag", STYLES)
def test_only_the_listed_styles_of_a_tag_go_out(tag: str) -> None:
    def kept(style: str) -> bool:
        made = f'<{tag} style="{style}">' if tag == "hr" else f'<{tag} style="{style}">x</{tag}>'
        within = {"th": "tr", "td": "tr", "tr": "table", "summary": "details", "li": "ul"}
        opening = closing = ""
        parent = within.get(tag, "")
        while parent:
            opening, closing = f"<{parent}>{opening}", f"{closing}</{parent}>"
            parent = within.get(parent, "")
        return f' style="{style}"' in clean(opening + made + closing)

    assert {style for style in EVERY if kept(style)} == STYLES[tag]
    for style in STYLES[tag]:
        assert not kept(f"{style};color:red")
        assert not kept(f"{style} ")


def test_no_other_tag_has_styles() -> None:
    for tag in ("a", "em", "strong", "s", "b", "i", "small"):
        assert "style" not in clean("".join(f'<{tag} style="{style}">x</{tag}>' for style in EVERY))


def test_the_host_s_table_of_contents_is_left_alone() -> None:
    assert re.findall(r"<h(\d)[^>]* class=\"tocSkip\"", render(REPLY)) == ["3", "4", "5", "6"]


# Code


def test_code_says_its_language_apart_from_it() -> None:
    made = render("```Python title='x'\nTrue\n```")
    assert re.search(r'user-select:none">Python</span><pre [^>]*><code [^>]*><b class="kc">True</b>', made)


@pytest.mark.parametrize("info", ["", "{=html}", '"><b>', "../x", "x" * 31, "😀"])
def test_what_is_no_name_of_a_language_is_not_shown(info: str) -> None:
    assert Page(render(f"```{info}\na\n```")).text == "a\n\n\n"


def test_pieces_of_code_are_one_block() -> None:
    pieces = [
        code("a\n", {}, "py", below=True),
        code("b\n", {}, "py", above=True, below=True),
        code("c\n", {}, "py", above=True),
    ]
    assert ["py</span>" in piece for piece in pieces] == [True, False, False]
    assert ["scrollbar-width:none" in piece for piece in pieces] == [True, True, False]
    assert [re.findall(r"<div [^>]*(margin:[^;]*;padding:[^;]*)", piece) for piece in pieces] == [
        ["margin:0;padding:0.5em 0.75em 0"],
        ["margin:0;padding:0 0.75em"],
        ["margin:0 0 1em;padding:0 0.75em 0.5em"],
    ]
    assert all(clean(piece) == piece for piece in pieces)


def test_where_no_style_sheet_knows_the_classes_keywords_and_comments_stand_out() -> None:
    made = render("```python\nfrom x import y  # why\na = not None\n```\n\n```c\n#include <x.h>\nint a; /* b */\n```")
    assert re.findall(r"<b [^>]*>([^<]*)</b>", made) == ["from", "import", "not", "None", "int"]
    assert re.findall(r"<i [^>]*>([^<]*)</i>", made) == ["# why", "#include", "&lt;x.h&gt;", "\n", "/* b */"]


# Right to left


DIRECTIONS = {
    "no letters": ("123", ["auto"]),
    "left to right": ("a `b`", ["auto"]),
    "right to left": ("1. مرحبا", ["rtl"]),
    "by its first letter": ("(hello) مرحبا", ["ltr"]),
    "of its words, not of code": ("`code` مرحبا", ["rtl", "ltr"]),
    "of its words, not of a formula": ("$x$ שלום $y$", ["rtl", "ltr", "ltr"]),
    "a heading": ("# مرحبا", ["rtl"]),
    "a list is one": ("- مرحبا\n- hello\n  - hello", ["rtl"]),
    "but not its paragraphs": ("- hello\n\n- مرحبا", ["ltr", "rtl"]),
    "a table is one, cells may differ": ("| a | مرحبا |\n|---|---|\n| b | 1 |", ["ltr", "rtl"]),
    "quoted blocks are each their own": ("> مرحبا\n>\n> hello\n>\n> > مرحبا", ["rtl", "auto", "rtl"]),
    "code": ("```\nمرحبا\n```", ["ltr"]),
    "code in a list": ("- مرحبا\n\n  ```\n  x\n  ```", ["rtl", "ltr"]),
}


@pytest.mark.parametrize("name", DIRECTIONS)
def test_directions(name: str) -> None:
    text, expected = DIRECTIONS[name]
    assert re.findall(r'dir="(\w+)"', render(text)) == expected
    assert faults(render(text)) == []


def test_alignment_follows_the_direction_of_the_block() -> None:
    assert re.findall(r"text-align:(\w+)", render("| مرحبا | b | c |\n|---|:-:|---|\n| 1 | 2 |")) == (
        ["right", "center", "right"] * 2
    )
    assert render("- مرحبا\n\n- hello").count("text-align:right") == 2
    assert "text-align" not in render("- hello\n\n- مرحبا")


@pytest.mark.parametrize("size", [1, 3, 20])
def test_directions_are_the_same_while_it_streams(size: int) -> None:
    text = "hello\n\nمرحبا `x`\n\n- hello\n- مرحبا\n\n> שלום\n\nend\n"
    live, shown = Live(), ""
    for end in range(size, len(text) + size, size):
        shown += live.update(text[:end]).sealed
    shown += live.finish(text)
    assert re.findall(r'dir="(\w+)"', shown) == re.findall(r'dir="(\w+)"', render(text))


# Beside the reply


def test_reasoning_is_folded_markdown() -> None:
    made = reasoning("First *this*.\n\n```py\nTrue\n```", "Thought for <3 s>")
    assert faults(made) == []
    assert re.search(r"<details style=[^>]*><summary [^>]*>Thought for &lt;3 s&gt;</summary>", made)
    assert "First <em>this</em>." in made
    assert '<b class="kc">True</b>' in made


def test_no_thoughts_are_nothing() -> None:
    assert reasoning("") == ""
    assert reasoning(" \n") == ""


def test_very_long_thoughts_are_plain() -> None:
    made = reasoning("**a** " * asides._LONGEST_REASONING)
    assert faults(made) == []
    assert "<strong>" not in made
    assert "<details" in made


@pytest.mark.parametrize("number", range(len(REPLIES)))
def test_thoughts_that_mean_harm(number: int) -> None:
    assert faults(reasoning(REPLIES[number], REPLIES[number])) == []
    assert faults(caption(REPLIES[number]) + quote(REPLIES[number])) == []


def test_a_reply_cannot_fold_itself() -> None:
    made = render("<details open><summary>x</summary>\n\ny\n\n</details>")
    assert "<details" not in made
    assert "<summary" not in made


# In JupyterLab


SETUP = f"""
from IPython.display import display
from nbchat.rendering import reasoning, render
from nbchat.rendering.markdown import parse
REPLY = {REPLY!r}
def show(html):
    display({{"text/html": html}}, raw=True)
"""
WHOLE = "show(reasoning('**why**') + render(REPLY))"
PIECES = """
lines = REPLY.splitlines(True)
starts = [token.map[0] for token in parse(REPLY, {}) if token.level == 0 and token.map and token.nesting >= 0]
for start, end in zip(starts, [*starts[1:], len(lines)]):
    show(render("".join(lines[start:end])))
"""
PLACES = """output => {
    const top = output.getBoundingClientRect().top;
    return [...output.querySelectorAll('.nbchat-reply > *')].map(block => {
        const place = block.getBoundingClientRect();
        return [block.tagName, Math.round(place.top - top), Math.round(place.height)];
    });
}"""
WITHIN = ".nbchat-reply *:not(mjx-container, mjx-container *)"
STYLED = f"""output => [...output.querySelectorAll('.nbchat-reply, {WITHIN}')]
    .map(element => element.tagName + ' ' + (element.getAttribute('style') ?? ''))"""


def test_pieces_stand_where_they_stand_in_the_whole(lab: Lab) -> None:
    lab.open([SETUP, "show(render(REPLY))", PIECES])
    lab.run_all()
    for index in (1, 2):
        _typeset(lab, index)
    whole, pieces = lab.output(1).evaluate(PLACES), lab.output(2).evaluate(PLACES)
    assert len(whole) == 15
    assert [block[0] for block in pieces] == [block[0] for block in whole]
    assert all(abs(mine[1] - its[1]) <= 1 for mine, its in zip(whole, pieces, strict=True))


def test_wide_things_scroll_within_the_output_and_the_page_does_not(lab: Lab) -> None:
    lab.page.set_viewport_size({"width": 420, "height": 900})
    lab.open([SETUP, WHOLE])
    lab.command("application:toggle-left-area")
    lab.run_all()
    _typeset(lab, 1)
    wider = "elements => elements.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.tagName)"
    assert lab.output(1).locator(WITHIN).evaluate_all(wider) == ["PRE", "DIV", "DIV"]
    assert lab.output(1).locator(".nbchat-reply").evaluate_all(wider) == []
    assert lab.page.locator(".jp-OutputArea-output").evaluate_all(wider) == []


def test_code_is_selected_without_its_language(lab: Lab) -> None:
    lab.open([SETUP, "show(render('before\\n\\n```python\\nx = 1\\n```\\n\\nafter'))"])
    lab.run_all()
    lab.output(1).locator(".nbchat-reply").wait_for()
    lab.output(1).locator(".nbchat-reply").evaluate("reply => getSelection().selectAllChildren(reply)")
    selected = lab.page.evaluate("getSelection().toString()")
    assert [line for line in selected.split("\n") if line] == ["before", "x = 1", "after"]


def test_a_notebook_that_is_not_trusted_looks_the_same(lab: Lab) -> None:
    lab.open([SETUP, WHOLE])
    lab.run_all()
    _typeset(lab, 1)
    before = lab.output(1).evaluate(STYLED)
    notebook = lab.save()
    notebook.cells[1].source += "  # changed by somebody else"
    nbformat.write(notebook, lab.directory / "other.ipynb")
    lab.open(name="other.ipynb")
    _typeset(lab, 1)
    trusted = "jupyterapp.shell.currentWidget.content.model.cells.get(1).trusted"
    assert lab.page.evaluate(trusted) is False
    unselected = ";user-select:none;-webkit-user-select:none"
    assert lab.output(1).evaluate(STYLED) == [style.replace(unselected, "") for style in before]
    _unfold(lab, "Enter")


def test_thoughts_unfold_by_the_keyboard(lab: Lab) -> None:
    lab.open([SETUP, WHOLE])
    lab.run_all()
    _unfold(lab, "Enter")
    _unfold(lab, "Space")


def _unfold(lab: Lab, key: str) -> None:
    thoughts: Any = lab.output(1).locator("details")
    thoughts.evaluate("details => { details.open = false; }")
    assert not lab.output(1).get_by_text("why").is_visible()
    thoughts.locator("summary").press(key)
    lab.output(1).get_by_text("why").wait_for(state="visible")


def _typeset(lab: Lab, index: int) -> None:
    """Wait for the output and its formulas."""
    lab.output(index).locator("mjx-container").nth(1).wait_for()
