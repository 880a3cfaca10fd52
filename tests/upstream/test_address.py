"""URLs of the configuration as they are called."""

import pytest

from router.upstream.address import BadAddress, address


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port", "target"),
    [
        ("https://openrouter.ai/api/v1/models", "https", "openrouter.ai", 443, b"/api/v1/models"),
        ("http://127.0.0.1:8080/v1", "http", "127.0.0.1", 8080, b"/v1"),
        ("http://[::1]:8080/v1", "http", "::1", 8080, b"/v1"),
        ("https://OpenRouter.AI", "https", "openrouter.ai", 443, b"/"),
        ("https://bücher.example/ä b", "https", "xn--bcher-kva.example", 443, b"/%C3%A4%20b"),
        ("https://a.example/already%20so?x=1&y=%26", "https", "a.example", 443, b"/already%20so?x=1&y=%26"),
    ],
)
def test_a_url_is_taken_apart_and_encoded(url: str, scheme: str, host: str, port: int, target: bytes) -> None:
    assert address(url)[1:] == (scheme, host, port, target)


@pytest.mark.parametrize(
    "url",
    ["ftp://a.example/", "//a.example/", "https:///path", "http://[::1/", "http://a.example:99999/", "http://ä..b/"],
)
def test_what_cannot_be_called_is_no_address(url: str) -> None:
    with pytest.raises(BadAddress):
        address(url)


def test_a_path_of_any_length_is_not_sent() -> None:
    assert len(address("http://a.example/" + "a" * 8_000).target) == 8_001
    with pytest.raises(BadAddress, match="8193 characters"):
        address("http://a.example/" + "a" * 8_192)


def test_a_query_holds_whatever_a_provider_calls_things() -> None:
    assert address("http://a.example/v1").asked(id="a b&c=d#e").target == b"/v1?id=a+b%26c%3Dd%23e"


@pytest.mark.parametrize(
    ("reference", "host", "target"),
    [
        ("?after=2", "a.example", b"/v1/models?after=2"),
        ("/v2/models", "a.example", b"/v2/models"),
        ("//b.example/v1", "b.example", b"/v1"),
        ("http://b.example/v1", "b.example", b"/v1"),
        ("http://a.example@b.example/v1", "b.example", b"/v1"),
    ],
)
def test_a_reference_leads_where_a_browser_would_go(reference: str, host: str, target: bytes) -> None:
    led = address("http://a.example/v1/models").joined(reference)

    assert (led.host, led.target) == (host, target)


@pytest.mark.parametrize("reference", ["ftp://a.example/", "http://[", "file:///etc/passwd"])
def test_a_reference_to_what_cannot_be_called_is_none(reference: str) -> None:
    with pytest.raises(BadAddress):
        address("http://a.example/v1/models").joined(reference)
