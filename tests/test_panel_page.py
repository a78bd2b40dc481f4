"""The panel's page in a browser without a kernel: a stub says what a kernel would, and hears what is asked of it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from panel_page import Json, PanelPage

LONG = "\n\n".join(f"Paragraph {number} of a reply, with **bold** words." for number in range(60))
CODE = "Look:\n\n```python\nprint('one')\nprint('two')\n```\n\nDone."
TOKENS = "```python\n@cached\nclass Two(Base):  # a comment\n    x: int = 1.5\n    def f(self): return 'text'\n```"
WIDE = f"```python\n{'x' * 400} = 1\n```"
LOST = "Not connected: run the cell that shows this panel again."
WAITING = "Waiting for the running cell"


@pytest.fixture(scope="module")
def one_chromium(chromium_path: str) -> Iterator[Browser]:
    """One browser for all tests here: none of them is async, which its loop in this thread would be in the way of."""
    from labs import browser

    with browser(chromium_path) as found:
        yield found


@pytest.fixture
def panel(one_chromium: Browser) -> Iterator[PanelPage]:
    """A page for a panel, not opened yet; it may not have complained of anything."""
    from panel_page import PanelPage

    page = PanelPage(one_chromium)
    yield page
    page.close()


def turn(*told: Any, **fields: Any) -> Json:
    from panel_page import turn  # only where there is a browser

    return turn(*told, **fields)


def live(*told: Any, **fields: Any) -> Json:
    from panel_page import live

    return live(*told, **fields)


def blocks_of(text: str) -> list[str]:
    from panel_page import blocks_of

    return blocks_of(text)


def expect(subject: Any) -> Any:
    from playwright.sync_api import expect as eventually

    return eventually(subject)


# ---- what the kernel says becomes what is seen


def test_finished_turns_show_prompt_reply_and_how_it_came_about(panel: PanelPage) -> None:
    shown = turn("What?", "A **bold** answer.", cell=7, stale=True, versions=2, notes=["2 older turns were left out"])
    panel.open(shown)
    first = panel.turn(0)
    expect(first.locator("strong")).to_have_text("bold")
    expect(first).to_contain_text("What?")
    line = first.locator(".nbchat-line")
    for part in ("fake", "3.3 s", "120 tokens", "[7]", "stale", "2 versions", "2 older turns were left out"):
        expect(line).to_contain_text(part)


def test_what_the_line_below_a_reply_means_is_told_to_keyboards_and_screen_readers(panel: PanelPage) -> None:
    panel.open(turn(stale=True))
    why = panel.turn(0).get_by_text("earlier messages have changed since it was sent")
    expect(why).to_be_hidden()
    panel.log.focus()
    panel.page.keyboard.press("Tab")
    panel.page.keyboard.press("Enter")
    expect(why).to_be_visible()
    expect(why).to_contain_text("15 tokens sent")


def test_what_undo_takes_back_is_seen_by_who_comes_by_keys(panel: PanelPage) -> None:
    panel.open(turn(), head={"undo": "the deletion of “Hi”"})
    button = panel.button("Undo: the deletion of “Hi”")
    seen = "(button) => getComputedStyle(button, '::after').content"
    assert button.evaluate(seen) == "none"
    panel.page.keyboard.press("Tab")
    button.focus()
    assert "the deletion of “Hi”" in button.evaluate(seen)


def test_a_reply_grows_by_sealed_blocks_and_a_tail(panel: PanelPage) -> None:
    panel.open()
    asked = live("Go on")
    panel.put(asked)
    panel.push(
        {"id": asked["id"], "add": {"blocks": blocks_of("One."), "reasoning": "Hm. "}, "set": {"tail": "<p>Tw</p>"}}
    )
    panel.push({"id": asked["id"], "add": {"blocks": blocks_of("Two."), "reasoning": "Yes."}, "set": {"tail": ""}})
    expect(panel.turn(0).locator(".nbchat-blocks p")).to_have_text(["One.", "Two."])
    expect(panel.turn(0).locator(".nbchat-tail")).to_have_text("")
    panel.turn(0).get_by_text("Reasoning").click()
    expect(panel.turn(0).locator(".nbchat-reasoning")).to_contain_text("Hm. Yes.")


def test_turns_stand_where_the_kernel_puts_them(panel: PanelPage) -> None:
    a, b, c = turn("a"), turn("b"), turn("c")
    panel.open(a, c)
    panel.push({"id": b["id"], "at": 1, "turn": b})
    expect(panel.root.locator(".nbchat-prompt")).to_have_text(["a", "b", "c"])
    panel.push({"id": a["id"], "at": 2, "turn": a | {"prompt": "a again"}}, {"id": c["id"], "gone": True})
    expect(panel.root.locator(".nbchat-prompt")).to_have_text(["b", "a again"])


def test_a_new_version_takes_the_place_of_the_blocks_before(panel: PanelPage) -> None:
    first = turn("Again", "The old reply.")
    panel.open(first)
    panel.put(first | {"status": "streaming", "blocks": [], "text": None})
    expect(panel.turn(0)).not_to_contain_text("old")
    panel.push({"id": first["id"], "add": {"blocks": blocks_of("The new reply.")}})
    expect(panel.turn(0).locator(".nbchat-blocks")).to_have_text("The new reply.")


def _folded(turns: list[Json], changes: list[Json]) -> None:
    """What frames mean, once more."""
    for change in changes:
        old = next((one for one in turns if one["id"] == change["id"]), None)
        if old is not None and ("turn" in change or "gone" in change):
            turns.remove(old)
        if "turn" in change:
            turns.insert(change["at"], dict(change["turn"]))
        elif old is not None and "gone" not in change:
            old["blocks"] = old["blocks"] + change.get("add", {}).get("blocks", [])
            old["reasoning"] += change.get("add", {}).get("reasoning", "")
            old.update(change.get("set", {}))


def _any_change(chance: random.Random, turns: list[Json]) -> Json:
    known = chance.choice(turns)["id"] if turns else None
    kind = chance.choice(["new", "new", "grow", "grow", "grow", "move", "gone"]) if known else "new"
    if kind == "gone":
        return {"id": known, "gone": True}
    if kind == "grow":
        add = {"blocks": [f"<p>{chance.random()}</p>"] * chance.randrange(3), "reasoning": chance.choice(["", "so "])}
        return {"id": known, "add": add, "set": {"tail": f"<p>{chance.random()}</p>"}}
    fresh = live(f"prompt {chance.random()}")
    fresh["id"] = known if kind == "move" else fresh["id"]
    return {"id": fresh["id"], "at": chance.randrange(len(turns) + 1 - (kind == "move")), "turn": fresh}


@pytest.mark.parametrize("seed", range(4))
def test_any_frames_fold_to_the_same_in_the_page_and_in_its_dom(panel: PanelPage, seed: int) -> None:
    chance = random.Random(seed)
    turns: list[Json] = []
    panel.open()
    for _ in range(25):
        changes = []
        for _ in range(chance.randrange(4)):
            changes.append(_any_change(chance, turns))
            _folded(turns, changes[-1:])
        panel.push(*changes, head={"undo": str(chance.random())})
    assert panel.page.evaluate("window.panel.stub.state._turns") == turns
    assert panel.page.evaluate("window.panel.stub.state._seq") == panel.seq
    expect(panel.root.locator(".nbchat-prompt")).to_have_text([one["prompt"] for one in turns])
    seen = panel.root.locator("article").evaluate_all(
        "(all) => all.map((one) => Array.from(one.querySelectorAll('p:not([class])'), (p) => p.textContent))"
    )
    told = [re.findall("<p>(.*?)</p>", "".join([*one["blocks"], one["tail"]])) for one in turns]
    assert seen == told


def test_nothing_of_that_goes_back_to_the_kernel(panel: PanelPage) -> None:
    panel.open()
    panel.put(turn())
    assert panel.asked() == []


def test_a_state_without_turns_asks_for_them(panel: PanelPage) -> None:
    panel.open(_seq=-1)
    assert [message["op"] for message in panel.asked()] == ["sync"]


def test_a_gap_asks_once_for_all_and_shows_nothing_until_it_comes(panel: PanelPage) -> None:
    panel.open(turn("first"))
    panel.seq += 1
    panel.put(turn("lost its neighbour"))
    panel.put(turn("likewise"))
    assert [one["op"] for one in panel.asked()] == ["sync"]
    expect(panel.root.locator(".nbchat-prompt")).to_have_text(["first"])
    panel.say({"op": "snapshot", "seq": panel.seq, "turns": [turn("second")], "head": {"undo": "it"}})
    panel.put(turn("third"), at=1)
    expect(panel.root.locator(".nbchat-prompt")).to_have_text(["second", "third"])
    expect(panel.button("Undo: it")).to_be_visible()


def test_a_whole_that_got_lost_is_asked_for_again_after_a_while(panel: PanelPage) -> None:
    panel.open(turn("first"))
    panel.seq += 1
    panel.put(turn("lost its neighbour"))
    panel.put(turn("likewise"))
    panel.page.evaluate("const now = Date.now; Date.now = () => now.call(Date) + 7000")
    panel.put(turn("much later"))
    assert [one["op"] for one in panel.asked()] == ["sync", "sync"]


def test_a_prompt_that_comes_back_with_the_whole_is_shown_once(panel: PanelPage) -> None:
    panel.open()
    panel.composer.fill("Hello")
    panel.composer.press("Enter")
    panel.say({"op": "snapshot", "seq": 3, "turns": [live("Hello")], "head": {}})
    expect(panel.root.locator(".nbchat-prompt")).to_have_text(["Hello"])


def test_a_frame_that_comes_twice_counts_once(panel: PanelPage) -> None:
    asked = live()
    panel.open(asked)
    panel.push({"id": asked["id"], "add": {"blocks": blocks_of("Once.")}})
    panel.seq -= 1
    panel.push({"id": asked["id"], "add": {"blocks": blocks_of("Once.")}})
    expect(panel.turn(0).locator(".nbchat-blocks")).to_have_text("Once.")


def test_a_snapshot_of_what_is_known_touches_no_block(panel: PanelPage) -> None:
    asked = live(blocks=blocks_of("One.\n\nTwo."))
    panel.open(asked)
    panel.page.evaluate("() => { window.before = document.querySelector('.nbchat-blocks p'); }")
    grown = asked | {"blocks": asked["blocks"] + blocks_of("Three.")}
    panel.say({"op": "snapshot", "seq": 0, "turns": [grown], "head": {}})
    expect(panel.turn(0).locator(".nbchat-blocks p")).to_have_text(["One.", "Two.", "Three."])
    assert panel.page.evaluate("window.before === document.querySelector('.nbchat-blocks p')")


def test_prompts_names_and_errors_are_text(panel: PanelPage) -> None:
    evil = "<img src=x onerror='document.title=1'><b>bold</b>"
    told = turn(
        evil, None, model=evil, error=evil, reasoning=evil, notice=evil, notes=[evil], status="failed", provider=evil
    )
    panel.open(told, head={"conversation": evil, "conversations": [evil], "model": evil, "undo": evil}, models=[evil])
    panel.composer.fill(evil)
    panel.composer.press("Enter")
    panel.answer("send", error=evil)
    expect(panel.turn(0).locator(".nbchat-error")).to_have_text(evil)
    expect(panel.root.locator(".nbchat-word")).to_contain_text("<img")
    assert panel.root.locator("img, b").count() == 0
    assert panel.page.title() == "A notebook"


# ---- Send, Stop, and whether one can trust what is said of them


def test_stop_is_there_from_the_moment_of_send(panel: PanelPage) -> None:
    panel.open()
    expect(panel.button("Stop")).to_be_hidden()
    panel.composer.fill("Hello")
    panel.button("Send").click()
    expect(panel.button("Stop")).to_be_visible()
    assert panel.asked("send")[0] | {"nonce": ""} == {"op": "send", "nonce": "", "text": "Hello", "model": ""}
    asked = live("Hello")
    panel.put(asked)
    panel.answer("send")
    expect(panel.button("Stop")).to_be_visible()
    expect(panel.log).to_have_attribute("aria-busy", "true")
    panel.button("Stop").click()
    assert panel.asked("stop")[0]["id"] == ""
    panel.push({"id": asked["id"], "set": {"status": "stopped", "text": ""}})
    panel.answer("stop")
    expect(panel.button("Stop")).to_be_hidden()
    expect(panel.turn(0)).to_contain_text("Stopped")
    expect(panel.log).to_have_attribute("aria-busy", "false")
    expect(panel.composer).to_be_focused()


def test_the_focus_is_not_lost_when_a_reply_ends_while_stop_has_it(panel: PanelPage) -> None:
    asked = live()
    panel.open(asked)
    panel.button("Stop").focus()
    panel.push({"id": asked["id"], "set": {"status": "done", "text": "Done."}})
    expect(panel.composer).to_be_focused()


def test_stop_before_the_kernel_has_the_prompt_withdraws_it_and_gives_it_back(panel: PanelPage) -> None:
    panel.open()
    panel.composer.fill("Too early")
    panel.composer.press("Enter")
    panel.button("Stop").click()
    sent = panel.asked("send")[0]["nonce"]
    assert [one.get("of", one.get("id")) for one in panel.asked()[1:]] == [sent, ""]
    expect(panel.composer).to_have_value("Too early")
    expect(panel.root.locator(".nbchat-prompt")).to_have_count(0)


def test_a_prompt_that_waits_for_a_cell_says_so_and_can_be_withdrawn(panel: PanelPage) -> None:
    panel.open()
    panel.composer.fill("Will you?")
    panel.composer.press("Enter")
    expect(panel.log).to_contain_text(WAITING)
    expect(panel.log).to_contain_text("Will you?")
    expect(panel.status).to_have_text(WAITING)
    panel.button("Withdraw").click()
    assert panel.asked("withdraw")[0]["of"] == panel.asked("send")[0]["nonce"]
    expect(panel.composer).to_have_value("Will you?")
    expect(panel.composer).to_be_focused()
    expect(panel.log).not_to_contain_text(WAITING)


def test_a_withdraw_that_came_too_late_is_said_and_takes_nothing_away(panel: PanelPage) -> None:
    panel.open()
    panel.composer.fill("Will you?")
    panel.composer.press("Enter")
    expect(panel.log).to_contain_text(WAITING)
    panel.composer.fill("Or not?")
    panel.button("Withdraw").click()
    expect(panel.composer).to_have_value("Or not?\n\nWill you?")
    panel.answer("withdraw", error="It was sent already: Stop ends the reply.")
    expect(panel.root.locator(".nbchat-word")).to_contain_text("It was sent already")


def test_a_prompt_that_was_taken_is_shown_once(panel: PanelPage) -> None:
    panel.open()
    panel.composer.fill("Hello")
    panel.composer.press("Enter")
    expect(panel.log.get_by_text("Sending…")).to_be_visible()
    panel.say({"op": "ack", "nonce": panel.asked("send")[0]["nonce"]})
    panel.put(live("Hello"))
    expect(panel.root.locator(".nbchat-prompt")).to_have_text(["Hello"])
    panel.answer("send")
    expect(panel.root.locator(".nbchat-prompt")).to_have_text(["Hello"])
    expect(panel.log).not_to_contain_text(WAITING)


def test_a_stop_that_waits_for_a_cell_says_so(panel: PanelPage) -> None:
    panel.open(live())
    panel.button("Stop").click()
    word = panel.root.locator(".nbchat-word")
    expect(word).to_contain_text(f"{WAITING} (stop)")
    panel.answer("stop")
    expect(word).to_be_hidden()


def test_escape_stops_while_live_and_then_goes_back_to_the_notebook(panel: PanelPage) -> None:
    asked = live()
    panel.open(asked)
    panel.composer.press("Escape")
    assert len(panel.asked("stop")) == 1
    panel.push({"id": asked["id"], "set": {"status": "stopped"}})
    panel.answer("stop")
    panel.composer.press("Escape")
    assert len(panel.asked("stop")) == 1
    expect(panel.page.locator(".jp-Cell")).to_be_focused()


def test_a_queued_prompt_can_be_cancelled_by_itself(panel: PanelPage) -> None:
    queued = live("Later", status="queued")
    panel.open(live(), queued)
    panel.turn(1).get_by_role("button", name="Cancel this prompt").click()
    assert panel.asked("stop")[0]["id"] == queued["id"]


def test_a_kernel_that_is_gone_is_said_and_nothing_is_replying(panel: PanelPage) -> None:
    panel.open(live())
    expect(panel.log).to_contain_text("Replying…")
    panel.disconnect()
    expect(panel.banner).to_have_text(LOST)
    expect(panel.banner).to_be_visible()
    expect(panel.log).not_to_contain_text("Replying")
    expect(panel.button("Stop")).to_be_hidden()
    panel.composer.fill("Still there?")
    panel.composer.press("Enter")
    expect(panel.composer).to_have_value("Still there?")


def test_what_is_asked_of_a_dead_kernel_is_answered_at_once(panel: PanelPage) -> None:
    panel.page.clock.install()
    panel.open(turn(), head={"undo": "it"})
    panel.page.evaluate("() => { window.panel.stub.comm_live = false; }")  # and nobody was told
    panel.button("Undo: it").click()
    expect(panel.status).to_have_text(LOST)
    panel.settle()
    assert panel.banner.is_visible()
    assert panel.asked() == []


def test_an_edit_stays_open_when_the_kernel_is_gone(panel: PanelPage) -> None:
    panel.open(turn("Old"))
    panel.turn(0).get_by_role("button", name="Edit prompt").click()
    panel.disconnect()
    box = panel.turn(0).get_by_role("textbox", name="Edit prompt")
    box.fill("Newer")
    box.press("Enter")
    expect(box).to_have_value("Newer")
    expect(box).to_be_focused()


def test_a_prompt_on_its_way_when_the_kernel_dies_can_be_had_back(panel: PanelPage) -> None:
    panel.open()
    panel.composer.fill("Precious")
    panel.composer.press("Enter")
    panel.disconnect()
    expect(panel.log).to_contain_text("Not sent")
    panel.composer.fill("And this")
    panel.button("Put back").click()
    expect(panel.composer).to_have_value("And this\n\nPrecious")


def test_a_saved_widget_without_a_kernel_shows_its_turns_and_one_honest_sentence(panel: PanelPage) -> None:
    panel.open(turn("Then", "An answer."), live("Unfinished"), connected=False)
    expect(panel.log).to_contain_text("An answer.")
    expect(panel.banner).to_be_visible()
    expect(panel.log).not_to_contain_text("Replying")
    expect(panel.button("Stop")).to_be_hidden()
    assert panel.asked() == []


def test_a_saved_state_without_turns_and_without_a_kernel_says_so_too(panel: PanelPage) -> None:
    panel.open(connected=False, _seq=-1)
    expect(panel.banner).to_be_visible()
    assert panel.asked() == []


def test_what_the_host_reads_again_after_a_lost_connection_is_shown(panel: PanelPage) -> None:
    panel.open(live("Unfinished"))
    panel.page.evaluate(
        """(turns) => {
            window.panel.stub.set("_turns", turns);
            window.panel.stub.set("_seq", 12);
        }""",
        [turn("Finished"), turn("And another")],
    )
    expect(panel.root.locator(".nbchat-prompt")).to_have_text(["Finished", "And another"])
    expect(panel.button("Stop")).to_be_hidden()
    panel.seq = 12
    panel.put(turn("And one more"), at=2)
    expect(panel.root.locator(".nbchat-prompt")).to_have_count(3)


def test_silence_while_a_reply_is_live_is_said_and_healed_by_the_next_word(panel: PanelPage) -> None:
    panel.page.clock.install()
    panel.open(live(), _seq=0)
    syncs = len(panel.asked("sync"))
    panel.page.clock.fast_forward(6_100)
    expect(panel.banner).to_be_visible()
    expect(panel.banner).to_contain_text("or load the page anew")
    expect(panel.log).not_to_contain_text("Replying")
    assert len(panel.asked("sync")) == syncs + 1
    panel.push()
    expect(panel.banner).to_be_hidden()
    expect(panel.log).to_contain_text("Replying")


def test_pulses_keep_a_silent_reply_alive_and_no_reply_needs_none(panel: PanelPage) -> None:
    panel.page.clock.install()
    asked = live()
    panel.open(asked)
    for _ in range(4):
        panel.page.clock.fast_forward(5_000)
        panel.settle()
        assert not panel.banner.is_visible()
        panel.push()
    panel.push({"id": asked["id"], "set": {"status": "done", "text": "Hi."}})
    panel.page.clock.fast_forward(60_000)
    panel.settle()
    expect(panel.banner).to_be_hidden()


def test_coming_back_to_the_page_asks_for_what_was_missed(panel: PanelPage) -> None:
    panel.page.clock.install()
    panel.open(live())
    before = len(panel.asked("sync"))
    panel.page.evaluate("window.dispatchEvent(new Event('focus'))")
    assert len(panel.asked("sync")) == before
    panel.page.clock.fast_forward(3_000)
    panel.page.evaluate("window.dispatchEvent(new Event('focus'))")
    assert len(panel.asked("sync")) == before + 1


def test_a_failed_reply_shows_its_error_and_retry(panel: PanelPage) -> None:
    told = turn("Try", None, status="failed", error="fake: no key. Set FAKE_KEY.", text="")
    panel.open(told)
    expect(panel.turn(0).locator(".nbchat-error")).to_have_text("fake: no key. Set FAKE_KEY.")
    expect(panel.turn(0)).to_contain_text("Failed")
    panel.turn(0).get_by_role("button", name="Retry").click()
    assert panel.asked("retry")[0] | {"nonce": ""} == {"op": "retry", "nonce": "", "id": told["id"], "model": ""}
    expect(panel.button("Stop")).to_be_visible()


def test_a_cut_reply_says_so(panel: PanelPage) -> None:
    panel.open(turn(cut=True))
    expect(panel.turn(0)).to_contain_text("Cut off")


# ---- nothing typed is lost


def test_the_composer_stays_usable_while_a_reply_streams(panel: PanelPage) -> None:
    asked = live()
    panel.open(asked)
    panel.composer.fill("And")
    panel.push({"id": asked["id"], "add": {"blocks": blocks_of("Some.")}})
    panel.composer.press_sequentially(" then?")
    panel.composer.press("Enter")
    assert [one["text"] for one in panel.asked("send")] == ["And then?"]
    expect(panel.composer).to_be_focused()


def test_a_refused_prompt_comes_back_to_an_empty_composer(panel: PanelPage) -> None:
    panel.open()
    panel.composer.fill("Lost?")
    panel.composer.press("Enter")
    panel.answer("send", error="There is no model 'nope'.")
    expect(panel.composer).to_have_value("Lost?")
    expect(panel.root.locator(".nbchat-word")).to_contain_text("There is no model 'nope'.")
    expect(panel.status).to_have_text("There is no model 'nope'.")
    expect(panel.button("Stop")).to_be_hidden()


def test_a_refused_prompt_does_not_replace_what_was_typed_since(panel: PanelPage) -> None:
    panel.open()
    panel.composer.fill("First")
    panel.composer.press("Enter")
    panel.composer.fill("Second")
    panel.answer("send", error="No.")
    expect(panel.composer).to_have_value("Second")
    expect(panel.log).to_contain_text("First")
    panel.button("Put back").click()
    expect(panel.composer).to_have_value("Second\n\nFirst")
    expect(panel.log).not_to_contain_text("First")


def test_up_recalls_earlier_prompts_in_an_empty_composer_only(panel: PanelPage) -> None:
    panel.open(turn("one"), turn("two"), turn("two"))
    for key, seen in [
        ("ArrowUp", "two"),
        ("ArrowUp", "one"),
        ("ArrowUp", "one"),
        ("ArrowDown", "two"),
        ("ArrowDown", ""),
    ]:
        panel.composer.press(key)
        expect(panel.composer).to_have_value(seen)
    panel.composer.fill("mine")
    panel.composer.press("ArrowUp")
    expect(panel.composer).to_have_value("mine")


def test_up_walks_through_the_lines_of_a_recalled_prompt_first(panel: PanelPage) -> None:
    panel.open(turn("older"), turn("two\nlines"))
    panel.composer.press("ArrowUp")
    panel.composer.press("ArrowUp")
    expect(panel.composer).to_have_value("two\nlines")
    panel.composer.press("ArrowUp")
    expect(panel.composer).to_have_value("older")


def test_a_withdrawn_prompt_is_recalled_too(panel: PanelPage) -> None:
    panel.open()
    panel.composer.fill("Never sent")
    panel.composer.press("Enter")
    panel.composer.fill("x")
    panel.button("Stop").click()
    panel.composer.fill("")
    panel.composer.press("ArrowUp")
    expect(panel.composer).to_have_value("Never sent")


def test_the_draft_outlives_the_page(panel: PanelPage) -> None:
    panel.open()
    panel.composer.fill("Half a thou")
    panel.open()
    expect(panel.composer).to_have_value("Half a thou")
    panel.composer.press("Enter")
    panel.open()
    expect(panel.composer).to_have_value("")


def test_the_draft_outlives_the_kernel_where_the_notebook_can_be_told(panel: PanelPage) -> None:
    panel.page.add_init_script("window.notebook = 'a/talk.ipynb'")
    panel.open()
    panel.composer.fill("Half a thou")
    panel.open(id="widget-2")
    expect(panel.composer).to_have_value("Half a thou")
    panel.open(id="widget-3", head={"mine": False})
    expect(panel.composer).to_have_value("")


def test_a_panel_whose_kernel_died_does_not_take_the_place_of_what_is_typed_in_the_next_one(panel: PanelPage) -> None:
    panel.page.add_init_script("window.notebook = 'a/talk.ipynb'")
    panel.open(turn())
    panel.render(turn(), id="widget-2")
    dead, living = panel.page.get_by_role("textbox", name="Message").all()
    living.fill("To be sent")
    dead.fill("Typed too late")
    panel.open(turn())
    texts = panel.root.evaluate("(root) => root.querySelector('textarea').value + root.textContent")
    assert "To be sent" in texts
    assert "Typed too late" in texts


def _put_back(panel: PanelPage) -> list[str]:
    """What can be put back, from the top."""
    panel.composer.fill("")
    while panel.button("Put back").count():
        panel.button("Put back").first.click()
        panel.settle()
    return panel.composer.input_value().split("\n\n")


def test_what_is_typed_in_two_views_outlives_the_page(panel: PanelPage) -> None:
    panel.open()
    panel.show_again()
    panel.composer.fill("Here")
    panel.page.locator("#second").get_by_role("textbox", name="Message").fill("There")
    panel.open()
    panel.show_again()
    expect(panel.composer).to_have_value("Here")
    expect(panel.page.locator("#second").get_by_role("textbox", name="Message")).to_have_value("")
    assert _put_back(panel) == ["There"]


def test_an_edit_that_is_open_and_prompts_that_wait_or_were_refused_outlive_the_page(panel: PanelPage) -> None:
    told = turn("Old")
    panel.open(told)
    panel.composer.fill("Refused")
    panel.composer.press("Enter")
    panel.composer.fill("Draft")
    panel.answer("send", error="No.")
    panel.turn(0).get_by_role("button", name="Edit prompt").click()
    panel.turn(0).get_by_role("textbox", name="Edit prompt").fill("Newer")
    panel.composer.fill("Waits")
    panel.composer.press("Enter")
    panel.composer.fill("Draft")
    panel.open(told)
    expect(panel.composer).to_have_value("Draft")
    expect(panel.log).to_contain_text("Not sent")
    panel.open(told)
    assert sorted(_put_back(panel)) == ["Newer", "Refused", "Waits"]


def test_a_prompt_that_was_refused_while_another_was_typed_outlives_the_page(panel: PanelPage) -> None:
    panel.open()
    panel.composer.fill("First")
    panel.composer.press("Enter")
    panel.composer.fill("Second")
    panel.answer("send", error="No.")
    panel.open()
    expect(panel.composer).to_have_value("Second")
    assert _put_back(panel) == ["First"]


def test_an_edit_that_waits_outlives_the_page(panel: PanelPage) -> None:
    told = turn("Old")
    panel.open(told)
    panel.turn(0).get_by_role("button", name="Edit prompt").click()
    panel.turn(0).get_by_role("textbox", name="Edit prompt").fill("Newer")
    panel.turn(0).get_by_role("button", name="Send edit").click()
    panel.open(told)
    assert _put_back(panel) == ["Newer"]


def test_a_prompt_that_came_in_spite_of_a_reload_is_not_offered_again(panel: PanelPage) -> None:
    panel.open()
    for prompt in ("Came at once", "Came later"):
        panel.composer.fill(prompt)
        panel.composer.press("Enter")
    first = turn("Came at once")
    panel.open(first)
    expect(panel.button("Put back")).to_have_count(1)
    panel.put(turn("Came later"), at=1)
    expect(panel.button("Put back")).to_have_count(0)


def test_a_view_that_is_closed_loses_nothing_that_was_typed_in_it(panel: PanelPage) -> None:
    panel.open(turn("Old"))
    panel.show_again()
    panel.page.locator("#second").get_by_role("textbox", name="Message").fill("There")
    panel.page.evaluate("window.panel.closes[1]()")
    expect(panel.log).to_contain_text("There")
    panel.composer.fill("Here")
    panel.page.evaluate("window.panel.closes[0]()")
    panel.show_again()
    again = panel.page.locator("#second")
    expect(again.get_by_role("textbox", name="Message")).to_have_value("Here")
    expect(again.get_by_role("log")).to_contain_text("There")


def test_a_host_that_denies_storage_has_a_panel_all_the_same(panel: PanelPage) -> None:
    panel.page.add_init_script(
        "Object.defineProperty(window, 'sessionStorage', { get() { throw new Error('denied'); } })"
    )
    panel.open()
    panel.composer.fill("Hello")
    panel.composer.press("Enter")
    assert len(panel.asked("send")) == 1


def test_an_empty_prompt_is_not_sent(panel: PanelPage) -> None:
    panel.open()
    panel.composer.fill("  \n ")
    panel.composer.press("Enter")
    panel.button("Send").click()
    assert panel.asked() == []


# ---- keys


def test_enter_sends_and_shift_enter_makes_a_line(panel: PanelPage) -> None:
    panel.open()
    panel.composer.press_sequentially("a")
    panel.composer.press("Shift+Enter")
    panel.composer.press_sequentially("b")
    expect(panel.composer).to_have_value("a\nb")
    panel.composer.press("Enter")
    panel.composer.fill("c")
    panel.composer.press("Control+Enter")
    assert [one["text"] for one in panel.asked("send")] == ["a\nb", "c"]
    expect(panel.composer).to_have_value("")


def test_where_ctrl_enter_sends_enter_makes_a_line(panel: PanelPage) -> None:
    panel.open(_sends="ctrl-enter")
    panel.composer.press_sequentially("a")
    panel.composer.press("Enter")
    assert panel.asked() == []
    expect(panel.composer).to_have_value("a\n")
    panel.composer.press("Control+Enter")
    assert panel.asked("send")[0]["text"] == "a\n"


@pytest.mark.parametrize("told", [{"isComposing": True}, {"keyCode": 229}], ids=["composing", "Safari"])
def test_enter_in_an_input_method_never_sends(panel: PanelPage, told: Json) -> None:
    panel.open()
    panel.composer.fill("こんに")
    press = "(box, told) => box.dispatchEvent(new KeyboardEvent('keydown', told))"
    event = {"key": "Enter", "bubbles": True, "cancelable": True} | told
    assert panel.composer.evaluate(press, event), "the input method must get its key"
    expect(panel.composer).to_have_value("こんに")
    assert panel.asked() == []


def test_a_composition_does_not_lock_enter_for_ever(panel: PanelPage) -> None:
    panel.open()
    panel.composer.focus()
    session = panel.context.new_cdp_session(panel.page)
    session.send("Input.imeSetComposition", {"text": "にほ", "selectionStart": 2, "selectionEnd": 2})
    session.send("Input.insertText", {"text": "日本"})
    expect(panel.composer).to_have_value("日本")
    panel.composer.press("Enter")
    assert panel.asked("send")[0]["text"] == "日本"


LISTEN = """() => {
    window.heard = [];
    const hear = (event) => /^(Control|Shift)$/.test(event.key)
        || window.heard.push((event.ctrlKey ? "Ctrl+" : "") + (event.shiftKey ? "Shift+" : "") + event.key);
    document.addEventListener("keydown", hear, true);  // as Notebook 7 does
}"""


def test_the_notebook_hears_no_key_of_the_panel_but_its_own_combinations(panel: PanelPage) -> None:
    panel.open(turn())
    panel.page.evaluate(LISTEN)
    for place in (
        panel.composer,
        panel.log,
        panel.button("Send"),
        panel.turn(0).get_by_role("button", name="Copy reply"),
    ):
        for key in ("d", "d", "z", "a", "b", "Shift+Enter", "Control+Enter", "Control+z", "Escape"):
            place.press(key)
    assert panel.page.evaluate("window.heard") == []
    panel.composer.press("Control+s")
    assert panel.page.evaluate("window.heard.at(-1)") == "Ctrl+s"
    panel.page.locator(".jp-Cell").press("d")
    assert panel.page.evaluate("window.heard.at(-1)") == "d"


COUNT = """
window.open = new Set();
const mark = (kind, key) => `${kind} ${key}`;
for (const target of [window, document]) {
    const add = target.addEventListener.bind(target);
    target.addEventListener = (kind, react, options) => {
        const listener = [kind];
        window.open.add(listener);
        options.signal.addEventListener("abort", () => window.open.delete(listener));
        add(kind, react, options);
    };
}
for (const [begin, end] of [["setTimeout", "clearTimeout"], ["requestAnimationFrame", "cancelAnimationFrame"]]) {
    const [first, last] = [window[begin], window[end]];
    window[begin] = (react, ...more) => {
        const id = first(() => (window.open.delete(mark(begin, id)), react(performance.now())), ...more);
        window.open.add(mark(begin, id));
        return id;
    };
    window[end] = (id) => (window.open.delete(mark(begin, id)), last(id));
}
window.ResizeObserver = class extends ResizeObserver {
    observe(target) { window.open.add(this); super.observe(target); }
    disconnect() { window.open.delete(this); super.disconnect(); }
};
"""
"""Counts what outlives the panel if nobody ends it."""

CYCLES = """async ([state, turn, cycles]) => {
    const { open } = await import("./stub_model.js");
    const counts = [];
    for (let cycle = 0; cycle < cycles; cycle++) {
        const fresh = { ...state, _turns: [turn], _head: { ...state._head } };
        const one = await open("./panel.js", fresh, `id-${cycle}`, true);
        const closes = [];
        for (const place of ["#first", "#second"]) closes.push(await one.show(document.querySelector(place)));
        await new Promise(requestAnimationFrame);
        const box = document.querySelector("#first textarea");
        box.value = "Typed";
        box.dispatchEvent(new Event("input", { bubbles: true }));
        const during = window.open.size;
        document.querySelector("#first [data-do=new]").click();
        document.querySelector("#first [data-do=send]").click();
        one.stub.trigger("msg:custom", { op: "done", nonce: one.stub.sent.at(-1).nonce });
        for (const close of closes) await close();
        await one.forget();
        const panels = document.querySelectorAll(".nbchat-panel").length;
        counts.push([during > 0, window.open.size, one.stub.heard.length, panels, sessionStorage.length]);
    }
    return counts;
}"""


def test_a_hundred_panels_that_were_closed_leave_nothing_behind(panel: PanelPage) -> None:
    panel.page.add_init_script(COUNT)
    panel.open()
    panel.page.evaluate(
        "async () => { for (const close of window.panel.closes) await close(); await window.panel.forget(); }"
    )
    state = panel.page.evaluate("window.panel.stub.state")
    counts = panel.page.evaluate(CYCLES, [state, live(blocks=blocks_of(CODE + "\n\n$x$")), 100])
    assert counts == [[True, 0, 0, 0, 0]] * 100


def test_a_closed_panel_asks_for_nothing_more(panel: PanelPage) -> None:
    panel.page.clock.install()
    panel.open(live())
    panel.show_again()
    panel.page.evaluate(
        "async () => { for (const close of window.panel.closes) await close(); await window.panel.forget(); }"
    )
    before = len(panel.asked())
    panel.page.clock.fast_forward(60_000)
    assert len(panel.asked()) == before
    expect(panel.page.locator(".nbchat-panel")).to_have_count(0)


def test_tab_goes_from_the_composer_by_its_buttons_to_the_transcript_and_its_actions(panel: PanelPage) -> None:
    panel.open(turn())
    panel.composer.focus()
    names = []
    for _ in range(5):
        panel.page.keyboard.press("Tab")
        names.append(panel.page.evaluate("document.activeElement.ariaLabel ?? document.activeElement.tagName"))
    assert names == ["Model", "Send", "Conversation", "SUMMARY", "Copy reply"]
    assert panel.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert panel.page.evaluate("getComputedStyle(document.activeElement.parentNode).opacity") == "1"


# ---- scrolling


def test_it_follows_the_end_while_the_reader_is_there(panel: PanelPage) -> None:
    asked = live(blocks=blocks_of(LONG))
    panel.open(asked)
    assert panel.scrolled()["left"] < 2
    panel.push({"id": asked["id"], "add": {"blocks": blocks_of(LONG)}})
    assert panel.scrolled()["left"] < 2
    expect(panel.button("Latest")).to_be_hidden()


def test_scrolling_up_ends_that_at_once_and_latest_brings_it_back(panel: PanelPage) -> None:
    asked = live(blocks=blocks_of(LONG))
    panel.open(asked)
    panel.log.hover()
    panel.page.mouse.wheel(0, -300)
    expect(panel.button("Latest")).to_be_visible()
    before = panel.scrolled()
    panel.push({"id": asked["id"], "add": {"blocks": blocks_of(LONG)}})
    assert panel.scrolled()["top"] == before["top"]
    panel.button("Latest").click()
    expect(panel.log).to_be_focused()
    assert panel.scrolled()["left"] < 2
    panel.push({"id": asked["id"], "add": {"blocks": blocks_of(LONG)}})
    assert panel.scrolled()["left"] < 2


def test_scrolling_down_to_the_end_follows_again(panel: PanelPage) -> None:
    asked = live(blocks=blocks_of(LONG))
    panel.open(asked)
    panel.log.press("PageUp")
    expect(panel.button("Latest")).to_be_visible()
    panel.log.press("End")
    expect(panel.button("Latest")).to_be_hidden()
    panel.push({"id": asked["id"], "add": {"blocks": blocks_of(LONG)}})
    assert panel.scrolled()["left"] < 2


def test_sending_goes_to_the_end(panel: PanelPage) -> None:
    panel.open(turn("long", LONG))
    panel.log.evaluate("(log) => log.scrollTo(0, 0)")
    expect(panel.button("Latest")).to_be_visible()
    panel.composer.fill("More")
    panel.composer.press("Enter")
    panel.settle()
    assert panel.scrolled()["left"] < 2


def test_a_composer_that_grows_and_a_panel_that_is_resized_are_no_scrolling_up(panel: PanelPage) -> None:
    asked = live(blocks=blocks_of(LONG))
    panel.open(asked)
    panel.composer.fill("\n" * 8)
    panel.settle()
    assert panel.scrolled()["left"] < 2
    for height in ("300px", "500px"):
        panel.root.evaluate("(root, height) => { root.style.height = height; root.offsetHeight; }", height)
        panel.settle()
        assert panel.scrolled()["left"] < 2
    panel.push({"id": asked["id"], "add": {"blocks": blocks_of(LONG)}})
    assert panel.scrolled()["left"] < 2


def test_who_reads_an_older_turn_keeps_it_in_sight_when_others_come_above(panel: PanelPage) -> None:
    read = turn("read me", LONG)
    panel.open(turn("old", LONG), read, turn("new", LONG), head={"earlier": 7})
    panel.turn(1).evaluate("(one) => one.closest('.nbchat-log').scrollTo(0, one.offsetTop + 20)")
    panel.settle()
    before = panel.turn(1).bounding_box()
    panel.put(turn("older", LONG), turn("still older", LONG))
    assert panel.turn(3).bounding_box() == before


def test_scrolling_up_a_history_that_was_never_laid_out_does_not_jump(panel: PanelPage) -> None:
    panel.open(*[turn(f"prompt {number}", LONG if number % 3 else "short") for number in range(12)])
    panel.log.hover()
    for _ in range(60):
        panel.page.evaluate(
            """() => {
                const box = document.querySelector(".nbchat-log").getBoundingClientRect();
                window.middle = document.elementFromPoint(box.x + 40, box.y + box.height / 2);
                window.before = window.middle.getBoundingClientRect().y;
            }"""
        )
        panel.page.mouse.wheel(0, -200)
        moved = "Math.round(window.middle.getBoundingClientRect().y - window.before)"
        panel.page.wait_for_function(f"{moved} >= 200")
        panel.settle()
        assert panel.page.evaluate(moved) == 200


def test_the_earlier_turns_are_asked_for_from_the_top(panel: PanelPage) -> None:
    panel.open(turn("new", LONG), head={"earlier": 312})
    panel.log.evaluate("(log) => log.scrollTo(0, 0)")
    panel.button("312 earlier turns").click()
    assert len(panel.asked("earlier")) == 1
    before = panel.turn(0).bounding_box()
    panel.push({"id": "x", "at": 0, "turn": turn("older", LONG, id="x")}, head={"earlier": 0})
    panel.answer("earlier")
    after = panel.turn(1).bounding_box()
    assert before is not None
    assert after is not None
    assert abs(before["y"] - after["y"]) < 60, "what was in sight is still in sight"
    expect(panel.root.get_by_role("button", name="earlier turn")).to_have_count(0)


def test_a_view_appears_scrolled_to_the_end_even_if_it_was_hidden_first(panel: PanelPage) -> None:
    panel.page.add_init_script(
        "addEventListener('DOMContentLoaded', () => (document.querySelector('.jp-Cell').hidden = true))"
    )
    panel.open(turn("long", LONG))
    panel.page.evaluate("() => { document.querySelector('.jp-Cell').hidden = false; }")
    panel.settle()
    assert panel.scrolled()["left"] < 2
    assert panel.scrolled()["top"] > 100


def test_who_reads_an_older_turn_finds_it_again_when_the_tab_comes_back(panel: PanelPage) -> None:
    panel.open(turn("old", LONG), turn("read me", LONG), turn("new", LONG))
    panel.turn(1).evaluate("(one) => one.closest('.nbchat-log').scrollTo(0, one.offsetTop - 20)")
    panel.settle()
    before = panel.scrolled()
    for hidden in (True, False):
        panel.page.evaluate("(hidden) => { document.querySelector('.jp-Cell').hidden = hidden; }", hidden)
        panel.settle()
    assert panel.scrolled() == before


# ---- reading and copying


def test_a_selection_in_a_finished_block_survives_streaming(panel: PanelPage) -> None:
    asked = live(blocks=blocks_of("The words to select.\n\nMore."))
    panel.open(asked)
    panel.turn(0).get_by_text("The words to select.").select_text()
    for number in range(5):
        panel.push(
            {"id": asked["id"], "add": {"blocks": blocks_of(f"Block {number}.")}, "set": {"tail": f"<p>{number}</p>"}}
        )
    assert panel.page.evaluate("String(getSelection())") == "The words to select."


def test_a_click_on_the_transcript_leaves_the_composer_alone(panel: PanelPage) -> None:
    panel.open(turn())
    panel.turn(0).get_by_text("Hi there.").click()
    expect(panel.composer).not_to_be_focused()
    assert panel.page.evaluate("document.querySelector('.nbchat-panel').contains(document.activeElement)")


def test_copy_gives_the_reply_as_it_was_written(one_chromium: Browser) -> None:
    from panel_page import PanelPage

    panel = PanelPage(one_chromium, permissions=["clipboard-read", "clipboard-write"])
    panel.open(turn("Code", CODE))
    panel.page.clock.install()
    copy = panel.turn(0).get_by_role("button", name="Copy reply")
    copy.click()
    expect(copy).to_have_text("✓")
    expect(panel.status).to_have_text("Copied")
    assert panel.page.evaluate("navigator.clipboard.readText()") == CODE
    panel.page.clock.fast_forward(2_100)
    expect(copy).to_have_text("Copy")
    panel.turn(0).get_by_role("button", name="Copy code").click()
    assert panel.page.evaluate("navigator.clipboard.readText()") == "print('one')\nprint('two')"
    panel.close()


def test_where_the_clipboard_is_refused_copying_goes_by_a_selection(panel: PanelPage) -> None:
    panel.page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    panel.open(turn("Code", CODE))
    panel.page.evaluate("document.addEventListener('copy', () => { window.copied = document.activeElement.value; })")
    copy = panel.turn(0).get_by_role("button", name="Copy reply")
    copy.click()
    expect(copy).to_have_text("✓")
    assert panel.page.evaluate("window.copied") == CODE
    expect(copy).to_be_focused()


def test_long_code_that_came_in_pieces_is_copied_and_wrapped_whole(panel: PanelPage) -> None:
    lines = [f"value_{number} = {number}  # {'long ' * 40}" for number in range(300)]
    blocks = blocks_of("```python\n" + "\n".join(lines) + "\n```\n\nThen:\n\n```\nother\n```")
    panel.page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    panel.open(turn("Code", None, blocks=blocks))
    pieces = panel.turn(0).locator(".highlight")
    assert pieces.count() > 2, "else this tests nothing"
    copies = panel.turn(0).get_by_role("button", name="Copy code")
    expect(copies).to_have_count(2)
    panel.page.evaluate("document.addEventListener('copy', () => { window.copied = document.activeElement.value; })")
    copies.first.click()
    assert panel.page.evaluate("window.copied") == "\n".join(lines)
    panel.turn(0).get_by_role("button", name="Wrap long lines").click()
    wrapped = pieces.evaluate_all("(all) => all.map((one) => one.querySelector('pre').scrollWidth <= one.clientWidth)")
    assert all(wrapped)
    copies.last.click()
    assert panel.page.evaluate("window.copied") == "other"


def test_wide_code_and_tables_scroll_inside_themselves_and_by_keyboard(panel: PanelPage) -> None:
    table = "|" + "word word |" * 40 + "\n" + "|" + "---|" * 40 + "\n" + "|" + "word_word_word |" * 40
    panel.open(turn("Wide", f"{WIDE}\n\n{table}\n\n{'y' * 500}"), turn("y" * 500, "short"))
    assert panel.log.evaluate("(log) => log.scrollWidth <= log.clientWidth")
    for text in (panel.turn(1).locator(".nbchat-prompt"), panel.turn(0).locator("p").last):
        assert text.evaluate("(node) => node.scrollWidth <= node.clientWidth")
    boxes = panel.turn(0).locator("[tabindex='0']")
    expect(boxes).to_have_count(2)
    assert boxes.evaluate_all("(all) => all.every((box) => box.scrollWidth > box.clientWidth)")
    wrap = panel.turn(0).get_by_role("button", name="Wrap long lines")
    wrap.click()
    expect(wrap).to_have_attribute("aria-pressed", "true")
    expect(boxes).to_have_count(1)
    wrap.click()
    expect(boxes).to_have_count(2)


def test_directions_are_found_block_by_block(panel: PanelPage) -> None:
    panel.open(turn("שלום", "مرحبا بالعالم\n\nEnglish.\n\n```\nкод\n```"))
    direction = "(node) => getComputedStyle(node).direction"
    reply = panel.turn(0).locator(".nbchat-blocks")
    assert panel.turn(0).locator(".nbchat-prompt").evaluate(direction) == "rtl"
    assert reply.get_by_text("مرحبا").evaluate(direction) == "rtl"
    assert reply.get_by_text("English.").evaluate(direction) == "ltr"
    assert reply.locator(".highlight").evaluate(direction) == "ltr"
    panel.composer.fill("עברית")
    assert panel.composer.evaluate(direction) == "rtl"


def test_each_line_of_the_reasoning_and_of_a_prompt_has_a_direction_of_its_own(panel: PanelPage) -> None:
    lines = "English first.\nשלום עולם"
    panel.open(turn(lines + "\n" + "a long line " * 9, reasoning=lines))
    panel.turn(0).get_by_text("Reasoning").click()
    starts = """(box) => {
        const range = document.createRange();
        range.setStart(box.firstChild, 15);
        range.setEnd(box.firstChild, 24);
        const { left, right } = range.getBoundingClientRect();
        return left - box.getBoundingClientRect().left > 100 && box.getBoundingClientRect().right - right < 20;
    }"""
    for box in (panel.turn(0).locator(".nbchat-prompt"), panel.turn(0).locator(".nbchat-reasoning div")):
        assert box.evaluate(starts)


def test_code_is_broken_between_words_where_the_host_would_break_anywhere(panel: PanelPage) -> None:
    panel.open(turn("Wide", "```python\n" + "word and " * 60 + "\n```"))
    panel.page.add_style_tag(content=".jp-OutputArea-output pre { word-break: break-all; }")
    panel.page.evaluate("document.querySelector('#first').classList.add('jp-OutputArea-output')")
    panel.turn(0).get_by_role("button", name="Wrap long lines").click()
    assert panel.turn(0).locator("code").evaluate("(code) => getComputedStyle(code).wordBreak") == "normal"


def test_keys_and_menus_beside_all_controls_are_the_panels_and_not_the_notebooks(panel: PanelPage) -> None:
    panel.open(turn())
    panel.page.evaluate(LISTEN)
    panel.root.locator(".nbchat-bar").click(position={"x": 500, "y": 10})
    expect(panel.root).to_be_focused()
    for key in ("d", "d", "z"):
        panel.page.keyboard.press(key)
    assert panel.page.evaluate("window.heard") == []
    suppressed = "(text) => text.closest('[data-jp-suppress-context-menu]') !== null"  # JupyterLab asks this
    assert panel.turn(0).get_by_text("Hi there.").evaluate(suppressed)


def test_formulas_are_set_once_a_block_and_never_in_the_tail(panel: PanelPage) -> None:
    formula = blocks_of("So $x^2$ it is.")
    asked = live(blocks=formula, tail=formula[0])
    panel.open(asked)
    panel.push({"id": asked["id"], "add": {"blocks": formula + blocks_of("No formula.")}})
    panel.page.wait_for_function("window.panel.stub.typeset.length >= 2")
    panel.push({"id": asked["id"], "set": {"status": "done", "tail": "", "text": "…"}})
    assert panel.page.evaluate("window.panel.stub.typeset.length") == 2
    assert panel.page.evaluate("window.panel.stub.typeset.every((one) => one.closest('.nbchat-blocks'))")


def test_what_was_sent_after_a_rename_is_kept_under_no_name(panel: PanelPage) -> None:
    panel.page.add_init_script("window.notebook = 'a.ipynb'")
    panel.open()
    panel.composer.fill("Hello")
    assert panel.page.evaluate("sessionStorage.length") == 1
    panel.page.evaluate("window.notebook = 'b.ipynb'")
    panel.composer.press("Enter")
    panel.put(turn("Hello", None, status="queued"))
    panel.answer("send")
    assert panel.page.evaluate("sessionStorage.length") == 0


def test_a_prompt_that_says_what_an_earlier_one_said_outlives_a_reload(panel: PanelPage) -> None:
    panel.open(turn("yes"))
    panel.composer.fill("yes")
    panel.composer.press("Enter")
    panel.open(turn("yes"))
    expect(panel.root.get_by_text("Not sent")).to_be_visible()
    panel.put(turn("yes", None, status="queued"), at=1)
    expect(panel.root.get_by_text("Not sent")).to_have_count(0)
    panel.open(turn("yes"), turn("yes"))
    expect(panel.root.get_by_text("Not sent")).to_have_count(0)
    expect(panel.composer).to_have_value("")


# ---- what one can do with a turn


def test_edit_asks_with_the_new_text_and_escape_leaves_it_as_it_was(panel: PanelPage) -> None:
    told = turn("Old prompt")
    panel.open(told)
    panel.turn(0).get_by_role("button", name="Edit prompt").click()
    box = panel.turn(0).get_by_role("textbox", name="Edit prompt")
    expect(box).to_be_focused()
    expect(box).to_have_value("Old prompt")
    box.fill("Changed")
    box.press("Escape")
    expect(box).to_have_count(0)
    expect(panel.turn(0)).to_contain_text("Old prompt")
    assert panel.asked() == []
    assert panel.page.evaluate("sessionStorage.length") == 0
    panel.composer.press("ArrowUp")
    expect(panel.composer).to_have_value("Changed")
    panel.turn(0).get_by_role("button", name="Edit prompt").click()
    box.fill("New")
    box.press("Shift+Enter")
    box.press_sequentially("prompt")
    box.press("Enter")
    assert panel.asked("edit")[0] | {"nonce": ""} == {
        "op": "edit",
        "nonce": "",
        "id": told["id"],
        "text": "New\nprompt",
    }
    expect(panel.button("Stop")).to_be_visible()


def test_an_edit_under_way_survives_frames_and_a_refused_one_is_given_back(panel: PanelPage) -> None:
    told = turn("Old")
    panel.open(told)
    panel.turn(0).get_by_role("button", name="Edit prompt").click()
    box = panel.turn(0).get_by_role("textbox", name="Edit prompt")
    box.fill("Newer")
    panel.push({"id": told["id"], "set": {"stale": True}})
    expect(box).to_have_value("Newer")
    panel.turn(0).get_by_role("button", name="Send edit").click()
    panel.answer("edit", error="That turn is not here any more.")
    expect(panel.composer).to_have_value("Newer")


def test_an_edit_of_a_turn_that_goes_can_be_put_back(panel: PanelPage) -> None:
    told, untouched = turn("Old"), turn("Untouched")
    panel.open(told, untouched)
    for place in (0, 1):
        panel.turn(place).get_by_role("button", name="Edit prompt").click()
    panel.turn(0).get_by_role("textbox", name="Edit prompt").fill("Half of it")
    panel.push({"id": told["id"], "gone": True}, {"id": untouched["id"], "gone": True})
    assert _put_back(panel) == ["Half of it"]


def test_the_focus_is_not_lost_with_the_turn_that_is_edited(panel: PanelPage) -> None:
    told = turn("Old")
    panel.open(told)
    panel.turn(0).get_by_role("button", name="Edit prompt").click()
    panel.push({"id": told["id"], "gone": True})
    expect(panel.composer).to_be_focused()


def test_delete_takes_one_turn_and_offers_undo(panel: PanelPage) -> None:
    told = turn("Delete me")
    panel.open(turn("Keep me"), told)
    panel.turn(1).get_by_role("button", name="Delete").click()
    assert panel.asked("delete")[0]["id"] == told["id"]
    panel.push({"id": told["id"], "gone": True})
    panel.answer("delete")
    expect(panel.composer).to_be_focused()
    word = panel.root.locator(".nbchat-word")
    expect(word).to_contain_text("Deleted.")
    word.get_by_role("button", name="Undo the deletion").click()
    assert len(panel.asked("undo")) == 1
    expect(word).to_be_hidden()
    assert panel.page.evaluate("document.querySelector('.nbchat-panel').contains(document.activeElement)")


def test_undo_of_a_deletion_is_not_offered_once_something_else_would_be_undone(panel: PanelPage) -> None:
    told = turn("Delete me")
    panel.open(told)
    panel.turn(0).get_by_role("button", name="Delete").click()
    panel.push({"id": told["id"], "gone": True}, head={"undo": "the deletion of “Delete me”"})
    panel.answer("delete")
    offer = panel.root.get_by_role("button", name="Undo the deletion")
    expect(offer).to_be_visible()
    panel.push(head={"undo": "the prompt “Of a cell”"})
    expect(offer).to_be_hidden()


def test_hide_and_show_are_one_or_the_other(panel: PanelPage) -> None:
    told = turn()
    panel.open(told)
    panel.turn(0).get_by_role("button", name="Hide").click()
    panel.push({"id": told["id"], "set": {"standing": "hidden"}})
    panel.answer("hide")
    expect(panel.turn(0)).to_contain_text("hidden")
    expect(panel.turn(0).get_by_role("button", name="Hide")).to_be_hidden()
    panel.turn(0).get_by_role("button", name="Show").click()
    assert [one["id"] for one in panel.asked("unhide")] == [told["id"]]


def test_a_live_turn_offers_nothing_that_needs_its_end(panel: PanelPage) -> None:
    panel.open(live())
    for name in ("Copy reply", "Retry", "Edit prompt", "Hide", "Delete"):
        expect(panel.turn(0).get_by_role("button", name=name)).to_be_hidden()


def test_undo_says_what_it_takes_back(panel: PanelPage) -> None:
    panel.open(turn(), head={"undo": "the deletion of “Hi”"})
    panel.button("Undo: the deletion of “Hi”").click()
    assert len(panel.asked("undo")) == 1
    panel.push(head={"undo": ""})
    expect(panel.root.get_by_role("button", name="Undo")).to_have_count(0)


# ---- models and conversations


def test_the_model_box_shows_who_answers_and_offers_all_models(panel: PanelPage) -> None:
    panel.open()
    expect(panel.model).to_have_value("guide")
    offered = "(box) => [...document.getElementById(box.getAttribute('list')).options].map((one) => one.value)"
    assert panel.model.evaluate(offered) == ["guide", "google-gemini", "openai/gpt-5-mini"]
    panel.model.focus()
    expect(panel.model).to_have_value("")  # else the browser offers only the models that begin like it
    panel.composer.focus()
    expect(panel.model).to_have_value("guide")
    panel.page.evaluate("window.panel.stub.set('models', ['other'])")
    panel.settle()
    assert panel.model.evaluate(offered) == ["other"]


def test_a_named_model_is_asked_and_kept_until_it_answers(panel: PanelPage) -> None:
    panel.open(turn())
    panel.model.fill("google-gemini")
    panel.model.press("Enter")
    expect(panel.composer).to_be_focused()
    panel.composer.fill("Hello")
    panel.composer.press("Enter")
    assert panel.answer("send", error="There is no model 'google-gemini'.")["model"] == "google-gemini"
    expect(panel.model).to_have_value("google-gemini")
    panel.composer.press("Enter")
    panel.answer("send")
    panel.push(head={"model": "FlowGpt/google-gemini"})
    expect(panel.model).to_have_value("FlowGpt/google-gemini")
    panel.composer.fill("Again")
    panel.composer.press("Enter")
    assert [one["model"] for one in panel.asked("send")] == ["google-gemini", "google-gemini", ""]


def test_escape_in_the_model_box_takes_the_name_back(panel: PanelPage) -> None:
    panel.open()
    panel.model.fill("goo")
    panel.model.press("Escape")
    expect(panel.model).to_have_value("guide")
    expect(panel.composer).to_be_focused()


def test_conversations_are_switched_and_begun(panel: PanelPage) -> None:
    panel.open()
    names = panel.root.get_by_role("combobox", name="Switch conversation")
    expect(names).to_have_value("main")
    names.select_option("other")
    assert panel.asked("switch")[0]["name"] == "other"
    panel.answer("switch", error="There is no conversation 'other' any more.")
    expect(names).to_have_value("main")
    panel.button("New conversation").click()
    assert len(panel.asked("new")) == 1
    panel.push(head={"conversation": "chat-1", "conversations": ["main", "chat-1"]})
    expect(names).to_have_value("chat-1")


def _at_the_conversations(panel: PanelPage) -> Any:
    panel.open(turn(), head={"conversations": ["main", "second", "third"]})
    names = panel.root.get_by_role("combobox", name="Switch conversation")
    names.focus()
    panel.page.keyboard.press("ArrowDown")
    panel.page.keyboard.press("ArrowDown")
    expect(names).to_have_value("third")
    return names


def test_the_third_conversation_is_reached_by_keys_without_switching_to_the_second(panel: PanelPage) -> None:
    names = _at_the_conversations(panel)
    panel.push()
    expect(names).to_have_value("third")
    assert panel.asked() == []
    expect(panel.status).to_have_text("Enter, or leaving the list, switches to “third”.")
    panel.page.keyboard.press("Enter")
    assert [one["name"] for one in panel.asked("switch")] == ["third"]
    panel.answer("switch")
    panel.push(head={"conversation": "third"})
    panel.composer.focus()
    assert len(panel.asked()) == 1
    expect(names).to_have_value("third")


def test_leaving_the_conversations_switches_to_the_one_that_keys_have_chosen(panel: PanelPage) -> None:
    _at_the_conversations(panel)
    panel.page.keyboard.press("Tab")
    assert [one["name"] for one in panel.asked("switch")] == ["third"]


def test_escape_in_the_conversations_switches_to_none(panel: PanelPage) -> None:
    names = _at_the_conversations(panel)
    panel.page.keyboard.press("Escape")
    expect(names).to_have_value("main")
    expect(panel.root.locator(".nbchat-word")).to_be_hidden()
    panel.page.keyboard.press("Tab")
    assert panel.asked() == []


def test_a_conversation_is_chosen_by_keys_in_the_open_list(panel: PanelPage) -> None:
    panel.open(turn(), head={"conversations": ["main", "second", "third"]})
    panel.root.get_by_role("combobox", name="Switch conversation").focus()
    for key in ("Space", "ArrowDown", "ArrowDown", "Enter"):
        panel.page.keyboard.press(key)
    panel.page.wait_for_function("window.panel.stub.sent.length > 0")
    assert [one["name"] for one in panel.asked("switch")] == ["third"]


def test_a_conversation_is_chosen_in_a_list_that_a_key_has_opened(panel: PanelPage) -> None:
    panel.page.clock.install()
    panel.open(turn())
    names = panel.root.get_by_role("combobox", name="Switch conversation")
    names.press("F4")  # as arrow keys do on a Mac, whose list shows the page no key
    panel.page.clock.fast_forward(1_000)
    names.select_option("other")
    assert [one["name"] for one in panel.asked("switch")] == ["other"]


def test_a_chat_of_ones_own_has_no_other_conversations(panel: PanelPage) -> None:
    panel.open(head={"mine": False, "conversations": []})
    expect(panel.root.get_by_role("combobox", name="Switch conversation")).to_be_hidden()
    expect(panel.root.get_by_role("button", name="New conversation")).to_be_hidden()


def test_the_empty_state_offers_prompts_and_says_who_guide_is(panel: PanelPage) -> None:
    panel.open()
    expect(panel.root.get_by_text("not a language model")).to_be_visible()
    panel.button("How do I choose a model?").click()
    expect(panel.composer).to_have_value("How do I choose a model?")
    expect(panel.composer).to_be_focused()
    assert panel.asked() == []
    panel.put(turn())
    expect(panel.root.get_by_text("not a language model")).to_be_hidden()


# ---- views, sizes and looks


def test_two_views_show_the_same_and_only_one_of_them_speaks(panel: PanelPage) -> None:
    asked = live("Both", blocks=blocks_of("Begun."))
    panel.open(asked)
    panel.show_again()
    panel.composer.focus()
    panel.push(
        {"id": asked["id"], "add": {"blocks": blocks_of("Ended.")}, "set": {"status": "done", "text": "Begun. Ended."}}
    )
    for place in ("#first", "#second"):
        expect(panel.page.locator(f"{place} .nbchat-blocks p")).to_have_text(["Begun.", "Ended."])
    expect(panel.status).to_have_text("Begun. Ended.")
    expect(panel.page.locator("#second").get_by_role("status")).to_have_text("")


def test_a_closed_view_leaves_the_other_at_work(panel: PanelPage) -> None:
    panel.open(turn("one"))
    panel.show_again()
    panel.page.evaluate("window.panel.closes[1]()")
    panel.put(turn("two"), at=1)
    expect(panel.root.locator(".nbchat-prompt")).to_have_text(["one", "two"])
    expect(panel.page.locator("#second .nbchat-panel")).to_have_count(0)


def test_the_status_region_says_replying_then_the_reply_once(panel: PanelPage) -> None:
    panel.open()
    asked = live()
    panel.put(asked)
    expect(panel.status).to_have_text("Replying")
    panel.push({"id": asked["id"], "add": {"blocks": blocks_of("Some.")}})
    expect(panel.status).to_have_text("Replying")
    panel.push({"id": asked["id"], "set": {"status": "done", "text": "Some. And more."}})
    expect(panel.status).to_have_text("Some. And more.")
    panel.push({"id": asked["id"], "set": {"stale": True}})
    expect(panel.status).to_have_text("Some. And more.")
    for status, error, said in [("stopped", "", "Stopped"), ("failed", "fake: no.", "fake: no.")]:
        other = live()
        panel.put(other)
        panel.push({"id": other["id"], "set": {"status": status, "error": error, "text": ""}})
        expect(panel.status).to_have_text(said)
    expect(panel.log).to_have_attribute("aria-live", "off")


def test_the_composer_grows_to_ten_lines_and_then_scrolls(panel: PanelPage) -> None:
    panel.open(height=700)
    height = "(box) => box.clientHeight"
    one = panel.composer.evaluate(height)
    panel.composer.fill("\n" * 4)
    five = panel.composer.evaluate(height)
    panel.composer.fill("\n" * 9)
    ten = panel.composer.evaluate(height)
    panel.composer.fill("\n" * 30)
    many = panel.composer.evaluate(height)
    assert one < five < ten
    assert abs((ten - one) - 9 * (five - one) / 4) <= 9
    assert many == ten
    assert panel.composer.evaluate("(box) => box.scrollHeight > box.clientHeight")


def test_a_long_prompt_leaves_its_buttons_in_sight(panel: PanelPage) -> None:
    panel.open(turn(), height=300)
    panel.composer.fill("\n" * 30)
    end = panel.root.evaluate("(root) => root.getBoundingClientRect().bottom")
    for control in (panel.button("Send"), panel.model):
        assert control.evaluate("(one) => one.getBoundingClientRect().bottom") <= end
        assert control.evaluate(
            """(one) => {
                const { left, right, top, bottom } = one.getBoundingClientRect();
                const at = (y) => document.elementFromPoint((left + right) / 2, y);
                return one.contains(at(top + 2)) && one.contains(at(bottom - 2));
            }"""
        )


def test_a_browser_without_field_sizing_measures_the_composer(panel: PanelPage) -> None:
    panel.page.add_init_script("CSS.supports = () => false")
    panel.open()
    panel.composer.evaluate("(box) => { box.style.fieldSizing = 'fixed'; }")
    before = panel.composer.evaluate("(box) => box.clientHeight")
    panel.composer.fill("\n" * 4)
    assert panel.composer.evaluate("(box) => box.clientHeight") > 3 * before


def test_the_height_is_the_widgets_within_its_bounds(panel: PanelPage) -> None:
    panel.open(height=420)
    height = "(root) => root.offsetHeight"
    assert panel.root.evaluate(height) == 420
    panel.page.evaluate("window.panel.stub.set('height', 50)")
    assert panel.root.evaluate(height) == 200
    panel.page.evaluate("window.panel.stub.set('height', 5000)")
    assert panel.root.evaluate(height) == 0.8 * 700
    assert panel.root.evaluate("(root) => getComputedStyle(root).resize") == "vertical"


def test_beside_the_notebook_it_is_as_high_as_the_place(panel: PanelPage) -> None:
    panel.open(turn("long", LONG))
    panel.page.evaluate(
        """() => {
            const first = document.querySelector("#first");
            first.outerHTML = `<div class="jp-LinkedOutputView" style="display: flex; flex-direction: column">
                <div class="jp-OutputArea-child" style="display: flex; overflow: hidden">
                <div style="flex: 1"><div id="first"></div></div></div></div>`;
            document.querySelector("#first").append(...first.children);
        }"""
    )
    for height in (650, 300):
        panel.page.evaluate(
            "(height) => { document.querySelector('.jp-LinkedOutputView').style.height = `${height}px`; }", height
        )
        panel.settle()
        assert panel.root.evaluate("(root) => root.offsetHeight") == height
        below = (
            "(one) => one.closest('.nbchat-panel').getBoundingClientRect().bottom - one.getBoundingClientRect().bottom"
        )
        assert panel.root.locator(".nbchat-composer").evaluate(below) <= 1
        assert panel.scrolled()["left"] < 2


@pytest.mark.parametrize(("height", "seen"), [(420, 420), (2000, 900)])
def test_in_a_frame_that_is_as_high_as_its_content_the_panel_does_not_shrink_with_it(
    panel: PanelPage, height: int, seen: int
) -> None:
    panel.page.add_init_script("window.google = { colab: {} }")
    panel.page.set_viewport_size({"width": 900, "height": 30})
    panel.open(height=height)
    assert panel.root.evaluate("(root) => root.offsetHeight") == seen


@pytest.mark.parametrize(("width", "height"), [(420, 700), (450, 350), (320, 500)], ids=["420 px", "200 %", "320 px"])
def test_a_narrow_panel_fits_and_keeps_its_actions_in_a_menu(one_chromium: Browser, width: int, height: int) -> None:
    from panel_page import PanelPage

    panel = PanelPage(one_chromium, viewport={"width": width, "height": height})
    panel.open(turn("A prompt", CODE), live(), head={"undo": "it"})
    assert panel.page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    for control in (panel.composer, panel.model, panel.button("Send"), panel.button("Stop")):
        box = control.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    more = panel.turn(0).get_by_role("button", name="Actions")
    retry = panel.turn(0).get_by_role("button", name="Retry")
    expect(retry).to_be_hidden()
    more.click()
    expect(more).to_have_attribute("aria-expanded", "true")
    retry.click()
    assert len(panel.asked("retry")) == 1
    panel.close()


def test_who_asks_for_less_motion_sees_none(one_chromium: Browser) -> None:
    from panel_page import PanelPage

    motion = "(root) => root.getAnimations({ subtree: true }).length"
    for wish, moving in [("reduce", 0), ("no-preference", 1)]:
        panel = PanelPage(one_chromium, reduced_motion=wish)
        panel.open(live())
        assert panel.root.evaluate(motion) == moving
        panel.close()


def test_buttons_keep_a_border_where_colours_are_forced(one_chromium: Browser) -> None:
    from panel_page import PanelPage

    panel = PanelPage(one_chromium, forced_colors="active")
    panel.open(turn())
    border = panel.button("Send").evaluate(
        "(one) => { const s = getComputedStyle(one); return s.borderWidth + s.borderColor; }"
    )
    assert border.startswith("1px")
    assert "rgba" not in border, "it is not transparent any more"
    panel.close()


LAB = {
    "light": "--jp-layout-color1: white; --jp-layout-color2: #eee; --jp-content-font-color1: rgba(0,0,0,.87);"
    "--jp-ui-font-color2: rgba(0,0,0,.54); --jp-brand-color1: #1976d2; --jp-ui-inverse-font-color0: #fff;"
    "--jp-content-link-color: #0d47a1; --jp-border-color1: #bdbdbd; --jp-input-border-color: #757575;",
    "dark": "--jp-layout-color1: #212121; --jp-layout-color2: #424242; --jp-content-font-color1: rgba(255,255,255,1);"
    "--jp-ui-font-color2: rgba(255,255,255,.54); --jp-brand-color1: #2196f3; --jp-ui-inverse-font-color0: #000;"
    "--jp-content-link-color: #64b5f6; --jp-border-color1: #616161; --jp-input-border-color: #757575;",
}
"""What JupyterLab's own themes say."""
READ_ALL = f"""### Heading

#### Lower

Text, `code` and [a link](https://example.org).

{TOKENS}

{WIDE}

- [ ] task

> quote

$$x^2$$
"""


def _looks(state: str) -> tuple[list[Json], dict[str, Any]]:
    if state == "empty":
        return [], {}
    if state == "streaming":
        return [live(blocks=blocks_of(CODE), tail="<p>And</p>", notice="rate limited"), live(status="queued")], {}
    if state == "lost":
        return [turn(), live()], {"connected": False}
    failed = turn("Try", None, status="failed", error="fake: no key.", text="")
    hidden = turn("Hidden", READ_ALL, standing="hidden", reasoning="Hm.", stale=True)
    return [hidden, turn("Prompt", READ_ALL), failed], {"head": {"earlier": 3, "undo": "it"}}


@pytest.mark.parametrize("state", ["empty", "streaming", "lost", "failed"])
@pytest.mark.parametrize("look", ["light", "dark", "narrow", "lab light", "lab dark"])
def test_axe_finds_nothing(one_chromium: Browser, look: str, state: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    from panel_page import PanelPage

    theme = look.removeprefix("lab ")
    size = {"width": 420 if look == "narrow" else 900, "height": 1200}
    panel = PanelPage(one_chromium, color_scheme="dark" if look == "dark" else "light", viewport=size)
    if look.startswith("lab"):
        panel.variables, panel.body = LAB[theme], f' data-jp-theme-light="{str(theme == "light").lower()}"'
    turns, told = _looks(state)
    panel.open(*turns, height=900, **told)
    if state == "failed":
        panel.turn(0).get_by_role("button", name="Actions" if look == "narrow" else "Edit prompt").click()
        panel.turn(1).hover()
    found = Axe().run(panel.page)
    assert found.violations_count == 0, found.generate_report()
    panel.close()


# ---- sizes


COUNT_PAINTED = """
window.painted = [];
const look = () => {
    const turns = [...document.querySelectorAll("article h2")].map((one) => one.textContent);
    if (turns.length) window.painted.push([turns, document.querySelectorAll(".nbchat-blocks p").length]);
    requestAnimationFrame(look);
};
requestAnimationFrame(look);
"""


def test_a_long_history_is_painted_in_slices_newest_first(panel: PanelPage) -> None:
    turns = [turn(f"prompt {number}", LONG) for number in range(40)]
    panel.page.add_init_script(COUNT_PAINTED)
    panel.open(*turns)
    expect(panel.root.locator(".nbchat-blocks p")).to_have_count(40 * 60)
    first, _ = panel.page.evaluate("window.painted[0]")
    assert first[-1] == f"Turn {turns[-1]['number']}"
    assert len(first) < 40
    assert panel.scrolled()["left"] < 2


def test_a_long_reply_is_painted_in_slices(panel: PanelPage) -> None:
    panel.page.add_init_script(COUNT_PAINTED)
    panel.open(turn("long", None, blocks=blocks_of(LONG) * 40))
    expect(panel.root.locator(".nbchat-blocks p")).to_have_count(40 * 60)
    _, blocks = panel.page.evaluate("window.painted[0]")
    assert blocks < 40 * 60


def test_frames_between_two_paintings_are_painted_at_once(panel: PanelPage) -> None:
    asked = live()
    panel.open(asked)
    panel.page.evaluate(
        """([id, seq]) => {
            window.made = 0;
            const look = new MutationObserver((changes) => (window.made += changes.length));
            look.observe(document.querySelector(".nbchat-tail"), { childList: true });
            for (let more = 1; more <= 50; more++) {
                const changes = [{ id, set: { tail: `<p>${more}</p>` } }];
                window.panel.stub.trigger("msg:custom", { op: "frames", seq: seq + more, changes });
            }
        }""",
        [asked["id"], panel.seq],
    )
    panel.settle()
    expect(panel.turn(0).locator(".nbchat-tail")).to_have_text("50")
    assert panel.page.evaluate("window.made") == 1


def test_script_and_style_ride_in_every_saved_widget_and_stay_small() -> None:
    from nbchat.panel.widget import Panel

    assert len(f"{Panel._esm}{Panel._css}".encode()) < 40_000
