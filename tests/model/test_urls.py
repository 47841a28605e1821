"""From where images may be fetched: what is on the list, what only looks like it, and where names lead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmctl.errors import Refused, Usage
from vmctl.model.urls import asked_for, check_address, entry, entry_for, place, redirected

ALLOWED = ("images.example.org", "https://other.example:8443/pub/", "http://10.0.0.5/images", "https://[fd00::5]/")


@pytest.mark.parametrize(
    "url",
    [
        "https://images.example.org/debian-12.qcow2",
        "https://IMAGES.example.org:443/a/b",
        "https://other.example:8443/pub/x.img",
        "http://10.0.0.5/images/x",
        "http://10.0.0.5/images",
        "https://[fd00::5]/x",
    ],
)
def test_what_is_on_the_list(url: str) -> None:
    assert entry_for(asked_for(url), ALLOWED)


@pytest.mark.parametrize(
    "url",
    [
        "http://images.example.org/x",  # not over https
        "https://images.example.org.evil.example/x",
        "https://evil.example/images.example.org",
        "https://images.example.org:8443/x",
        "https://other.example:8443/public/x",
        "https://other.example/pub/x",
        "https://10.0.0.5/images/x",
        "http://10.0.0.5/imagesque/x",
        "http://10.0.0.6/images/x",
    ],
)
def test_what_is_not(url: str) -> None:
    with pytest.raises(Refused, match="nothing may be fetched") as caught:
        entry_for(asked_for(url), ALLOWED)
    assert "allow_urls" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        *(
            "file:///etc/shadow",
            "ftp://images.example.org/x",
            "//images.example.org/x",
            "images.example.org/x",
            "https:///x",
        ),
        *("https://anna:secret@images.example.org/x", "https://images.example.org@evil.example/x"),
        *("https://other.example:8443/pub/../x", "https://other.example:8443/pub/%2e%2e/x", "https://x/a%2Fb"),
        *("https://images.example.org\\@evil.example/x", "https://images.example.org/a b", "https://x/\nHost: y"),
        *("https://images.example.org:port/x", "https://ex\u00e4mple.org/x", "https://x/a?token=s", "https://x/a#b"),
    ],
)
def test_what_could_be_read_in_two_ways_is_not_taken(url: str) -> None:
    with pytest.raises(Usage):
        asked_for(url)


@given(st.text(max_size=60))
def test_any_text_is_a_place_or_refused_and_a_place_is_read_the_same_again(text: str) -> None:
    try:
        found = place(f"https://{text}")
    except Usage:
        return
    assert place(f"{found.scheme}://{found.server}{found.target}") == found


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.100.100.200", "0.0.0.0"),
        *("168.63.129.16", "224.0.0.1", "255.255.255.255", "::1", "fe80::1", "fd00:ec2::254", "ff02::1", "::"),
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "2002:7f00:1::", "2002:a9fe:a9fe::1"),
        *("::127.0.0.1", "::ffff:0:7f00:1", "64:ff9b:1::7f00:1", "fec0::1", "5f00::1", "64:ff9b:1:2::a00:1"),
    ],
)
def test_a_name_that_leads_inside_is_not_followed(address: str) -> None:
    with pytest.raises(Refused, match="leads to an address") as caught:
        check_address(address, entry("images.example.org"))
    assert address not in caught.value.message, "what a name means in there is nobody's business"


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"])
def test_the_public_internet_is(address: str) -> None:
    check_address(address, entry("images.example.org"))


def test_an_address_that_the_list_names_is_meant() -> None:
    check_address("10.0.0.5", entry("http://10.0.0.5/images"))
    check_address("127.0.0.1", entry("http://127.0.0.1:8000/"))
    with pytest.raises(Refused):
        check_address("10.0.0.6", entry("http://10.0.0.5/images"))


@pytest.mark.parametrize(
    ("location", "wanted"),
    [
        ("/b", "https://images.example.org/b"),
        ("b?token=s", "https://images.example.org/x/b"),
        ("//evil.example/b", "https://evil.example/b"),
        ("http://images.example.org/b", "http://images.example.org/b"),
    ],
)
def test_a_redirect_is_a_place_of_its_own(location: str, wanted: str) -> None:
    assert str(redirected(place("https://images.example.org/x/a"), location)) == wanted
