"""What `%load_ext nbchat` adds to the start of a kernel, as a ratio. Run by hand, on a machine at rest:

    python benchmarks/load.py [ROUNDS]

Starts a Python that imports ipykernel and makes a shell, with and without loading the extension, in turn,
and compares the fastest start of each kind: what slows down a single start is not nbchat's. At most 10 % is promised.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

SHELL = """
import ipykernel.kernelapp
from ipykernel.zmqshell import ZMQInteractiveShell
shell = ZMQInteractiveShell.instance()
"""
LOAD = "shell.run_line_magic('load_ext', 'nbchat')"


def seconds(script: str) -> float:
    """How long a fresh Python takes to run the script."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", script], check=True)
    return time.perf_counter() - start


def main(rounds: int) -> None:
    """Measure and print."""
    seconds(SHELL + LOAD)  # once unmeasured: compiles and fills the file cache
    pairs = [(seconds(SHELL), seconds(SHELL + LOAD)) for _ in range(rounds)]
    without, loaded = zip(*pairs, strict=True)
    print(f"{rounds} starts each; fastest (median), in ms")
    for name, times in (("without nbchat", without), ("with nbchat", loaded)):
        print(f"  {name:15} {1000 * min(times):6.0f} ({1000 * statistics.median(times):.0f})")
    print(f"  adds {100 * (min(loaded) / min(without) - 1):.1f} %")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15)
