"""What `%load_ext nbchat` adds to the start of a kernel, as a ratio. Run by hand, on a machine at rest:

    python benchmarks/load.py [ROUNDS]

Starts a Python that imports ipykernel and makes a shell, with and without loading the extension, in turn,
and compares the fastest start of each kind: what slows down a single start is not nbchat's. At most 10 % is promised.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time

SHELL = """
import ipykernel.kernelapp
from ipykernel.zmqshell import ZMQInteractiveShell
shell = ZMQInteractiveShell.instance()
"""
LOAD = "shell.run_line_magic('load_ext', 'nbchat')"


def seconds(script: str, env: dict[str, str]) -> float:
    """How long a fresh Python takes to run the script."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", script], check=True, env=env, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def main(rounds: int) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as bytecode:
        # Bytecode is written and used, whatever the environment says: compiling is no part of a usual start.
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        env["PYTHONPYCACHEPREFIX"] = bytecode
        seconds(SHELL + LOAD, env)  # once unmeasured, to write it
        pairs = [(seconds(SHELL, env), seconds(SHELL + LOAD, env)) for _ in range(rounds)]
    without, loaded = zip(*pairs, strict=True)
    print(f"{rounds} starts each; fastest (median), in ms")
    for name, times in (("without nbchat", without), ("with nbchat", loaded)):
        print(f"  {name:15} {1000 * min(times):6.0f} ({1000 * statistics.median(times):.0f})")
    print(f"  adds {100 * (min(loaded) / min(without) - 1):.1f} %")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
