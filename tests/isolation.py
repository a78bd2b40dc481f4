"""The environment that tests and the processes they start see: no keys, no proxies, nothing of the user's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

GUARD = Path(__file__).parent / "guard"

FOREIGN = re.compile(
    r"""
    .*_(API_KEY|TOKEN|PROXY) | IPYTHONDIR | PYTHONPATH | PYTHONSTARTUP
    | (NBCHAT|OPENAI|ANTHROPIC|OLLAMA|JPY|JUPYTER|JUPYTERLAB|IPYTHON|XDG|COLAB|VSCODE)_.*
    """,
    re.IGNORECASE | re.VERBOSE,
)


def isolated_environment(real: Mapping[str, str], home: Path) -> dict[str, str]:
    """The environment `real` without what belongs to the user, with all its directories in `home`."""
    kept = {name: value for name, value in real.items() if not FOREIGN.fullmatch(name)}
    return kept | {
        "HOME": str(home),
        "USERPROFILE": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local/share"),
        "XDG_STATE_HOME": str(home / ".local/state"),
        "IPYTHONDIR": str(home / ".ipython"),
        "JUPYTER_CONFIG_DIR": str(home / ".jupyter"),
        "JUPYTER_DATA_DIR": str(home / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(home / "jupyter/runtime"),
        "PYTHONPATH": str(GUARD),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else every kernel of ipykernel 6 prints a page of warnings
    }
