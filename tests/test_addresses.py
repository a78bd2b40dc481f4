"""Whom a URL names, and which proxy the environment puts in between."""

from __future__ import annotations

import pytest

from nbchat.errors import UsageProblem
from nbchat.providers.addresses import authority, check, is_local, proxy_for, redirected


@pytest.mark.parametrize(
    ("url", "shown", "with_port"),
    [
        ("https://api.example/v1", "api.example", "api.example:443"),
        ("http://api.example/v1", "api.example", "api.example:80"),
        ("http://127.0.0.1:8080/v1", "127.0.0.1:8080", "127.0.0.1:8080"),
        ("http://[::1]/v1", "[::1]", "[::1]:80"),
        ("http://[::1]:8080/v1", "[::1]:8080", "[::1]:8080"),
        ("http://me:secret@api.example:81/", "api.example:81", "api.example:81"),
        ("http://me:secret@api.example/", "api.example", "api.example:80"),
        ("socks5://me:secret@127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("http://API.example:/", "API.example", "API.example:80"),
        ("http://[::1/", "", ""),
    ],
)
def test_authority_is_the_host_and_never_the_login(url: str, shown: str, with_port: str) -> None:
    assert authority(url) == shown
    assert authority(url, with_port=True) == with_port


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("https://api.example/elsewhere", "https://api.example/elsewhere"),
        ("https://api.example:443/", "https://api.example:443/"),
        ("https://API.example/", "https://API.example/"),
        ("/elsewhere?a=b", "https://api.example/elsewhere?a=b"),
        ("elsewhere", "https://api.example/v1/elsewhere"),
        ("http://api.example/", ""),
        ("https://api.example:444/", ""),
        ("https://api.example.evil/", ""),
        ("https://api.example@evil/", ""),
        ("//evil/", ""),
        ("https://api.example:99999/", ""),
        ("https://[::1/", ""),
        ("javascript:alert(1)", ""),
        ("", ""),
    ],
)
def test_a_redirect_must_stay_at_scheme_host_and_port(location: str, target: str) -> None:
    assert redirected("https://api.example/v1/chat", location) == target


@pytest.mark.parametrize("url", ["http://localhost:1/", "http://127.0.0.1/", "http://127.1.2.3/", "http://[::1]:2/"])
def test_this_machine_is_local(url: str) -> None:
    assert is_local(url)
    assert not is_local("https://api.example")


@pytest.mark.parametrize(
    "url",
    [
        *("", "localhost:80", "ftp://host/", "http://", "http://host:port/", "http://host:0/"),
        *("http://[::1/", "http://a..b/", f"http://{'a' * 64}.example/"),
    ],
)
def test_what_is_no_web_address_is_a_usage_problem(url: str) -> None:
    with pytest.raises(UsageProblem, match="no web address"):
        check(url)


@pytest.mark.parametrize("url", ["http://a_b", "https://[::1]:8080/", "http://localhost./", "http://bücher.example"])
def test_what_is_a_web_address_is_let_through(url: str) -> None:
    check(url)


def test_a_url_that_is_refused_is_shown_without_its_login() -> None:
    with pytest.raises(UsageProblem) as caught:
        check("ftp://me:secret@host/")
    assert "secret" not in str(caught.value)
    assert "ftp://host/" in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "url", "proxy"),
    [
        ({}, "http://api.example/", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://api.example/", "http://p:1"),
        ({"http_proxy": "http://p:1"}, "http://api.example/", "http://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, "https://api.example/", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://api.example/", "http://p:1"),
        ({"HTTPS_PROXY": "p:1"}, "https://api.example/", "http://p:1"),
        ({"ALL_PROXY": "socks5://p:1"}, "https://api.example/", "socks5://p:1"),
        ({"ALL_PROXY": "socks5://p:1", "HTTPS_PROXY": "http://q:2"}, "https://api.example/", "http://q:2"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "api.example"}, "https://api.example/", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example,other"}, "https://api.example/", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "api.example:8443"}, "https://api.example/", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "api.example:8443"}, "https://api.example:8443/", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://api.example/", None),
        ({"HTTP_PROXY": "http://p:1"}, "http://localhost:11434/v1", None),
        ({"ALL_PROXY": "http://p:1"}, "http://127.0.0.1:11434/v1", None),
        ({"ALL_PROXY": "http://p:1"}, "http://[::1]:11434/v1", None),
    ],
)
def test_the_proxy_of_the_environment(
    environment: dict[str, str], url: str, proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url, None) == proxy


def test_a_given_proxy_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://p:1")
    monkeypatch.setenv("NO_PROXY", "*")
    assert proxy_for("https://api.example/", "http://q:2") == "http://q:2"


@pytest.mark.parametrize("proxy", ["ftp://me:secret@p:1", "http://me:secret@", "http://me:secret@p:port"])
def test_what_is_no_proxy_is_a_usage_problem_without_its_password(proxy: str) -> None:
    with pytest.raises(UsageProblem, match="is no proxy") as caught:
        proxy_for("https://api.example/", proxy)
    assert "secret" not in str(caught.value)
