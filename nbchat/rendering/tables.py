"""Tables, whole or still coming: as GitHub has them, but for the bars in formulas, which end no cell.

JupyterLab takes formulas out of a text before it looks for tables, and models write `$P(A|B)$` in them.
"""

from __future__ import annotations

import re

from markdown_it.rules_block import StateBlock, table
from markdown_it.token import Token

from nbchat.rendering.formulas import formula_with_bars

_SPARE_CELLS = 200
"""A table ends where more cells than these (and one row of them) would have to be made up to fill its rows."""
_LONGEST_ROW = 1_000
"""In a row with more characters no formula is looked for, and by it no table is seen coming."""
_DELIMITERS = re.compile(r"[-:|][-:|\s]*")
_BAR = re.compile(r"(?<!\\)\|")
_END_OF_CELL = re.compile(r"(?:(?<!\\)\|[ \t]*|\n)\Z")
_IN_FORMULA = "\0"
"""Stands for a bar in a formula while a table is taken apart; no text that is parsed has this character."""
_CODE = re.compile(r"(`+)(?!`)[^`\n]*(?<!`)\1(?!`)|`+|\\.?|\$", re.DOTALL)
"""What may not be the beginning of a formula: code, and marks that are none."""
_MARK = re.compile(r"[`\\$]")


def table_whole(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A table that has its first two rows."""
    if start + 1 >= end or state.sCount[start + 1] < state.blkIndent:
        return False
    begin, stop = state.bMarks[start + 1] + state.tShift[start + 1], state.eMarks[start + 1]
    if not _DELIMITERS.fullmatch(state.src, begin, stop):
        return False
    rows = _rows(state, start, start + 2 if silent else end)
    return _push_table(state, start, start + len(rows), rows, silent)


def table_coming(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """The first row of a table, the last line so far; a line that begins with a bar is hardly anything else."""
    if len(state.src) - state.eMarks[start] > 1 or state.is_code_block(start):
        return False
    row = _row(state, start).strip()
    if row[:1] != "|" or len(row) > _LONGEST_ROW:
        return False
    columns = len(_BAR.split(row.removesuffix("|"))) - 1
    return _push_table(state, start, start + 1, [row, f"{'|-' * columns}|"], silent)


def ends_with_cell(text: str) -> bool:
    """Whether the last cell of a text that is still coming is whole."""
    return bool(_END_OF_CELL.search(_without_bars_in_formulas(text[text.rfind("\n", 0, -1) + 1 :], coming=True)))


def _rows(state: StateBlock, start: int, end: int) -> list[str]:
    """The rows from there on; a row of one character could stand for a thousand empty cells."""
    rows = [_row(state, start), _row(state, start + 1)]
    columns = rows[0].count("|")
    spare = _SPARE_CELLS + columns
    other_blocks = state.md.block.ruler.getRules("blockquote")  # the rule for tables asks the same
    for line in range(start + 2, end):
        if state.isEmpty(line) or state.sCount[line] < state.blkIndent:
            break
        row = _row(state, line)
        spare -= max(0, columns - row.count("|"))
        if spare < 0 or any(begins(state, line, end, True) for begins in other_blocks):
            break
        rows.append(row)
    return rows


def _row(state: StateBlock, line: int) -> str:
    indent = " " * (state.sCount[line] - state.blkIndent)
    row = state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]
    is_coming = state.eMarks[line] == len(state.src) and "open" in state.env
    return indent + _without_bars_in_formulas(row, coming=is_coming)


def _push_table(state: StateBlock, start: int, end: int, rows: list[str], silent: bool) -> bool:
    """Take these rows for a table of its own, which stands on the lines there."""
    tokens: list[Token] = []
    alone = StateBlock("\n".join(rows), state.md, state.env, tokens)
    alone.level = state.level
    if not table(alone, 0, len(rows), silent):
        return False
    for token in tokens:
        token.map = [min(start + line, end) for line in token.map] if token.map else None
        token.content = token.content.replace(_IN_FORMULA, "|")
    state.tokens += tokens
    state.line = state.line if silent else min(start + alone.line, end)
    return True


def _without_bars_in_formulas(row: str, *, coming: bool) -> str:
    if len(row) > _LONGEST_ROW:
        return row
    shown, position = "", 0
    while mark := _MARK.search(row, position):
        found = formula_with_bars(row, mark.start(), coming=coming) or _CODE.match(row, mark.start())
        end = found.end() if found else mark.end()
        is_formula = found is not None and found.re is not _CODE
        shown += row[position : mark.start()]
        shown += _BAR.sub(_IN_FORMULA, row[mark.start() : end]) if is_formula else row[mark.start() : end]
        position = end
    return shown + row[position:]
