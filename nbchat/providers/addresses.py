"""What a URL says about where a request goes: whom to name in an error, and which proxy is in between. No I/O."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import SplitResult, urljoin, urlsplit

from nbchat.errors import UsageProblem, shorten

SOCKS = ("socks4", "socks4a", "socks5", "socks5h")
_PORTS = {"http": 80, "https": 443}
_NONE = SplitResult("", "", "", "", "")


def authority(url: str, *, with_port: bool = False) -> str:
    """The host of a URL, with its port if that is written out or asked for; never the user and password."""
    parts = _parts(url)
    shown = parts.netloc.rpartition("@")[2].rstrip(":")
    if with_port and parts.port is None and parts.scheme in _PORTS:
        return f"{shown}:{_PORTS[parts.scheme]}"
    return shown


def is_local(url: str) -> bool:
    """Whether the host is this machine."""
    host = _parts(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def redirected(url: str, location: str) -> str:
    """Where a redirect goes, if it stays at the same scheme, host and port; else ""."""
    try:
        target = urljoin(url, location)
    except ValueError:
        return ""
    return target if location and _origin(target) == _origin(url) else ""


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = _parts(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


def _parts(url: str) -> SplitResult:
    """The parts of a URL, all empty if it cannot be taken apart."""
    try:
        parts = urlsplit(url)
        return parts if parts.port != 0 else _NONE
    except ValueError:  # a port that is no number, or half an IPv6 address
        return _NONE


def check(url: str) -> None:
    """Raise a `UsageProblem` unless this is a URL that can be asked."""
    if not _is_usable(url, _PORTS):
        raise UsageProblem(f"{_shown(url)!r} is no web address: it needs http:// or https:// and a host.")


def proxy_for(url: str, given: str | None) -> str | None:
    """The URL of the proxy for a request: the given one, else the environment's, if any.

    The environment's are `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY`, in capitals or not. They are not for what
    `NO_PROXY` lists, nor for this machine: a model that runs here is not behind the network's proxy.

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
    if is_local(url):
        return None
    from urllib import request as urllib_request  # here, since it takes a while to load

    proxies = urllib_request.getproxies_environment()
    proxy = proxies.get(urlsplit(url).scheme) or proxies.get("all")
    host = authority(url, with_port=True)
    # typeshed does not know this function on every system
    is_exempt = urllib_request.proxy_bypass_environment(host, proxies)  # type: ignore[attr-defined,unused-ignore]
    return None if is_exempt else proxy


def _is_usable(url: str, schemes: Iterable[str]) -> bool:
    parts = _parts(url)
    try:
        return parts.scheme in schemes and bool((parts.hostname or "").encode("idna"))
    except UnicodeError:  # a part of the host's name that is empty or too long
        return False


def _shown(url: str) -> str:
    scheme, mark, rest = url.rpartition("://")
    return shorten(scheme + mark + rest.rpartition("@")[2], 80)
