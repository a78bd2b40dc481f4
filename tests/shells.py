"""A real IPython shell in the tests' own process, and putting back what it and nest_asyncio change there."""

from __future__ import annotations

import asyncio
import atexit
import builtins
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config


class RaisingShell(InteractiveShell):
    """An IPython shell whose outermost `run_cell` raises the cell's error: a cell that fails fails its test."""

    _depth = 0

    def run_cell(self, *args: Any, **kwargs: Any) -> Any:
        self._depth += 1
        try:
            result = super().run_cell(*args, **kwargs)
        finally:
            self._depth -= 1
        if not self._depth:  # within a cell, `ip.run_cell` only returns the error, as it does for users
            result.raise_error()
        return result


@contextmanager
def fresh_shell() -> Iterator[RaisingShell]:
    """A shell that `get_ipython()` finds, without a history file; nothing of it is left afterwards."""
    main, hooks, path = sys.modules["__main__"], (sys.displayhook, sys.excepthook), list(sys.path)
    InteractiveShell.clear_instance()
    config = Config(HistoryManager={"enabled": False}, InteractiveShell={"colors": "nocolor"})
    shell = RaisingShell.instance(config=config)
    try:
        yield shell
    finally:
        for extension in list(shell.extension_manager.loaded):
            shell.extension_manager.unload_extension(extension)
        atexit.unregister(shell.atexit_operations)
        shell.atexit_operations()
        RaisingShell.clear_instance()
        sys.modules["__main__"], (sys.displayhook, sys.excepthook), sys.path[:] = main, hooks, path
        for name in ("display", "__IPYTHON__"):
            vars(builtins).pop(name, None)


@contextmanager
def unpatched_asyncio() -> Iterator[None]:
    """Put asyncio back as it was: nest_asyncio, which the extension applies, changes it for the whole process."""
    places = [asyncio, asyncio.events, asyncio.futures, asyncio.tasks]
    places += [*asyncio.SelectorEventLoop.__mro__[:-1], _policy_class()]
    before = [(place, dict(vars(place))) for place in places]
    yield
    for place, attributes in before:
        now = dict(vars(place))
        for name in now.keys() - attributes.keys():
            delattr(place, name)
        for name, value in attributes.items():
            if now.get(name) is not value:
                setattr(place, name, value)


def _policy_class() -> type:
    # Asking for the policy in the public way is deprecated since Python 3.14.
    get_policy = getattr(asyncio.events, "_get_event_loop_policy", asyncio.get_event_loop_policy)
    return type(get_policy())
