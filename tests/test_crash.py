"""What becomes of conversations when a kernel dies, when many write at once, when the disk says no; and of secrets."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
from jupyter_core.utils import ensure_event_loop

from documents import Document
from kernels import WAIT, Execution, Kernel
from nbchat.testing import OpenAIServer

pytestmark = pytest.mark.slow

SETUP = """
%load_ext nbchat
import asyncio, json, os, nbchat
from nbchat.testing import ScriptedProvider

def after(messages):
    return f"{messages[-1]['content']}, after {len(messages) // 2}"

nbchat.register(ScriptedProvider(after, name="after"))
"""
LOOK = """
print(json.dumps([(turn.prompt, turn.text, turn.status, turn.cut) for turn in nbchat.current().history]))
"""
ALL_WRITTEN = """
from nbchat.conversations import conversations
print(conversations.store().flush(5))
"""
START = Callable[..., Kernel]
Row = tuple[Any, ...]


@pytest.fixture
def start(start_kernel: START) -> Callable[[Document], Kernel]:
    """A function that starts a kernel for a notebook, with the extension and a provider."""

    def started(document: Document, **variables: str) -> Kernel:
        kernel = start_kernel(**document.variables | variables)
        kernel.run(SETUP)
        return kernel

    return started


@pytest.fixture
def store() -> Path:
    """Where conversations are kept, all of a test's in one file."""
    return Path(os.environ["JUPYTER_DATA_DIR"], "nbchat", "history.db")


def look(kernel: Kernel) -> list[Row]:
    """Prompt, text, status and whether it was cut, of each turn that a kernel has."""
    return [tuple(row) for row in json.loads(kernel.run(LOOK, cell_id="looking").stdout)]


def rows(store: Path, notebook: Path | str, columns: str = "d.prompt, d.text") -> list[Row]:
    """What the file has of a notebook's turns, by place; the file is whole."""
    with closing(sqlite3.connect(store, timeout=WAIT)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return db.execute(
            f"""SELECT {columns} FROM notebooks n JOIN conversations c ON c.notebook = n.id
            JOIN turns t ON t.conversation = c.id JOIN details d ON d.turn = t.number
            WHERE n.path = ? ORDER BY t.place, t.started""",
            [str(notebook)],
        ).fetchall()


def wait_for(what: Callable[[], Any]) -> Any:
    """What this gives, once it gives anything."""
    end = time.monotonic() + WAIT
    while not (found := what()):
        assert time.monotonic() < end, "It has not come."
        time.sleep(0.02)
    return found


def all_of(work: Callable[..., Any], *arguments: Sequence[Any]) -> list[Any]:
    """Do this work for each of the arguments at the same time, each on a thread; kernels stay on theirs."""

    def on_thread(*given: Any) -> Any:
        try:
            return work(*given)
        finally:
            ensure_event_loop().close()  # jupyter_client's, of this thread

    with ThreadPoolExecutor(len(arguments[0])) as pool:
        return list(pool.map(on_thread, *arguments))


PAUSE = 0.005
"""Seconds between two pieces, at least: a busy machine makes it more, so that pieces measure time in favour of it."""
LOST = round(1.5 / PAUSE)
"""How many pieces may be lost."""
SLOW = f"""
class Slow:
    rest, progress = "", ""

    @classmethod
    async def create_async_generator(cls, model, messages, proxy=None):
        if cls.rest:
            yield cls.rest
            return
        with open(cls.progress, "w") as progress:
            for number in range(100_000):
                yield f"{{number}} "
                progress.write(f"{{number}}\\n")
                progress.flush()
                await asyncio.sleep({PAUSE})

nbchat.register(Slow)
"""


def test_a_kernel_killed_in_mid_reply_loses_the_last_second_at_most(start: START, tmp_path: Path, store: Path) -> None:
    moments = [random.Random(seed).uniform(0.05, 3) for seed in range(20)]
    documents = [Document(tmp_path / f"talk-{number}.ipynb") for number in range(4)]

    def lives(document: Document, moments: list[float]) -> list[int]:
        return [_live_and_die(start, document, store, life, moment) for life, moment in enumerate(moments)]

    saved = all_of(lives, documents, [moments[number::4] for number in range(4)])
    assert sum(count > 0 for counts in saved for count in counts) > 10


def _live_and_die(start: START, document: Document, store: Path, life: int, moment: float) -> int:
    """Go on from the life before, begin a reply, and be killed in the midst of it; how many pieces are in the file."""
    kernel = start(document)
    kernel.run(SLOW)
    if life:
        _go_on(kernel, rows(store, document.file), life)
    progress = document.file.with_suffix(f".{life}")
    pid = int(kernel.run(f"Slow.progress = {str(progress)!r}\nprint(os.getpid())").stdout)
    kernel.start(f"%%chat slow\nin life {life}", cell_id=f"slow-{life}")
    wait_for(lambda: progress.exists() and progress.read_text())
    time.sleep(moment)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    produced = progress.read_text().count("\n")
    found = [text for prompt, text in rows(store, document.file) if prompt == f"in life {life}"]
    text = found[-1] if found else ""
    saved = text.count(" ")
    assert text == "".join(f"{number} " for number in range(saved))
    assert produced - LOST <= saved <= produced + 1
    kernel.close()
    return saved


def _go_on(kernel: Kernel, kept: list[Row], life: int) -> None:
    """A new kernel knows the reply as cut, and goes on from it, or sends it along as such."""
    prompt, text = kept[-1] if kept else ("", "")
    if prompt != f"in life {life - 1}":  # killed before even that was written
        return
    assert look(kernel)[-1] == (prompt, text, "stopped", True)
    if life % 2 and text:
        kernel.run("Slow.rest = 'and the rest'")
        kernel.run("%chat continue", cell_id=f"on-{life}")
        kernel.run("Slow.rest = ''")
        assert look(kernel)[-1] == (prompt, f"{text}and the rest", "done", False)
    else:
        kernel.run("sent = []\nnbchat.register(ScriptedProvider(lambda m: (sent.append(m), 'well')[1], name='ask'))")
        kernel.run("%%chat ask\nwell?", cell_id=f"on-{life}")
        assert look(kernel)[-1][:3] == ("well?", "well", "done")
        if text:
            cut = kernel.run("print(sent[-1][-2]['content'])").stdout
            assert cut == f"{text}\n\n[The reply was cut off here.]\n"


def test_kernels_that_race_on_one_notebook_lose_and_mix_nothing(start: START, tmp_path: Path, store: Path) -> None:
    document, names = Document(tmp_path / "talk.ipynb"), ["one", "two", "three", "four"]
    together = Barrier(len(names), timeout=WAIT)

    def ask(name: str) -> tuple[list[Execution], list[Row]]:
        kernel = start(document)
        together.wait()
        cells = [f"{name}-{number}" for number in range(25)]
        running = [kernel.start(f"%%chat after\n{cell}", cell_id=cell, stop_on_error=False) for cell in cells]
        outputs = [kernel.wait(execution, timeout=2 * WAIT) for execution in running]
        wait_for(lambda: "True" in kernel.run(ALL_WRITTEN).stdout)
        together.wait()
        seen = look(kernel)
        kernel.close()
        return outputs, seen

    found = all_of(ask, names)
    outputs, seen = [output for outputs, _ in found for output in outputs], [seen for _, seen in found]
    assert [execution.traceback for execution in outputs if execution.error] == []
    assert "locked" not in str([execution.messages for execution in outputs])
    assert seen[0] == seen[1] == seen[2] == seen[3]
    asked = [prompt for prompt, *_ in seen[0]]
    assert Counter(asked) == Counter(f"{name}-{number}" for name in names for number in range(25))
    for name in names:
        assert [prompt for prompt in asked if prompt.startswith(f"{name}-")] == [f"{name}-{n}" for n in range(25)]
    assert all(text.startswith(f"{prompt}, after ") and status == "done" for prompt, text, status, _ in seen[0])
    assert rows(store, document.file) == [row[:2] for row in seen[0]]


WRITER = """
import sys, threading
from pathlib import Path
from nbchat.history import History, Turn
from nbchat.store.store import Store

def talk(notebook):
    store, history = Store(Path(sys.argv[1])), History()
    number = store.add_notebook(f"/{notebook}.ipynb", 1, notebook)
    history.open(store.conversation(number, "main"))
    for asked in range(20):
        turn = Turn(f"{notebook} asks {asked}", "", "echo", status="streaming")
        history.add(turn)
        turn.chunks += ["yes, ", turn.prompt]
        turn.status = "done"
        history.ended(turn)
        history.keep(turn)
    said.append((store.flush(60), store.news()))

said = []
first = int(sys.argv[2])
threads = [threading.Thread(target=talk, args=[notebook]) for notebook in range(first, first + 5)]
print("ready", flush=True)
sys.stdin.readline()
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(said)
"""


def test_fifty_notebooks_at_once_write_into_one_new_file(store: Path) -> None:
    def started(first: int) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WRITER, str(store), str(first)]
        return subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    processes = [started(first) for first in range(0, 50, 5)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    said = all_of(lambda process: process.communicate("go\n", timeout=100)[0], processes)
    assert set(said) == {f"{[(True, '')] * 5}\n"}
    for notebook in range(50):
        expected = [f"{notebook} asks {asked}" for asked in range(20)]
        assert rows(store, f"/{notebook}.ipynb") == [(prompt, f"yes, {prompt}") for prompt in expected]


FULL = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({}, resource.RLIM_INFINITY))
"""
"""No file of this process may become larger: what is written beyond fails, as on a full disk."""


def _talk_and_be_told_once(kernel: Kernel, document: Document, why: str) -> None:
    """Three replies are shown, each sent after those before it; the captions say once what is wrong."""
    for number, cell in enumerate(["one", "two", "three"]):
        document.run(kernel, cell, f"%%chat after\n{cell}")
        assert document.text(cell).startswith(f"{cell}, after {number}")
    captions = [document.html(cell) for cell in ("one", "two", "three")]
    assert sum("in memory only" in caption for caption in captions) == 1
    assert sum(why in caption for caption in captions) == 1


def _is_written_in_the_end(kernel: Kernel, document: Document, store: Path) -> None:
    wait_for(lambda: "True" in kernel.run(ALL_WRITTEN).stdout)
    assert [prompt for prompt, _ in rows(store, document.file)] == ["one", "two", "three"]


def test_on_a_full_disk_chat_goes_on_and_all_is_written_once_there_is_room(
    start: START, tmp_path: Path, store: Path
) -> None:
    pytest.importorskip("resource")
    document = Document(tmp_path / "talk.ipynb")
    kernel = start(document)
    kernel.run("get_ipython().history_manager.enabled = False")  # whose own file is limited as well
    kernel.run("%chat history", cell_id="looking")  # so that there is a file
    kernel.run(FULL.format(4096))
    _talk_and_be_told_once(kernel, document, store.name)
    assert rows(store, document.file) == []
    kernel.run(FULL.format("resource.RLIM_INFINITY"))
    _is_written_in_the_end(kernel, document, store)


@pytest.mark.parametrize("how", ["read-only", "a file in its place"])
def test_where_no_file_can_be_made_chat_goes_on_and_all_is_written_once_it_can(
    start: START, tmp_path: Path, store: Path, how: str
) -> None:
    document, home = Document(tmp_path / "talk.ipynb"), store.parent
    if how == "read-only":
        home.mkdir(parents=True)
        home.chmod(0o500)
        if os.access(home, os.W_OK):
            pytest.skip("nothing is read-only to root")
    else:
        home.parent.mkdir(parents=True, exist_ok=True)
        home.write_text("no directory")
    kernel = start(document)
    _talk_and_be_told_once(kernel, document, store.name)
    if how == "read-only":
        home.chmod(0o700)
    else:
        assert home.read_text() == "no directory"
        home.unlink()
    _is_written_in_the_end(kernel, document, store)


KEYED = """
from nbchat.providers import OpenAICompatible
nbchat.register(OpenAICompatible({url!r}, key_variable="OPENAI_API_KEY", name="keyed"))
"""
PROXY = "--proxy http://user:canary-proxy@127.0.0.1:9"
OPTION = "-o api_token canary-option"
PYTHON = "nbchat.Chat('loopback', base_url={url!r}, api_key='canary-python').send('hi').result()"
CELLS = {
    "key": ("%%chat -p keyed -m loopback\nkey", "fine"),
    "key-fails": ("%%chat\nkey fails", "canary-environment"),
    "proxy-fails": (f"%%chat {PROXY}\nproxy fails", ""),
    "only-looked-at": (f"%%chat {PROXY} {OPTION} --show-prompt\nlook", ""),
    "option": (f"%%chat {OPTION}\noption", "fine"),
    "option-fails": (f"%%chat {OPTION}\noption fails", "canary-option"),
    "login": ("%%chat -m loopback --base-url {login}\nlogin", "fine"),
    "login-fails": ("%%chat\nlogin fails", "canary-login"),
    "python": (PYTHON, "fine"),
    "python-fails": (PYTHON, "canary-python"),
}
"""Sources, and what the server says: a secret stands in the words of an error."""
SECRETS = ("environment", "proxy", "option", "login", "python")


def test_no_key_proxy_or_secret_option_is_kept_or_shown_anywhere(
    start: START, tmp_path: Path, store: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with OpenAIServer() as server:
        login = server.url.replace("://", "://user:canary-login@")
        sources = {cell: source.format(url=server.url, login=login) for cell, (source, _) in CELLS.items()}
        document = Document(tmp_path / "talk.ipynb", sources)
        kernel = start(document, OPENAI_API_KEY="canary-environment")
        kernel.run("get_ipython().history_manager.enabled = False")  # it keeps what the user typed
        kernel.run(KEYED.format(url=server.url))
        for cell, (_, says) in CELLS.items():
            if says:
                server.reply(says if says == "fine" else f"refused: {says}", status=200 if says == "fine" else 401)
            execution = document.run(kernel, cell, check=False)
            assert bool(execution.error) == cell.endswith("fails")
        requests = "".join(f"{request.headers} {request.data!r}" for request in server.requests)
    kernel.run("%chat history", cell_id="looking")
    kernel.run("nbchat.current(), nbchat.current().history", cell_id="looking")
    wait_for(lambda: "True" in kernel.run(ALL_WRITTEN).stdout)
    document.save()
    kernel.close()
    shown = json.dumps(kernel.published("stream", "display_data", "update_display_data", "execute_result", "error"))
    saved = json.dumps([cell["outputs"] for cell in json.loads(document.file.read_text())["cells"]])
    files = [file for file in Path(os.environ["HOME"]).rglob("*") if file.is_file()]
    kept = b"".join(file.read_bytes() for file in files)
    everywhere = shown + saved + kept.decode("latin-1") + "".join(capfd.readouterr())
    coded = b64encode(b"user:canary-login").decode()
    assert all(secret in requests for secret in ("canary-environment", "canary-option", "canary-python", coded))
    assert shown.count("refused") >= 4
    assert store in files
    assert "key fails" in kept.decode("latin-1")
    found = [secret for secret in (*(f"canary-{name}" for name in SECRETS), coded) if secret in everywhere]
    assert found == []
