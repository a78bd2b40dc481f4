"""Whoever wants to hear that something has changed, so that nobody has to ask again and again."""

from __future__ import annotations

import weakref
from collections.abc import Callable


class Watchers:
    """Bound methods, called one by one; each is forgotten together with its object."""

    def __init__(self) -> None:
        self._methods: set[weakref.WeakMethod[Callable[[], None]]] = set()

    def add(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call this method from now on; what ends that."""
        method = weakref.WeakMethod(changed, self._methods.discard)
        self._methods.add(method)
        return lambda: self._methods.discard(method)

    def tell(self) -> None:
        """Call them all, on this thread."""
        for method in tuple(self._methods):
            if changed := method():
                changed()
