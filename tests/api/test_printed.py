"""What runs print, as whoever follows it is told: from real hosts behind real sshds."""

from __future__ import annotations

import asyncio
import base64
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.act.jobpool import Pool
from tests.act.jobpool import pool as pool  # a fixture
from vmctl.commands.jobs import FollowOutput
from vmctl.door.answers import Printed
from vmctl.door.parts import ControllerParts
from vmctl.door.printed import Output
from vmctl.model.jobs import RunState
from vmctl.services import runfeeds


def follow(pool: Pool, number: int, **more: Any) -> Any:
    parts = cast(ControllerParts, SimpleNamespace(services=pool.services, tasks=pool.tasks))
    return Output(parts, FollowOutput(number, **more)).told()


async def all_of(pool: Pool, number: int, **more: Any) -> list[Printed]:
    async with asyncio.timeout(60):
        return [item async for item in follow(pool, number, **more)]


def text(items: list[Printed], what: str = "out", run: int = 1) -> bytes:
    return b"".join(base64.b64decode(one.data) for one in items if (one.what, one.run) == (what, run))


async def test_it_is_told_as_it_comes_and_how_it_ends(pool: Pool) -> None:
    number = await pool.give("sh", "-c", "echo a; echo no >&2; sleep 1; echo b; exit 7", hosts=["kvm1"])
    told = await all_of(pool, number)
    assert (text(told), text(told, "err")) == (b"a\nb\n", b"no\n")
    assert [base64.b64decode(one.data) for one in told if one.what == "out"] == [b"a\n", b"b\n"], "not only at its end"
    assert (told[-1].what, told[-1].data, told[-1].code, told[-1].out) == ("end", "exit code 7", 7, 4)


async def test_one_that_ends_at_once_is_told_whole(pool: Pool) -> None:
    for _ in range(5):
        number = await pool.give("echo", "all", everywhere=True)
        told = await all_of(pool, number)
        assert [text(told, run=run) for run in (1, 2)] == [b"all\n"] * 2
        assert sorted(one.run for one in told if one.what == "end") == [1, 2]


async def test_what_the_answer_to_its_beginning_showed_is_not_asked_for_again(pool: Pool) -> None:
    """Not for ever: its host is asked again once that is old."""
    number = await pool.give("sh", "-c", "printf abcdef; printf no >&2", hosts=["kvm1"])
    await pool.end(number)
    asked = list(pool.hosts["kvm1"].asked)
    told = await all_of(pool, number, after="1:1:2:0")
    assert (text(told), text(told, "err"), pool.hosts["kvm1"].asked) == (b"cdef", b"no", asked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runfeeds, "KEPT_S", -1.0)
        assert text(await all_of(pool, number)) == b"abcdef"
    assert len(pool.hosts["kvm1"].asked) > len(asked)


async def test_whoever_comes_later_reads_from_where_he_was(pool: Pool) -> None:
    number = await pool.give("sh", "-c", "printf 0123456789; printf abc >&2", hosts=["kvm1"])
    await pool.end(number)
    told = await all_of(pool, number, after="1:1:4:1")
    assert (text(told), text(told, "err"), told[-1].what) == (b"456789", b"bc", "end")
    assert text(await all_of(pool, number, run=2)) == b""


async def test_who_does_not_wait_has_what_is_there(pool: Pool) -> None:
    number = await pool.give("sh", "-c", "echo begun; sleep 30", hosts=["kvm1"])
    await pool.until(number, RunState.RUNNING)
    await asyncio.sleep(0.3)
    told = await all_of(pool, number, wait=False)
    assert [one.what for one in told] == ["out"] and text(told) == b"begun\n"


async def test_each_try_is_told(pool: Pool) -> None:
    words = f"echo $(wc -l <{pool.file}); echo x >>{pool.file}; [ $(wc -l <{pool.file}) = 3 ]"
    pool.file.write_text("")
    number = await pool.give("sh", "-c", words, retry=5)
    told = await all_of(pool, number)
    assert (told[-1].tries, told[-1].what, told[-1].code) == (3, "end", 0)
    assert text([one for one in told if one.tries == 3]) == b"2\n"


async def test_what_never_began_has_no_output_and_an_end(pool: Pool) -> None:
    pool.hosts["kvm2"].silent()
    number = await pool.give("true", everywhere=True)
    told = await all_of(pool, number)
    assert {one.run: one.data for one in told if one.what == "end"} == {
        1: "exit code 0",
        2: "kvm2 does not answer: no route",
    }


async def test_a_host_that_is_away_is_waited_for_while_it_runs_and_named_afterwards(pool: Pool) -> None:
    host = pool.hosts["kvm1"]
    number = await pool.give("sh", "-c", "echo a; sleep 2; echo b", hosts=["kvm1"])
    await pool.until(number, RunState.RUNNING)
    reading = asyncio.create_task(all_of(pool, number))
    await asyncio.sleep(0.5)
    host.silent()
    await host.dialled.close()
    await asyncio.sleep(1)
    await host.connect()
    assert text(await reading) == b"a\nb\n"
    await host.dialled.close()
    told = await all_of(pool, number)
    assert told[0].what == "note" and "its output cannot be read" in told[0].data and told[-1].what == "end"


async def test_who_leaves_early_leaves_nothing_behind(pool: Pool) -> None:
    number = await pool.give("sh", "-c", "while :; do seq 100000; done", hosts=["kvm1"], keep_kib=100_000)
    stream, before = follow(pool, number), asyncio.all_tasks()
    async with asyncio.timeout(30):
        await anext(stream)
    await stream.aclose()
    await pool.tasks.cancel(number, pool.who)
    await pool.end(number)
    left = {task.get_name() for task in asyncio.all_tasks() - before}
    assert left == set()
