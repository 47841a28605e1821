"""Which controller watches which host: evenly, with as few changes of hands as that takes. Pure.

Where a host has to go, the controllers' order for it is that of highest random weight (rendezvous hashing; Thaler and
Ravishankar, 1998): it depends on the two names alone, so that hosts of one controller that died go to all others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping


def shares(
    hosts: Collection[str],
    held: Mapping[str, str],
    lives: Collection[str],
    cannot: Mapping[str, Collection[str]],
) -> dict[str, str]:
    """The life that watches each host. `held`: who does now; `cannot`: which lives were seen not to reach a host.

    Each life gets as many as any other, or one more, but for hosts that only some of them reach. A host that nobody
    reaches goes to anybody.
    """
    if not lives:
        return {}
    able = {host: sorted(set(lives) - set(cannot.get(host, ()))) or sorted(lives) for host in hosts}
    given = {host: held[host] for host in sorted(hosts) if held.get(host) in able[host]}
    while (evened := _evened(given, able, lives)) != given:  # each time it is more even than before
        given = evened
    return given


def _evened(held: Mapping[str, str], able: Mapping[str, list[str]], lives: Collection[str]) -> dict[str, str]:
    given = dict(held)
    counts = {life: sum(1 for one in given.values() if one == life) for life in lives}
    fair = _fair(len(able), counts)
    for host in _to_give_away(given, counts, fair, able):
        del given[host]
    for host in sorted(able.keys() - given.keys()):
        room = [life for life in able[host] if counts[life] < fair[life]]
        life = max(room, key=lambda life: _weight(life, host)) if room else min(able[host], key=lambda one: counts[one])
        given[host] = life
        counts[life] += 1
    return given


def _fair(hosts: int, counts: Mapping[str, int]) -> dict[str, int]:
    """How many each gets: those that have the most keep one more where it does not come out even."""
    each, more = divmod(hosts, len(counts))
    order = sorted(counts, key=lambda life: (-counts[life], life))
    return {life: each + (place < more) for place, life in enumerate(order)}


def _to_give_away(
    given: Mapping[str, str], counts: dict[str, int], fair: Mapping[str, int], able: Mapping[str, list[str]]
) -> list[str]:
    """Hosts of those that have too many, which somebody can take who has too few; `counts` follows."""
    gone: list[str] = []
    missing = {life: fair[life] - counts[life] for life in counts if counts[life] < fair[life]}
    # What it was given for the weakest reason goes first.
    for host in sorted(given, key=lambda host: (_weight(given[host], host), host)):
        life = given[host]
        taker = next((one for one in able[host] if missing.get(one, 0) > 0), None)
        if counts[life] > fair[life] and taker is not None:
            gone.append(host)
            counts[life] -= 1
            missing[taker] -= 1
    return gone


def _weight(life: str, host: str) -> bytes:
    return hashlib.blake2b(f"{life}\0{host}".encode(), digest_size=8).digest()
