"""A notebook's file and its page, as JupyterLab has them: cells with ids, outputs that a kernel sent, saving."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import nbformat

from kernels import Execution, Kernel

Output = dict[str, Any]


class Document:
    """A notebook that is open in a page.

    Args:
        file: Where it is saved; it is written at once.
        sources: The cells' sources by their ids.
        minor: The file's format, 4.`minor`: before 4.5 the ids are not saved.
    """

    def __init__(self, file: Path, sources: dict[str, str] | None = None, *, minor: int = 5) -> None:
        self.file = file
        self.sources = dict(sources or {})
        self.minor = minor
        self._outputs: dict[str, list[Output]] = {}
        self.save()

    @property
    def variables(self) -> dict[str, str]:
        """What a kernel's environment holds that is started for this notebook."""
        return {"JPY_SESSION_NAME": str(self.file)}

    def run(self, kernel: Kernel, cell: str, source: str | None = None, **options: Any) -> Execution:
        """Run a cell, of which the source may be written anew, and show what comes."""
        self.sources[cell] = self.sources[cell] if source is None else source
        self._outputs[cell] = []
        execution = kernel.run(self.sources[cell], cell_id=cell, **options)
        self._show(cell, execution)
        return execution

    def run_all(self, kernel: Kernel) -> None:
        """Run all cells from the top to the end."""
        for cell in self.sources:
            self.run(kernel, cell)

    def html(self, cell: str) -> str:
        """What the cell's outputs show."""
        return "".join(output["data"].get("text/html", "") for output in self._outputs[cell] if "data" in output)

    def text(self, cell: str) -> str:
        """What the cell's outputs are as text."""
        shown = self._outputs[cell]
        return "".join(output["data"].get("text/plain", "") if "data" in output else output["text"] for output in shown)

    def save(self) -> None:
        """Write the file anew, in place, as Jupyter does."""
        cells = [self._cell(cell, source) for cell, source in self.sources.items()]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        notebook = nbformat.v4.new_notebook(metadata=kernel)
        notebook.update(cells=cells, nbformat_minor=self.minor)
        self.file.write_text(nbformat.writes(notebook))

    def rename(self, name: str) -> None:
        """Give the file another name."""
        self.file = self.file.rename(self.file.with_name(name))

    def copy(self, file: Path) -> Document:
        """A copy of the saved file, open in a page of its own."""
        other = Document.__new__(Document)
        vars(other).update(vars(self) | {"file": file, "sources": dict(self.sources), "_outputs": {}})
        shutil.copyfile(self.file, file)
        os.utime(file)
        return other

    def _show(self, cell: str, execution: Execution) -> None:
        clear = False
        for message in execution.messages:
            kind, content = message["msg_type"], message["content"]
            if kind == "clear_output":
                clear = True
            elif kind == "update_display_data":
                self._update(content)
            elif kind in ("display_data", "execute_result", "stream", "error"):
                self._outputs[cell] = [] if clear else self._outputs[cell]
                clear = False
                self._outputs[cell].append({"output_type": kind, **content})

    def _update(self, content: dict[str, Any]) -> None:
        for outputs in self._outputs.values():
            for output in outputs:
                if (output.get("transient") or {}).get("display_id") == content["transient"]["display_id"]:
                    output |= {"data": content["data"], "metadata": content["metadata"]}

    def _cell(self, cell: str, source: str) -> Any:
        outputs = [
            nbformat.from_dict({name: value for name, value in output.items() if name != "transient"})
            for output in self._outputs.get(cell, [])
        ]
        made = nbformat.v4.new_code_cell(source, outputs=outputs, id=cell)
        if self.minor < 5:
            del made["id"]
        return made
