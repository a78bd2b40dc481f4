"""The guard itself: nothing beyond loopback is reached, by whatever way, here or in a process that a test starts."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import aiohttp
import pytest

import network_guard
from kernels import CellFailed, Kernel

FAR = "192.0.2.1"  # set apart for documentation (RFC 5737): nobody answers there


@pytest.fixture(autouse=True)
def _attempts_are_wanted_here() -> Iterator[None]:
    yield
    network_guard.attempts.clear()


def udp() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


WAYS: list[Callable[[], object]] = [
    lambda: socket.create_connection((FAR, 80)),
    lambda: socket.create_connection(("example.com", 80)),
    lambda: udp().connect((FAR, 80)),
    lambda: udp().connect_ex((FAR, 80)),
    lambda: udp().sendto(b"x", (FAR, 80)),
    lambda: udp().sendto(b"x", 0, (FAR, 80)),
    lambda: udp().sendmsg([b"x"], [], 0, (FAR, 80)),
    lambda: socket.gethostbyname("example.com"),
    lambda: socket.getaddrinfo(b"example.com", 80),
    lambda: socket.getaddrinfo("::ffff:192.0.2.1", 80),
    lambda: socket.getaddrinfo("192.0.513", 80),
]


@pytest.mark.parametrize("way", WAYS, ids=range(len(WAYS)))
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # the sockets of the ways that fail
def test_no_way_leads_out(way: Callable[[], object]) -> None:
    with pytest.raises(network_guard.ReachedOut, match="loopback only"):
        way()
    assert network_guard.attempts


async def test_asyncio_and_aiohttp_do_not_get_out() -> None:
    with pytest.raises(network_guard.ReachedOut):
        await asyncio.open_connection("example.com", 80)
    async with aiohttp.ClientSession() as session:
        for url in (f"http://{FAR}/", "http://example.com/"):
            with pytest.raises(network_guard.ReachedOut):
                await session.get(url)


def test_loopback_is_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for host in ("127.0.0.1", "localhost", "127.1"):
            socket.create_connection((host, port)).close()


def test_an_invalid_name_fails_as_it_does_for_users() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("no-such-host.invalid", 80)
    assert not network_guard.attempts


def test_processes_that_tests_start_are_guarded(kernel: Kernel) -> None:
    script = f"import socket; socket.create_connection(('{FAR}', 80))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "ReachedOut" in done.stderr
    with pytest.raises(CellFailed, match="loopback only"):
        kernel.run(script)


def test_the_environment_has_nothing_of_the_user(
    kernel: Kernel, shell: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    temporary = str(tmp_path_factory.getbasetemp())
    for name in ("HOME", "IPYTHONDIR", "XDG_CONFIG_HOME", "JUPYTER_CONFIG_DIR"):
        assert os.environ[name].startswith(temporary)
    assert not [name for name in os.environ if name.endswith(("_API_KEY", "_PROXY", "_proxy"))]
    seen = kernel.run("import os; print(os.environ['HOME'])").stdout
    assert seen.strip() == os.environ["HOME"]
