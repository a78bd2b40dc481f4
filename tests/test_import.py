"""What importing nbchat and loading the extension brings along: little, so that a kernel starts as fast as without.

What it costs in time is measured by hand: benchmarks/load.py.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"aiohttp", "ipywidgets", "markdown_it", "nh3", "pygments.lexers", "sqlite3", "IPython.terminal"}

IMPORT = "import nbchat; nbchat.Chat"

SHELL = """
import ipykernel.kernelapp
from ipykernel.zmqshell import ZMQInteractiveShell
shell = ZMQInteractiveShell.instance()
"""

LOAD = "shell.run_line_magic('load_ext', 'nbchat')"

REPORT = """
import json, sys
print("\\n" + json.dumps(sorted({name for name in sys.modules if sys.modules[name] is not None} - before)))
"""


def modules_added(by: str, after: str = "") -> set[str]:
    """The modules that code imports in a fresh Python, in which other code has run before."""
    script = f"{after}\nimport sys; before = set(sys.modules)\n{by}\n{REPORT}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def heavy(modules: set[str]) -> set[str]:
    """Those of the modules that belong to something heavy."""
    return {name for name in modules for package in HEAVY if f"{name}.".startswith(f"{package}.")}


def test_the_modules_that_code_adds_are_seen() -> None:
    assert heavy(modules_added("import markdown_it")) >= {"markdown_it"}
    assert not modules_added("pass", after="import json")


def test_importing_needs_nothing_of_jupyter_and_nothing_heavy() -> None:
    added = modules_added(IMPORT)
    assert "nbchat.chat" in added
    assert not heavy(added)
    assert not {name for name in added if name.split(".")[0] in {"IPython", "ipykernel", "jupyter_client", "zmq"}}


def test_loading_brings_nothing_heavy() -> None:
    added = modules_added(LOAD, after=SHELL)
    assert "nbchat.magics" in added
    assert not heavy(added)


def test_loading_brings_only_nbchat_nest_asyncio_and_the_standard_library() -> None:
    packages = {name.split(".")[0] for name in modules_added(LOAD, after=SHELL)}
    packages -= {"IPython"}  # its own code for %load_ext
    assert packages - set(sys.stdlib_module_names) <= {"nbchat", "nest_asyncio", "nest_asyncio2"}


def test_loading_is_silent() -> None:
    script = f"{SHELL}\nimport sys\nprint('before'); print('before', file=sys.stderr)\n{LOAD}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "before"
    assert done.stderr.splitlines()[-1] == "before"


@pytest.mark.parametrize("code", [IMPORT, SHELL + LOAD])
def test_neither_starts_a_thread(code: str) -> None:
    """No thread is there, so none was left by the import: the loop's thread starts with the first reply."""
    script = f"{code}\nimport threading\nprint('\\n', *(thread.name for thread in threading.enumerate()), sep=',')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "nbchat" not in done.stdout.splitlines()[-1]
