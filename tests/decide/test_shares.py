"""Hosts are shared out evenly, and change hands no more than that takes."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from vmctl.decide.shares import shares

HOSTS = st.sets(st.sampled_from([f"kvm{n}" for n in range(40)]))
LIVES = st.sets(st.sampled_from(list("abcdef")), min_size=1)
HELD = st.dictionaries(st.sampled_from([f"kvm{n}" for n in range(40)]), st.sampled_from(list("abcdefxyz")))


@given(HOSTS, HELD, LIVES)
def test_every_host_has_one_and_each_controller_as_many_as_another_within_one(
    hosts: set[str], held: dict[str, str], lives: set[str]
) -> None:
    found = shares(hosts, held, lives, {})
    assert found.keys() == hosts
    counts = Counter(found.values())
    assert set(counts) <= lives
    assert max(counts[life] for life in lives) - min(counts[life] for life in lives) <= 1


@given(HOSTS, HELD, LIVES)
def test_what_was_shared_out_stays_as_it_is(hosts: set[str], held: dict[str, str], lives: set[str]) -> None:
    found = shares(hosts, held, lives, {})
    assert shares(hosts, found, lives, {}) == found


@given(HOSTS, HELD, LIVES)
def test_no_more_hosts_change_hands_than_must(hosts: set[str], held: dict[str, str], lives: set[str]) -> None:
    found = shares(hosts, held, lives, {})
    stay = Counter(held[host] for host in hosts if held.get(host) in lives)
    moved = sum(1 for host in hosts if held.get(host) in lives and found[host] != held[host])
    each, more = divmod(len(hosts), len(lives))
    most = sorted((stay[life] for life in lives), reverse=True)
    assert moved == sum(max(0, count - each - (place < more)) for place, count in enumerate(most))


@given(HOSTS, LIVES, st.data())
def test_a_host_goes_to_who_reaches_it(hosts: set[str], lives: set[str], data: st.DataObject) -> None:
    of_them = st.sets(st.sampled_from(sorted(lives)))
    cannot = {host: data.draw(of_them) for host in sorted(hosts)}
    found = shares(hosts, {}, lives, cannot)
    assert found.keys() == hosts
    assert all(found[host] not in cannot[host] or set(lives) == cannot[host] for host in hosts)
    assert shares(hosts, found, lives, cannot) == found, "it does not go to and fro"


def test_hosts_of_one_that_died_go_to_all_others() -> None:
    hosts = [f"kvm{n}" for n in range(30)]
    before = shares(hosts, {}, ["a", "b", "c"], {})
    after = shares(hosts, before, ["a", "b"], {})
    assert Counter(after[host] for host in hosts if before[host] == "c") == {"a": 5, "b": 5}
    assert all(after[host] == before[host] for host in hosts if before[host] != "c")


def test_nobody_watches_where_nobody_lives() -> None:
    assert shares(["kvm1"], {"kvm1": "a"}, [], {}) == {}
