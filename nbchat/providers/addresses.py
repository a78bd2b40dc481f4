"""What a URL says about where a request goes: whom to name in an error, and which proxy is in between. No I/O."""

from __future__ import annotations

from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment

from nbchat.errors import UsageProblem, shorten

SOCKS = ("socks4", "socks4a", "socks5", "socks5h")
_PORTS = {"http": 80, "https": 443}


def authority(url: str, *, with_port: bool = False) -> str:
    """The host of a URL, with its port if that is written out or asked for; never the user and password."""
    parts = urlsplit(url)
    shown = parts.netloc.rpartition("@")[2]
    if with_port and shown == (parts.hostname or "").join(("[", "]") if ":" in shown else ("", "")):
        return f"{shown}:{_PORTS.get(parts.scheme, '')}".rstrip(":")
    return shown


def is_local(url: str) -> bool:
    """Whether the host is this machine."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def same_origin(one: str, other: str) -> bool:
    """Whether both URLs have the same scheme, host and port, so that one may see what is meant for the other."""
    return _origin(one) == _origin(other)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def check(url: str) -> None:
    """Raise a `UsageProblem` unless this is a URL that can be asked."""
    if not _is_usable(url, tuple(_PORTS)):
        raise UsageProblem(f"{_shown(url)!r} is no web address: it needs http:// or https:// and a host.")


def proxy_for(url: str, given: str | None) -> str | None:
    """The URL of the proxy for a request: the given one, else the environment's, if any.

    The environment's are `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY`, in capitals or not, with the exceptions
    that `NO_PROXY` lists.

    Raises:
        UsageProblem: If it is no proxy that can be used.
    """
    proxy = given or _environment_proxy(url)
    if not proxy:
        return None
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    if not _is_usable(proxy, (*_PORTS, *SOCKS)):
        raise UsageProblem(f"{_shown(proxy)!r} is no proxy: it needs http://, https:// or socks5:// and a host.")
    return proxy


def _environment_proxy(url: str) -> str | None:
    proxies = getproxies_environment()
    proxy = proxies.get(urlsplit(url).scheme) or proxies.get("all")
    if not proxy or proxy_bypass_environment(authority(url, with_port=True), proxies):
        return None
    return proxy


def _is_usable(url: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or half an IPv6 address
        return False


def _shown(url: str) -> str:
    scheme, mark, rest = url.rpartition("://")
    return shorten(scheme + mark + rest.rpartition("@")[2], 80)
