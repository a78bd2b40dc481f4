"""Makes every connection beyond loopback fail, in the process that calls `install`.

`sitecustomize.py` beside this file calls it in every Python process that has this folder on its
`PYTHONPATH`: the kernels and scripts that tests start are guarded as the tests themselves are.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any


class ReachedOut(RuntimeError):
    """A test tried to reach a host beyond loopback. No OSError, so that no code takes it for a lost connection."""


attempts: list[str] = []
"""What was tried in this process; a test that left something here has failed, whoever swallowed the error."""


def is_loopback(host: object) -> bool:
    """Whether an address or a name stands for this machine; no host at all does."""
    name = host.decode() if isinstance(host, bytes) else host
    if not name or name in ("localhost", "ip6-localhost") or not isinstance(name, str):
        return True
    try:
        address = ipaddress.ip_address(_written_out(name.split("%")[0]))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or mapped.is_unspecified


def _written_out(name: str) -> str:
    try:
        return socket.inet_ntoa(socket.inet_aton(name))  # resolvers take 127.1 for 127.0.0.1
    except OSError:
        return name


def install() -> None:
    """Guard this process; once is enough."""
    if hasattr(socket, "_nbchat_guard"):
        return
    socket._nbchat_guard = True  # type: ignore[attr-defined]
    for method, place in {"connect": 0, "connect_ex": 0, "sendto": -1, "sendmsg": 3}.items():
        setattr(socket.socket, method, _guarded_method(getattr(socket.socket, method), place))
    for function in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"):
        setattr(socket, function, _guarded_lookup(getattr(socket, function)))


def _guarded_method(original: Callable[..., Any], place: int) -> Callable[..., Any]:
    def guarded(self: socket.socket, *args: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and -len(args) <= place < len(args):
            _check(args[place][0])
        return original(self, *args)

    return guarded


def _guarded_lookup(original: Callable[..., Any]) -> Callable[..., Any]:
    def guarded(host: object, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if isinstance(name, str) and name.endswith(".invalid"):  # never resolves (RFC 6761): needs no network
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if name != socket.gethostname():  # servers ask for their own machine's name
            _check(name)
        return original(host, *args, **kwargs)

    return guarded


def _check(host: object) -> None:
    if not is_loopback(host):
        attempts.append(str(host))
        raise ReachedOut(f"A test tried to reach {host}. Tests talk to servers on loopback only.")
