"""An invitation lets one controller join, once, for a while."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from vmctl.errors import NotAllowed, Usage
from vmctl.model.audit import Entry
from vmctl.model.joining import ControllerKey, Invitation, JoinToken, read_token
from vmctl.ports.store import Store

TOKEN = JoinToken("postgresql://vmctl:secret@db1,db2/vmctl", "s3cret")
KEY = ControllerKey("home-1", "kvm1", "ssh-ed25519 AAAA vmctl@kvm1", 5.0)
OTHER = replace(KEY, home="home-2", name="kvm2", key="ssh-ed25519 BBBB vmctl@kvm2")
ENTRY = Entry(5.0, "root", "controller join", "kvm1", "done")


@pytest.fixture
async def invited(registry: Store) -> Store:
    await registry.invite(Invitation(TOKEN.hash, "root", 100.0), replace(ENTRY, what="controller invite"))
    return registry


async def test_whoever_joins_uses_the_invitation_up(invited: Store) -> None:
    assert await invited.join(TOKEN.hash, KEY, 5.0, ENTRY)
    assert await invited.all(ControllerKey) == [KEY] and await invited.all(Invitation) == []
    with pytest.raises(NotAllowed, match="it was used"):
        await invited.join(TOKEN.hash, OTHER, 6.0, ENTRY)
    assert [one.text.count("controller") for one in await invited.newest_audited(most=9)] == [1, 1]


async def test_an_answer_that_was_lost_is_asked_for_again(invited: Store) -> None:
    assert await invited.join(TOKEN.hash, KEY, 5.0, ENTRY)
    assert not await invited.join(TOKEN.hash, KEY, 6.0, ENTRY)
    assert await invited.all(ControllerKey) == [KEY]


async def test_of_two_at_once_one_joins(invited: Store) -> None:
    both = [invited.join(TOKEN.hash, key, 5.0, ENTRY) for key in (KEY, OTHER)]
    found = await asyncio.gather(*both, return_exceptions=True)
    assert sorted(str(type(one).__name__) for one in found) == ["NotAllowed", "bool"]
    assert len(await invited.all(ControllerKey)) == 1


async def test_one_whose_key_is_another_now_needs_another_invitation(invited: Store) -> None:
    await invited.join(TOKEN.hash, KEY, 5.0, ENTRY)
    new = replace(KEY, key=OTHER.key, joined_at=7.0)
    with pytest.raises(NotAllowed):
        await invited.join(TOKEN.hash, new, 7.0, ENTRY)
    await invited.invite(Invitation("another", "root", 100.0), ENTRY)
    assert await invited.join("another", new, 7.0, ENTRY)
    assert await invited.all(ControllerKey) == [new]


async def test_an_invitation_that_is_over_lets_nobody_in(invited: Store) -> None:
    await invited.invite(Invitation("over", "root", ENTRY.at - 1.0), ENTRY)
    with pytest.raises(NotAllowed, match="is over"):
        await invited.join("over", KEY, ENTRY.at, ENTRY)
    assert await invited.all(ControllerKey) == []


async def test_the_registrys_clock_says_when_an_invitation_is_over(invited: Store) -> None:
    """Where several machines share it: that of whoever joins may be a day ahead."""
    if not invited.shared:
        with pytest.raises(NotAllowed, match="is over"):
            await invited.join(TOKEN.hash, KEY, ENTRY.at + 86400.0, ENTRY)
    else:
        assert await invited.join(TOKEN.hash, KEY, ENTRY.at + 86400.0, ENTRY)


def test_a_token_is_read_as_it_was_written() -> None:
    assert read_token(str(TOKEN)) == TOKEN
    assert TOKEN.secret not in TOKEN.hash


@pytest.mark.parametrize(
    "text", ["", "hello", str(TOKEN)[:-9], "vmctl-join-", "vmctl-join-e30", "vmctl-join-W10", "vmctl-join-ü"]
)
def test_what_is_no_token_says_where_to_get_one(text: str) -> None:
    with pytest.raises(Usage) as caught:
        read_token(text)
    assert "vmctl controller invite" in caught.value.hint
