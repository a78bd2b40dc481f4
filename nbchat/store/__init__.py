"""Conversations on disk: one SQLite file for all notebooks, which many kernels write to at once."""

from nbchat.store.store import Store, StoredNotebook

__all__ = ["Store", "StoredNotebook"]
