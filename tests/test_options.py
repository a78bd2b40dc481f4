"""The line of a `%%chat` cell and of `%chat`: options, the prompt that is left alone, slips, completions."""

from __future__ import annotations

import pytest

from nbchat.errors import UsageProblem
from nbchat.options import OPTIONS, Line, complete, help_lines, parse_header, parse_line


def test_an_empty_header_says_nothing() -> None:
    assert parse_header("") == Line()


def test_a_header_takes_every_option() -> None:
    line = parse_header(
        "-m a/b -p p -s 'Be brief.' -t 0 --max-tokens 9 -o top_p 0.5 -o style \"very brief\" --base-url http://h/v1 "
        "--proxy http://q --timeout 1.5 -n --no-history --into answer --no-stream --raw --show-prompt"
    )
    assert line == Line(
        model="a/b",
        provider="p",
        base_url="http://h/v1",
        system="Be brief.",
        new=True,
        history=False,
        into="answer",
        stream=False,
        raw=True,
        show_prompt=True,
        options={
            "temperature": 0.0,
            "max_tokens": 9,
            "proxy": "http://q",
            "timeout": 1.5,
            "top_p": 0.5,
            "style": "very brief",
        },
    )


@pytest.mark.parametrize("header", ["m", "-m m", "-mm", "--model m", "--model=m", "-n m", "m --raw", "'m'"])
def test_the_model_may_stand_alone_or_behind_its_option(header: str) -> None:
    assert parse_header(header).model == "m"


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("--modle m", "There is no option --modle. Did you mean --model?"),
        ("--model", "--model needs MODEL."),
        ("-t warm", "--temperature takes a number, zero or more, not 'warm'"),
        ("-t -1", "--temperature takes a number, zero or more, not '-1'"),
        ("--max-tokens 1.5", "--max-tokens takes a whole number, one or more, not '1.5'"),
        ("--raw=x", "--raw needs no value"),
        ("one two", "'two' is one word too many"),
        ("-m one two", "'two' is one word too many"),
        ("-s 'open", "A quotation mark is not closed"),
        ("-m m \\", "cannot go on below with a backslash"),
        ("--into 1x", "--into takes a name for a variable, not '1x'"),
        ("-o model x", "write --model MODEL"),
        ("-o seed", "-o needs KEY VALUE."),
    ],
)
def test_a_slip_is_one_line_that_says_what_to_do(header: str, said: str) -> None:
    with pytest.raises(UsageProblem) as caught:
        parse_header(header)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "prompt",
    [
        "hello there",
        "what's up?",
        'say "hi',
        "{x} $y %z \\n `w`",
        "a  b   ",
        "-5 + 3?",
        "- a list",
        "x -m y",
        "!ls",
        "…",
    ],
)
def test_a_lines_prompt_is_not_touched(prompt: str) -> None:
    assert parse_line(prompt) == Line(prompt=prompt)
    assert parse_line(f"-m m {prompt}") == Line(prompt=prompt, explicit=True, model="m")
    assert parse_line(f"-- {prompt}") == Line(prompt=prompt, explicit=True)


def test_a_value_may_look_like_an_option_or_hold_quotes() -> None:
    line = parse_header("""-s "--- be brief" -o stop -- -o b {"x":1} -o c '{"y": 2}' --model="a b" -m'c d'""")
    assert line.system == "--- be brief"
    assert line.options == {"stop": "--", "b": {"x": 1}, "c": {"y": 2}}
    assert line.model == "c d"


@pytest.mark.parametrize("line", ["-h", "--help"])
def test_help_can_be_asked_for_as_an_option(line: str) -> None:
    assert parse_line(line).help
    assert parse_header(line).help


def test_options_stand_before_a_lines_prompt() -> None:
    line = parse_line("-s 'Be brief.' --raw -o a 1 -t=0 why -m not?")
    assert (line.system, line.raw, line.prompt) == ("Be brief.", True, "why -m not?")
    assert line.options == {"a": 1, "temperature": 0.0}


def test_a_slip_in_a_lines_option_is_not_sent() -> None:
    with pytest.raises(UsageProblem, match="Did you mean --model"):
        parse_line("--modell x hello")


def test_every_option_has_a_line_of_help_that_fits() -> None:
    lines = help_lines()
    assert len(lines) == len(OPTIONS)
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    ("typed", "first"),
    [
        (["%%chat"], "a-model"),
        (["%%chat", "-m"], "a-model"),
        (["%%chat", "-p"], "a-provider"),
        (["%chat"], "a-command"),
        (["%chat", "retry"], "a-model"),
        (["%chat", "help"], "a-section"),
        (["%chat", "switch"], "a-name"),
        (["%%chat", "a-model"], "--model"),
    ],
)
def test_completions_know_the_place(typed: list[str], first: str) -> None:
    found = complete(
        typed,
        models=["a-model"],
        providers=["a-provider"],
        commands=["a-command"],
        sections=["a-section"],
        conversations=["a-name"],
    )
    assert found[0] == first


def test_behind_an_option_that_takes_a_value_nothing_is_offered() -> None:
    assert complete(["%%chat", "--into"], models=["m"], providers=[], commands=[], sections=[], conversations=[]) == []
