"""Conversations to and from files: what comes back whole, what others wrote, and what does no harm."""

from __future__ import annotations

import json
import os
import re
import resource
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

import nbchat
from hostile import REPLIES as HOSTILE
from nbchat.errors import UsageProblem
from nbchat.exchange import EXTENSIONS, Conversation, believed, export, files, read
from nbchat.exchange.within import within
from nbchat.history import Cell, Turn
from nbchat.messages import Notice, Usage
from nbchat.options import parse_header
from nbchat.providers.registry import unregister
from nbchat.testing import ScriptedProvider

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHATGPT = Path(__file__).parent / "exchange_files" / "conversations.json"
NOON = datetime(2026, 11, 19, 12, 0, 0, 123456, UTC)
SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def turn(prompt: str = "q", text: str = "a", **known: Any) -> Turn:
    made = Turn(prompt, known.pop("model", "m1"), known.pop("provider", "fake"), status=known.pop("status", "done"))
    made.chunks = [text] if text else []
    made.started = NOON
    for name, value in known.items():
        setattr(made, name, value)
    return made


def written(tmp_path: Path, extension: str, *turns: Turn, **known: Any) -> Path:
    file = tmp_path / f"chat{extension}"
    file.unlink(missing_ok=True)
    export(turns, file, **known)
    return file


def one(file: Path) -> Conversation:
    """The only conversation of a file."""
    (found,) = read(file)
    return found


def of_json(tmp_path: Path, value: Any, name: str = "x.json") -> list[Conversation]:
    file = tmp_path / name
    file.write_text(json.dumps(value), encoding="utf-8")
    return read(file)


def asked_and_answered(found: Conversation) -> list[tuple[str, str]]:
    return [(each.prompt, each.text) for each in found.turns]


# Our own JSON

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
TURNS = st.builds(
    turn,
    prompt=ANY_TEXT,
    text=ANY_TEXT,
    model=st.sampled_from(["", "gpt-5-mini", "ollama/llama3.2:1b"]),
    provider=st.sampled_from(["guide", "openai", "imported"]),
    status=st.sampled_from(["done", "stopped", "failed"]),
    cut=st.booleans(),
    standing=st.sampled_from(["current", "hidden"]),
    started=st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30), timezones=st.just(UTC)),
    seconds=st.integers(0, 10_000).map(lambda milliseconds: milliseconds / 1000),
    thoughts=ANY_TEXT.map(lambda text: [text] if text else []),
    usage=st.none() | st.builds(Usage, st.none() | st.integers(0, 10**9), st.none() | st.integers(0, 10**9)),
    system=st.none() | ANY_TEXT,
    options=st.dictionaries(st.sampled_from(["temperature", "seed", "stream"]), st.booleans() | st.integers(0, 9)),
    is_guess=st.booleans(),
)
KEPT = ["id", "prompt", "text", "reasoning", "model", "provider", "status", "standing", "started", "seconds", "usage"]
KEPT += ["system", "options", "is_guess"]


@SLOW
@given(turns=st.lists(TURNS, min_size=1, max_size=6), system=st.none() | ANY_TEXT, title=st.sampled_from(["", "A b"]))
def test_what_is_exported_to_json_comes_back_whole(
    tmp_path: Path, turns: list[Turn], system: str | None, title: str
) -> None:
    found = one(written(tmp_path, ".json", *turns, system=system, title=title))
    assert (found.title, found.system) == (title, system or None)
    for before, after in zip(turns, found.turns, strict=True):
        assert [getattr(after, name) for name in KEPT] == [getattr(before, name) for name in KEPT]
        assert after.cut == (before.cut and bool(before.text))
        assert after.sent_later == before.sent_later
    places = [each.place for each in found.turns]
    assert places == sorted({*places})


def test_the_messages_of_the_json_are_those_that_would_be_sent(tmp_path: Path) -> None:
    turns = [
        turn("1", "one"),
        turn("2", "tw", cut=True, status="stopped"),
        turn("3", "", status="failed"),
        turn("4", "four", standing="hidden"),
    ]
    value = json.loads(written(tmp_path, ".json", *turns, system="Be brief.").read_text(encoding="utf-8"))
    assert value["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "one"},
        {"role": "user", "content": "2"},
        {"role": "assistant", "content": "tw"},
    ]
    assert [entry.get("prompt") for entry in value["nbchat"]["turns"]] == [None, None, "3", "4"]


def test_no_address_and_no_cell_is_exported(tmp_path: Path) -> None:
    made = turn(base_url="http://canary.example/v1", cell=Cell("canary-cell", 0), after="canary", session="canary")
    for extension in EXTENSIONS:
        assert "canary" not in written(tmp_path, extension, made).read_text(encoding="utf-8")


class Shelf:
    """Where the texts of turns are that were read without them."""

    def load(self, turns: Sequence[Turn]) -> None:
        for each in turns:
            each.read("far prompt", "far reply", "far thought")


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_turns_are_exported_whose_texts_are_not_in_memory(tmp_path: Path, extension: str) -> None:
    stored = turn()
    for name in ("prompt", "chunks", "thoughts"):
        delattr(stored, name)
    vars(stored)["_texts"] = Shelf()
    text = written(tmp_path, extension, stored).read_text(encoding="utf-8")
    assert all(far in text for far in ("far prompt", "far reply", "far thought"))


def test_earlier_versions_and_what_was_taken_back_are_not_exported(tmp_path: Path) -> None:
    turns = [turn("seen"), turn("canary", standing="earlier"), turn("canary", standing="gone")]
    for extension in EXTENSIONS:
        assert "canary" not in written(tmp_path, extension, *turns).read_text(encoding="utf-8")


def test_a_reply_that_was_under_way_comes_back_as_stopped(tmp_path: Path) -> None:
    live, queued = one(
        written(tmp_path, ".json", turn("1", "half", status="streaming"), turn("2", "", status="queued"))
    ).turns
    assert (live.status, live.cut, live.text) == ("stopped", True, "half")
    assert (queued.status, queued.cut, queued.text) == ("stopped", False, "")


def test_a_turn_whose_cell_was_deleted_comes_back_as_hidden(tmp_path: Path) -> None:
    (found,) = one(written(tmp_path, ".json", turn("1", "one", standing="deleted"))).turns
    assert (found.standing, found.prompt, found.text) == ("hidden", "1", "one")


def test_notices_that_last_come_back(tmp_path: Path) -> None:
    made = turn(notices=[Notice("passing"), Notice("the reply reached its limit", lasting=True)])
    (found,) = one(written(tmp_path, ".json", made)).turns
    assert found.notices == [Notice("the reply reached its limit", lasting=True)]


def test_a_message_may_be_edited_by_hand(tmp_path: Path) -> None:
    file = written(tmp_path, ".json", turn("1", "one"), turn("2", "two", standing="hidden"))
    file.write_text(file.read_text(encoding="utf-8").replace('"one"', '"uno"'), encoding="utf-8")
    first, second = one(file).turns
    assert (first.text, first.model, second.standing) == ("uno", "m1", "hidden")


def test_messages_that_were_added_by_hand_are_read_as_anybodys(tmp_path: Path) -> None:
    file = written(tmp_path, ".json", turn("1", "one"))
    value = json.loads(file.read_text(encoding="utf-8"))
    value["messages"] += [{"role": "user", "content": "2"}, {"role": "assistant", "content": "two"}]
    found = of_json(tmp_path, value)[0]
    assert asked_and_answered(found) == [("1", "one"), ("2", "two")]
    assert {each.provider for each in found.turns} == {"imported"}


def test_values_that_cannot_be_are_not_believed(tmp_path: Path) -> None:
    entry = {
        "id": "../../etc",
        "model": "a\x1b[31m\nb" * 200,
        "provider": ["x"],
        "started": "9999-12-31T23:59:59+00:00",
        "seconds": 1e400,
        "status": "owned",
        "cut": "yes",
        "hidden": 1,
        "usage": {"prompt": -5, "completion": "many"},
        "options": {
            "temperature": 0.5,
            "model": 5,
            "new": True,
            "api_key": "secret",
            "a b": 1,
            "big": [1],
            "top_p": float("inf"),
        },
        "notices": [1, "ok", None],
        "error": {"a": 1},
        "reasoning": 7,
        "base_url": "http://evil.example",
    }
    messages = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    (found,) = of_json(tmp_path, {"messages": messages, "nbchat": {"version": 1, "turns": [entry]}})
    (made,) = found.turns
    assert re.fullmatch("[0-9a-f]{32}", made.id)
    assert len(made.model) <= 200
    assert made.model.isprintable()
    assert (made.provider, made.status, made.cut, made.standing) == ("imported", "done", False, "current")
    assert made.started == datetime(2100, 1, 1, tzinfo=UTC)
    assert (made.seconds, made.error, made.reasoning, made.base_url) == (0.0, "", "", "")
    assert made.usage == Usage(0, None)
    assert made.options == {"temperature": 0.5}
    assert made.notices == [Notice("ok", lasting=True)]


def test_one_id_is_not_given_to_two_turns(tmp_path: Path) -> None:
    same = turn("1").id
    found = one(written(tmp_path, ".json", turn("1", id=same), turn("2", id=same)))
    assert found.turns[0].id == same != found.turns[1].id


@pytest.mark.parametrize(
    ("value", "when"),
    [
        (0, datetime(2000, 1, 1, tzinfo=UTC)),
        (1e300, datetime(2100, 1, 1, tzinfo=UTC)),
        (float("nan"), None),
        (True, None),
        (1765670401.266, datetime(2025, 12, 14, 0, 0, 1, 266000, UTC)),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02 03:04", datetime(2026, 1, 2, 3, 4, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", None),
        ("yesterday", None),
        (10**400, None),
    ],
)
def test_times_are_of_this_century(value: Any, when: datetime | None) -> None:
    assert believed.moment(value) == when


# Messages that others wrote


def test_a_list_of_messages_is_a_conversation(tmp_path: Path) -> None:
    (found,) = of_json(
        tmp_path,
        [
            {"role": "developer", "content": "Be brief."},
            {"role": "system", "content": [{"type": "text", "text": "And kind."}]},
            {"role": "user", "content": "1"},
            {"role": "assistant", "content": "one"},
            {"role": "user", "content": "2", "timestamp": 1765670401},
        ],
    )
    assert found.system == "Be brief.\n\nAnd kind."
    assert asked_and_answered(found) == [("1", "one"), ("2", "")]
    assert [each.status for each in found.turns] == ["done", "stopped"]
    assert found.turns[1].started == datetime(2025, 12, 14, 0, 0, 1, tzinfo=UTC)
    assert {each.provider for each in found.turns} == {"imported"}


def test_the_body_of_a_request_names_its_model(tmp_path: Path) -> None:
    body = {"model": "gpt-x", "messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "one"}]}
    assert [each.model for each in of_json(tmp_path, body)[0].turns] == ["gpt-x"]


def test_messages_of_one_side_in_a_row_are_one(tmp_path: Path) -> None:
    roles = ["user", "user", "assistant", "assistant", "user", "assistant"]
    (found,) = of_json(tmp_path, [{"role": role, "content": str(number)} for number, role in enumerate(roles)])
    assert asked_and_answered(found) == [("0\n\n1", "2\n\n3"), ("4", "5")]


def test_a_reply_without_a_prompt_is_on_view_and_not_sent(tmp_path: Path) -> None:
    (found,) = of_json(tmp_path, [{"role": "assistant", "content": "Hi!"}, {"role": "user", "content": "1"}])
    assert asked_and_answered(found) == [("", "Hi!"), ("1", "")]
    assert found.turns[0].standing == "hidden"
    assert "no prompt" in found.turns[0].notices[0].text


def test_images_and_files_are_left_out_and_that_is_said(tmp_path: Path) -> None:
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "input_text", "text": "And this?"},
        {"type": "input_file", "file_id": "f"},
        None,
        {"type": 3},
    ]
    (found,) = of_json(tmp_path, [{"role": "user", "content": parts}, {"role": "assistant", "content": "A cat."}])
    assert found.turns[0].prompt == "What is this?\nAnd this?"
    assert [notice.text for notice in found.turns[0].notices] == ["2 images or files left out"]


def test_calls_of_tools_are_left_out(tmp_path: Path) -> None:
    (found,) = of_json(
        tmp_path,
        [
            {"role": "user", "content": "1"},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "f"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "42"},
            {"role": "function", "name": "f", "content": "42"},
            {"role": "assistant", "content": "It is 42.", "reasoning_content": "so it is"},
        ],
    )
    assert asked_and_answered(found) == [("1", "It is 42.")]
    assert found.turns[0].reasoning == "so it is"


def test_each_of_json_lines_is_a_conversation(tmp_path: Path) -> None:
    body = {"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "a"}]}
    file = tmp_path / "tuning.jsonl"
    file.write_text(f"{json.dumps(body)}\n\n{json.dumps(body)}\n", encoding="utf-8")
    assert [asked_and_answered(found) for found in read(file)] == [[("1", "a")], [("1", "a")]]
    ids = [each.id for found in read(file) for each in found.turns]
    assert len({*ids}) == 2


def test_json_lines_may_be_messages(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text('{"role": "user", "content": "1"}\n{"role": "assistant", "content": "a"}\n', encoding="utf-8")
    assert asked_and_answered(one(file)) == [("1", "a")]


def test_lone_surrogates_are_cleaned(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text('[{"role": "user", "content": "a\\ud800b \\ud83d\\ude00"}]', encoding="utf-8")
    assert one(file).turns[0].prompt == "a\ufffdb \U0001f600"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom"])
def test_encodings_that_say_what_they_are_are_read(tmp_path: Path, encoding: str) -> None:
    text = '[{"role": "user", "content": "été"}]'
    data = b"\xff\xfe" + text.encode("utf-16-le") if encoding == "utf-16-le-bom" else text.encode(encoding)
    (tmp_path / "x.json").write_bytes(data)
    assert one(tmp_path / "x.json").turns[0].prompt == "été"


# ChatGPT's export


def test_the_branch_on_view_of_a_chatgpt_export_is_read() -> None:
    bread, picture = read(CHATGPT)
    assert (bread.title, bread.system) == ("Bread with two flours", None)
    assert asked_and_answered(bread) == [
        (
            "How much water for half rye,\r\nhalf wheat?",
            "About **75 %** ([Bread](https://bread.example/rye)), for rye [Flour tables](https://flour.example/).",
        ),
        ("Is this crumb right?", "Yes.\n\n```python\nprint('bake')\n```"),
        ("And how long in the oven?", "Fifty minutes."),
    ]
    first, second, third = bread.turns
    assert first.reasoning == "**Comparing flours**\n\nRye binds more water than wheat.\n\nSo about 75 %."
    assert [each.model for each in bread.turns] == ["gpt-5-2-thinking", "gpt-5-2", "gpt-4o"]
    assert first.started == datetime(2025, 12, 14, 0, 0, 1, 266000, UTC)
    assert [notice.text for notice in second.notices] == ["1 image or file left out"]
    assert not third.notices
    assert asked_and_answered(picture) == [("Draw a loaf.", "")]
    assert [notice.text for notice in picture.turns[0].notices] == ["1 image or file left out"]
    assert picture.turns[0].model == ""


def test_a_chatgpt_export_is_read_in_its_archive(tmp_path: Path) -> None:
    talks = json.loads(CHATGPT.read_text(encoding="utf-8"))
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("export/conversations-001.json", json.dumps(talks[1:]))
        archive.writestr("export/conversations-000.json", json.dumps(talks[:1]))
        archive.writestr("export/shared_conversations.json", "[]")
        archive.writestr("chat.html", "<html></html>")
    assert [found.title for found in read(tmp_path / "export.zip")] == ["Bread with two flours", "A picture"]


def test_a_single_conversation_of_chatgpts_is_read(tmp_path: Path) -> None:
    talk = json.loads(CHATGPT.read_text(encoding="utf-8"))[0]
    assert len(of_json(tmp_path, talk)[0].turns) == 3


def node(parent: str | None, role: str, text: str, time: float | None = None) -> dict[str, Any]:
    content = {"content_type": "text", "parts": [text]}
    return {"parent": parent, "message": {"author": {"role": role}, "content": content, "create_time": time}}


def test_parents_in_a_circle_end(tmp_path: Path) -> None:
    talk = {"mapping": {"a": node("b", "user", "1"), "b": node("a", "assistant", "x")}, "current_node": "b"}
    assert asked_and_answered(of_json(tmp_path, [talk])[0]) == [("1", "x")]


def test_a_message_that_was_hidden_is_not_read(tmp_path: Path) -> None:
    nodes = {"a": node(None, "user", "1"), "b": node("a", "assistant", "canary"), "c": node("b", "assistant", "x")}
    nodes["b"]["message"]["metadata"] = {"is_visually_hidden_from_conversation": True}
    assert asked_and_answered(of_json(tmp_path, [{"mapping": nodes, "current_node": "c"}])[0]) == [("1", "x")]


def test_without_a_current_node_the_newest_message_is_the_last(tmp_path: Path) -> None:
    nodes = {"a": node(None, "user", "1", 1e9), "b": node("a", "assistant", "old", 1.1e9)}
    talk = {"mapping": nodes | {"c": node("a", "assistant", "new", 1.2e9)}}
    assert asked_and_answered(of_json(tmp_path, [talk])[0]) == [("1", "new")]


NAMES = (
    st.sampled_from(
        ["role", "content", "messages", "mapping", "current_node", "message", "author", "parts", "metadata"]
    )
    | st.sampled_from(["nbchat", "turns", "version", "text", "type", "parent", "thoughts", "content_type"])
    | st.sampled_from(["create_time", "id", "title", "x"])
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)


def of_anything(tmp_path: Path, value: Any) -> list[Conversation]:
    """What is read, none if it is refused."""
    try:
        return of_json(tmp_path, value)
    except UsageProblem as problem:
        said = str(problem)
    assert "\n" not in said
    return []


@SLOW
@given(value=JUNK)
def test_whatever_json_holds_gives_turns_or_one_problem(tmp_path: Path, value: Any) -> None:
    for talk in of_anything(tmp_path, value):
        assert talk.turns
        assert all(each.prompt or each.text or each.notices for each in talk.turns)


@SLOW
@given(data=st.data())
def test_a_chatgpt_export_with_any_value_replaced_does_no_harm(tmp_path: Path, data: st.DataObject) -> None:
    talks = json.loads(CHATGPT.read_text(encoding="utf-8"))
    at: Any = talks
    while isinstance(at, dict | list) and at:
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not isinstance(at[key], dict | list) or not at[key] or data.draw(st.booleans()):
            at[key] = data.draw(JUNK)
            break
        at = at[key]
    for talk in of_anything(tmp_path, talks):
        assert all(each.prompt or each.text or each.notices for each in talk.turns)


# What cannot be read


def zipped(**files: bytes) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("_", "."), data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty: nbchat reads"),
        (b"  \n ", "is empty"),
        (b"Dear diary", "is not JSON: nbchat reads"),
        (b"\x89PNG\r\n\x1a\n\0\0", "is not text in UTF-8"),
        ("[été]".encode("latin-1"), "is not text in UTF-8"),
        (b"[1, 2", "is not JSON (Expecting ',' delimiter"),
        (b'{"a": 1}', "has none of the known formats: nbchat reads"),
        (b"[]", "has none of the known formats"),
        (b"[1, 2]", "has none of the known formats"),
        (b"[" * 200_000, "is nested too deep"),
        (b'{"messages": []}', "has no messages in it"),
        (b'[{"mapping": {}}]', "has no messages in it"),
        (b'{"messages": []}\n{"messages": [}\n', "is not JSON in line 2"),
        (b'{"nbformat": 4, "cells": []}', "has no messages in it"),
        (b'{"nbformat": 3, "worksheets": []}', "is not a notebook that can be read"),
        (zipped(readme_txt=b"hello"), "has no conversations.json in it"),
        (zipped(conversations_json=b"[]")[:-30], "is not text in UTF-8"),
        (
            zipped(conversations_json=b"[1234567890]").replace(b"[1234567890]", b"[0987654321]"),
            "cannot be read: Bad CRC",
        ),
    ],
)
def test_what_is_no_conversation_is_said_in_one_line(tmp_path: Path, data: bytes, said: str) -> None:
    file = tmp_path / "talk.json"
    file.write_bytes(data)
    with pytest.raises(UsageProblem) as caught:
        read(file)
    assert said in str(caught.value)
    assert "talk.json" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_no_file_and_a_folder_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match=r"There is no file .*gone\.json"):
        read(tmp_path / "gone.json")
    with pytest.raises(UsageProblem, match="is not a file"):
        read(tmp_path)
    with pytest.raises(UsageProblem, match="cannot be read: "):
        read(tmp_path / "a\0b.json")
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(UsageProblem, match="is not a file"):
        read(tmp_path / "pipe.json")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "large.json"
    with open(file, "wb") as large:
        large.truncate(files.LIMIT + 1)  # a hole: it takes no room
    with pytest.raises(UsageProblem, match="is too large"):
        read(file)


def test_an_archive_that_unpacks_to_too_much_is_not_unpacked(tmp_path: Path) -> None:
    packed = bytearray(zipped(conversations_json=b"[]"))
    at = packed.index(b"PK\x01\x02")
    packed[at + 24 : at + 28] = (files.LIMIT + 1).to_bytes(4, "little")  # what its directory says of the size
    (tmp_path / "bomb.zip").write_bytes(packed)
    with pytest.raises(UsageProblem, match="is too large"):
        read(tmp_path / "bomb.zip")


# Notebooks


def test_a_notebook_is_valid_and_comes_back(tmp_path: Path) -> None:
    turns = [turn("1", "# one", thoughts=["so"]), turn("2\n\n  more", "two", usage=Usage(1, 2), seconds=1.5)]
    turns[1].started = NOON.replace(hour=13)
    file = written(tmp_path, ".ipynb", *turns, system="Be\nbrief.", title="Two *things* <img>")
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.cells[0].source == "# Two \\*things\\* \\<img\\>"
    assert notebook.cells[1].source.endswith("nbchat.current().system = 'Be\\nbrief.'")
    assert notebook.cells[3].source == "%%chat --model fake/m1\n2\n\n  more"
    assert notebook.cells[3].outputs[0].data["text/plain"] == "two"
    found = one(file)
    assert (found.title, found.system) == ("Two *things* <img>", "Be\nbrief.")
    assert asked_and_answered(found) == [("1", "# one"), ("2\n\n  more", "two")]
    for before, after in zip(turns, found.turns, strict=True):
        assert (after.id, after.model, after.provider) == (before.id, before.model, before.provider)
        assert abs((after.started - before.started).total_seconds()) < 0.001
        assert (after.cell, after.is_source, after.is_guess) == (None, False, False)


@SLOW
@given(prompts=st.lists(ANY_TEXT.filter(str.strip), min_size=1, max_size=4))
def test_every_prompt_comes_back_from_a_notebook(tmp_path: Path, prompts: list[str]) -> None:
    file = written(tmp_path, ".ipynb", *(turn(prompt, "a") for prompt in prompts))
    nbformat.validate(nbformat.read(file, as_version=4))
    assert [each.prompt for each in one(file).turns] == prompts


@pytest.mark.parametrize(
    ("model", "provider", "line"),
    [
        ("m", "imported", "%%chat --model m"),
        ("", "imported", "%%chat"),
        ("", "guide", "%%chat --model guide"),
        ("llama3.2:1b", "ollama", "%%chat --model ollama/llama3.2:1b"),
        ('a "b" \\ $(c)', "imported", None),
        ("x --into y\nimport os", "imported", None),
    ],
)
def test_the_line_of_a_cell_names_the_model_and_nothing_else(
    tmp_path: Path, model: str, provider: str, line: str | None
) -> None:
    file = written(tmp_path, ".ipynb", turn(model=model, provider=provider))
    first, rest = nbformat.read(file, as_version=4).cells[1].source.split("\n", 1)
    assert rest == "q"
    assert line is None or first == line
    parsed = parse_header(first.removeprefix("%%chat"))
    assert parsed.model == (" ".join("/".join(filter(None, [provider.replace("imported", ""), model])).split()) or None)
    assert not parsed.into


@pytest.mark.parametrize(
    "prompt", ["hello", "\n\nbelow", "  two\n\tlines  ", ">>> x?\n%%time\n!ls {x} $y", "%%chat\nagain", "a\u2028b \x0c"]
)
def test_a_cell_of_an_exported_notebook_sends_the_prompt_again(tmp_path: Path, shell: Any, prompt: str) -> None:
    fake = ScriptedProvider(name="fake")
    nbchat.register(fake)
    try:
        notebook = nbformat.read(written(tmp_path, ".ipynb", turn(prompt), system="Be\nbrief."), as_version=4)
        for cell in notebook.cells:
            shell.run_cell(cell.source)
    finally:
        unregister("fake")
    system, asked = fake.calls[-1].messages
    assert (system["content"], asked["content"], fake.calls[-1].model) == ("Be\nbrief.", prompt, "m1")


def test_the_conversations_of_a_notebook_do_not_share_turns(tmp_path: Path) -> None:
    file = written(tmp_path, ".ipynb", turn("1"), turn("2"))
    notebook = nbformat.read(file, as_version=4)
    notebook.cells[-1].outputs[0].metadata["nbchat"]["conversation"] = "other"
    nbformat.write(notebook, file)
    found = read(file)
    assert {talk.title for talk in found} == {"", "other"}
    ids = [each.id for talk in found for each in talk.turns]
    assert len(ids) == len({*ids})


# Markdown

GITHUB = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
OWN_HTML = re.compile(r"</?(?:details|summary|sub)>|<!-- nbchat-export-[0-9a-f]{16} -->|Reasoning|System prompt|\s+")


def flat(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield token
        yield from flat(token.children or [])


def headings(text: str) -> list[tuple[str, str]]:
    tokens = GITHUB.parse(text)
    return [(a.tag, b.content) for a, b in pairwise(tokens) if a.type == "heading_open"]


FRAGMENTS = (
    st.sampled_from(
        ["# Big\n", "Big\n===\n", "Two\nlines\n---\n", "```\n", "~~~~ py\n", "````", "`", "``", "#", "* * *\n"]
    )
    | st.sampled_from(["<!--", "<details>", "</details>", "<div>\n", "<script>x</script>", "<![CDATA[", "<?php", "<b>"])
    | st.sampled_from(
        ["> ", "- ", "1. ", "    ", "\t", "\n\n", "\n", "text ", "\\", "|", "| a | b |\n|---|---|\n", "\u2028"]
    )
    | st.sampled_from(
        ["[1]: http://a.example\n", "[x][1] ", "[1] ", "[^1]: note\n", "[^1]", "![i](http://a.example/i.png)"]
    )
    | st.sampled_from(["$$\n", "\\[\n", "\\]\n", "\\(x\\)", "&lt;"])
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.lists(FRAGMENTS, max_size=12).map("".join), min_size=3, max_size=3))
def test_no_reply_and_no_prompt_breaks_the_markdown_around_it(tmp_path: Path, texts: list[str]) -> None:
    prompt, reply, thought = texts
    turns = [turn(f"{prompt} end", reply, thoughts=[thought]), turn("last words", "bye")]
    text = written(tmp_path, ".md", *turns).read_text(encoding="utf-8")
    found = headings(text)
    assert [tag for tag, _ in found].count("h1") == 1
    assert [tag for tag, _ in found].count("h2") == 2
    assert found[-1] == ("h2", "2. last words")
    tokens = list(flat(GITHUB.parse(text)))
    html = "".join(token.content for token in tokens if token.type in ("html_block", "html_inline"))
    assert not OWN_HTML.sub("", re.sub(r"<br ?/?>|</?su[bp]>", "", html))
    assert not [token for token in tokens if token.type == "image"]


def test_a_markdown_file_reads_well(tmp_path: Path) -> None:
    turns = [
        turn("What is *this*?", "It is `<b>`.\n\n# A heading", usage=Usage(1, 1234), seconds=2.0),
        turn("def f(x):\n    return __x__\n\nWhy?", "Because\n\n```python\nprint(1)", status="stopped", cut=True),
        turn("Dear model,\nplease _do_ it.\n- now", "", status="failed", error="fake answered 500."),
        turn("hidden", "still here", standing="hidden", thoughts=["hm"]),
    ]
    text = written(tmp_path, ".md", *turns, title="A <talk>", system="Be ``` brief.").read_text(encoding="utf-8")
    assert (
        re.sub("[0-9a-f]{16}", "…", text)
        == """\
# A \\<talk\\>

<details><summary>System prompt</summary>

````
Be ``` brief.
````

</details>

## 1. What is \\*this\\*?

It is `<b>`.

### A heading

<sub>m1 · fake · 2026-11-19 12:00 UTC · 2.0 s · 1,234 tokens</sub>

## 2. def f(x):

> ```
> def f(x):
>     return __x__
>
> Why?
> ```

Because

```python
print(1)
```

<sub>m1 · fake · 2026-11-19 12:00 UTC · stopped</sub>

## 3. Dear model,

> Dear model,\\
> please \\_do\\_ it.\\
> \\- now

<sub>m1 · fake · 2026-11-19 12:00 UTC · failed: fake answered 500.</sub>

## 4. hidden

<details><summary>Reasoning</summary>

hm

</details>

still here

<sub>m1 · fake · 2026-11-19 12:00 UTC · hidden, not sent with later prompts</sub>

<!-- nbchat-export-… -->
"""
    )


def test_references_of_two_replies_stay_apart(tmp_path: Path) -> None:
    turns = [turn("1", f"See [a][1] and [1].\n\n[1]: http://{name}.example") for name in ("one", "two")]
    text = written(tmp_path, ".md", *turns).read_text(encoding="utf-8")
    assert re.findall('href="([^"]*)"', GITHUB.render(text)) == ["http://one.example"] * 2 + ["http://two.example"] * 2


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("![a](http://x.example/y.png)", "🖼 [a](http://x.example/y.png)"),
        ("`![a](b) <i>`", "`![a](b) <i>`"),
        ("a < b and <https://x.example>", "a < b and <https://x.example>"),
        ("H<sub>2</sub>O<br>x<sup>", "H<sub>2</sub>O<br>x\\<sup>"),
        ("\\(a_b\\) costs $5", "$`a_b`$ costs $5"),
        ("\\[\na < b\n\\]", "```math\na < b\n```"),
        ("$0<x<1$, $y$, $5-$10 and a <b $", "$`0<x<1`$, $y$, $5-$10 and a \\<b $"),
        ("[![i](u)][1]\n\n[1]: http://x.example", "[🖼 [i](u)][7-1]\n\n[7-1]: http://x.example"),
        ("[^1] is\n\n[^1]: a note", "[^7-1] is\n\n[^7-1]: a note"),
        ("[x] and [y][] and [z](u)\n\n[y]: http://y.example", "[x] and [y][7-y] and [z](u)\n\n[7-y]: http://y.example"),
        ("`a\n<details>` <i>", "`a <details>` \\<i>"),
        ("[a\n<div>]", "[a\n\\<div>]"),
        ("> # quoted", "> ### quoted"),
        ("###### six", "###### six"),
        ("- a\n  ```\n  code", "- a\n  ```\n  code"),
        ("a\r\nb", "a\nb"),
    ],
)
def test_a_reply_within_a_document(text: str, shown: str) -> None:
    assert within(text, "7") == shown


def test_a_very_long_reply_is_code_in_markdown() -> None:
    long = "# x\n" * 30_000
    assert within(long, "1") == f"```\n{long.rstrip()}\n```"


# Web pages


class Page(HTMLParser):
    """The tags of a page, and where they load from."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_page_has_nothing_that_runs_or_loads(tmp_path: Path, hostile: str) -> None:
    made = turn(hostile, hostile, thoughts=[hostile], model=hostile, status="failed", error=hostile)
    file = written(tmp_path, ".html", made, title=hostile, system=hostile)
    page = Page(file.read_text(encoding="utf-8"))
    assert not page.tags & {"script", "iframe", "img", "link", "object", "embed", "form", "base", "svg", "video"}
    assert not {name for name in page.attributes if name.startswith("on") or name in ("src", "srcset", "action")}


def test_a_page_forbids_itself_scripts_and_whatever_is_elsewhere(tmp_path: Path) -> None:
    text = written(tmp_path, ".html", turn()).read_text(encoding="utf-8")
    policy = re.search('Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert "default-src &#x27;none&#x27;" in policy[1]
    assert "script" not in policy[1]
    assert text.index("Content-Security-Policy") < text.index("<title>")


def test_a_prompt_on_a_page_is_text(tmp_path: Path) -> None:
    text = written(tmp_path, ".html", turn("  a <b>\n\tc & d")).read_text(encoding="utf-8")
    assert "  a &lt;b&gt;\n\tc &amp; d</div>" in text


def test_a_page_in_a_browser_loads_itself_only_and_suits_the_system(tmp_path: Path, chromium: Browser) -> None:
    code = "```python\n" + "def f(x: int = 1) -> str:\n    # why\n    return 'a' + str(x)\n" + "```"
    hostile = "\n\n".join(HOSTILE)
    made = [turn(hostile, hostile), turn("code", code, thoughts=["so **be** it"])]
    file = written(tmp_path, ".html", *made, title="<script>alert(1)</script>")
    colours = {}
    for scheme in ("light", "dark"):
        page = chromium.new_page(color_scheme=scheme)  # type: ignore[arg-type]  # one of the two
        asked: list[str] = []
        said: list[str] = []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("dialog", lambda dialog, said=said: (said.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda message, said=said: said.append(message.text))
        page.goto(file.as_uri())
        assert asked == [file.as_uri()]
        assert not said
        style = "(found) => { const s = getComputedStyle(found); return [s.color, s.backgroundColor] }"
        colours[scheme] = [page.eval_on_selector(found, style) for found in ("body", ".highlight .kt, .highlight .k")]
        page.close()
    assert colours["light"][0][1] == "rgb(255, 255, 255)"
    assert all(light != dark for light, dark in zip(colours["light"], colours["dark"], strict=True))


# Files


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_an_export_is_made_anew_over_itself(tmp_path: Path, extension: str) -> None:
    file = written(tmp_path, extension, turn("first"))
    before = file.read_bytes()
    export([turn("first"), turn("second")], file)
    assert b"second" in file.read_bytes() != before
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("edit", ["changed", "somebody else's", "empty"])
def test_what_anybody_has_changed_is_not_overwritten(tmp_path: Path, extension: str, edit: str) -> None:
    file = written(tmp_path, extension, turn("first"))
    text = file.read_text(encoding="utf-8")
    file.write_text({"changed": text.replace("first", "First"), "empty": ""}.get(edit, "notes"), encoding="utf-8")
    before = file.read_bytes()
    with pytest.raises(UsageProblem, match=r"exists, and is not an export"):
        export([turn("second")], file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_a_conversation_about_the_mark_of_exports_can_be_made_anew(tmp_path: Path, extension: str) -> None:
    made = turn(files.MARK, f"{files.MARK} <!-- {files.MARK} -->")
    file = written(tmp_path, extension, made, title=files.MARK, system=files.MARK)
    export([made], file)
    if extension == ".json":
        assert one(file).turns[0].prompt == files.MARK


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "chat.md"
    link.symlink_to(tmp_path / "there" / "real.md")
    export([turn()], link)
    export([turn()], link)
    assert link.is_symlink()
    assert (tmp_path / "there" / "real.md").is_file()


def test_a_file_may_be_read_by_whom_the_system_lets(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    assert written(tmp_path, ".md", turn()).stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("chat", r"ends in \.md, \.json, \.ipynb or \.html\.$"),
        ("chat.txt", r"ends in \.md, \.json, \.ipynb or \.html\.$"),
        ("chat.htm", r"Did you mean \.html\?"),
        ("chat.ipnyb", r"Did you mean \.ipynb\?"),
        ("none/chat.md", r"There is no folder .*none\.$"),
        ("folder.md", "exists"),
        ("a\0b.md", "cannot be written"),
        ("x" * 300 + ".md", "cannot be written"),
    ],
)
def test_where_nothing_can_be_written_it_is_said_why(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "folder.md").mkdir()
    with pytest.raises(UsageProblem, match=said):
        export([turn()], tmp_path / name)
    assert [each.name for each in tmp_path.iterdir()] == ["folder.md"]


def test_a_conversation_without_turns_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(UsageProblem, match="nothing to export"):
        export([turn(standing="gone")], tmp_path / "chat.md")


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = written(tmp_path, ".md", turn("old"))
    before = file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # as if there were no more room
    try:
        with pytest.raises(UsageProblem, match=r"cannot be written: File too large\."):
            export([turn("new", "x" * 200_000)], file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [file.name]


def test_a_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    export([turn()], Path("~/chat.json"))
    assert one(Path("~/chat.json")).turns[0].prompt == "q"
    with pytest.raises(UsageProblem, match="no such home"):
        read(Path("~nobody-of-that-name/chat.json"))
