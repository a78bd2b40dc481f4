"""What a cell's output has of a panel: the view, and one sentence for where the widget does not live.

A notebook that is opened again on a new kernel has the view of a widget that is no more, of which JupyterLab would say
only "model not found". The sentence stands in an output of its own above it, and the page shows one of the two.
"""

from __future__ import annotations

from typing import Any

from nbchat.notebook import cell_id
from nbchat.store.notebooks import is_lasting

_SENTENCE = "nbchat's panel: run this cell to see the conversation; {} writes it down."
_INSTEAD = {
    "text/plain": _SENTENCE.format("`%chat export`"),
    "text/html": _SENTENCE.format("<code>%chat export</code>"),
}

_OURS = ".jp-OutputArea-child:has(> .jp-OutputArea-output > .nbchat-instead)"
_DEAD = '+ .jp-OutputArea-child:not(:has(.nbchat-panel, > [data-mime-type]:not([data-mime-type="text/plain"])))'
_STYLE = f"<style>{_OURS}:has(~ .jp-OutputArea-child .nbchat-panel), {_OURS} {_DEAD} {{ display: none }}</style>"


def outputs(model: str) -> list[dict[str, Any]]:
    """The outputs that show a panel, in their order; a transcript would be out of date as soon as it is saved.

    Args:
        model: The widget's id; empty where it has no page.
    """
    if not model:
        return [_INSTEAD]
    view = {"application/vnd.jupyter.widget-view+json": {"version_major": 2, "version_minor": 0, "model_id": model}}
    if not is_lasting(cell_id()):  # another page than JupyterLab's would show both
        return [view | _INSTEAD]
    sentence = f'{_STYLE}<div class="nbchat-instead">{_INSTEAD["text/html"]}</div>'
    return [_INSTEAD | {"text/html": sentence}, view | {"text/plain": ""}]
