"""Addresses as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmctl.errors import Usage
from vmctl.hosts.address import Wanted, bare, tcp_uri, wanted


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("kvm1", Wanted("kvm1", "kvm1")),
        ("kvm1=10.0.0.5", Wanted("kvm1", "10.0.0.5")),
        ("kvm1=10.0.0.5:2222", Wanted("kvm1", "10.0.0.5", 2222)),
        ("kvm1=root@10.0.0.5", Wanted("kvm1", "10.0.0.5", 22, "root")),
        ("kvm1=admin@kvm1.example.org:22", Wanted("kvm1", "kvm1.example.org", 22, "admin")),
        ("kvm1=fd00:88::14", Wanted("kvm1", "fd00:88::14")),
        ("kvm1=admin@fd00:88::14", Wanted("kvm1", "fd00:88::14", 22, "admin")),
        ("kvm1=[fd00:88::14]", Wanted("kvm1", "fd00:88::14")),
        ("kvm1=[fd00:88::14]:2222", Wanted("kvm1", "fd00:88::14", 2222)),
        ("kvm1=admin@[fe80::1%eth0]:2222", Wanted("kvm1", "fe80::1%eth0", 2222, "admin")),
    ],
)
def test_every_common_form_is_read(text: str, found: Wanted) -> None:
    assert wanted(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "", "=10.0.0.5", "kvm1=", "kvm1=:22", "kvm1=10.0.0.5:", "kvm1=10.0.0.5:0", "kvm1=10.0.0.5:99999",
        "kvm1=10.0.0.5:-1", "kvm1=10.0.0.5:٣", "kvm1=[fd00::1", "kvm1=fd00::1]", "kvm1=[fd00::1]22", "kvm1=a b",
        "kvm1=@10.0.0.5", "kvm1=@fd00::1", "root@kvm1", "kvm1=10.0.0.5/24", "kvm1=-oProxyCommand", "kvm1=a\n",
    ],
)  # fmt: skip
def test_anything_else_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(Usage) as caught:
        wanted(text)
    assert "NAME=ADDRESS:PORT" in caught.value.hint


@given(st.text(max_size=30))
def test_nothing_but_usage_is_raised(text: str) -> None:
    try:
        assert wanted(f"kvm1={text}").address
    except Usage:
        return


def test_a_uri_has_ipv6_in_brackets() -> None:
    assert tcp_uri("10.0.0.5") == "tcp://10.0.0.5" and tcp_uri("fd00::14") == "tcp://[fd00::14]"
    assert bare("[fd00::14]") == bare("fd00::14") == "fd00::14" and bare("kvm1") == "kvm1"
    with pytest.raises(Usage):
        bare("[fd00::14]:22")
