"""Commands that are given with a key: whoever repeats one hears what became of the first, and nothing is done twice.

The key is kept in the step that accepts a task. What is done at once is written down before and after; how one ended in
between is not known, and said to be so. (The header is that of the IETF's draft "The Idempotency-Key HTTP Header".)
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from vmctl import text
from vmctl.commands.rows import Command
from vmctl.door.answers import Document
from vmctl.door.user_answers import NewToken
from vmctl.errors import NotAllowed, NotFound, Refused, Uncertain, Usage
from vmctl.formats.plain import plain
from vmctl.model.records import Given, Task
from vmctl.model.rights import Principal
from vmctl.ports.store import Store
from vmctl.tasks import TaskNow, Tasks, now
from vmctl.tasks.audit import asked as asked_for

MOST_KEY = 100
LOOKS, LOOK_S = 20, 0.25
NOT_DONE = (Usage, Refused, NotFound, NotAllowed)  # what says so has changed nothing


def given(row: Command, asked: Any, who: Principal, key: str, at: float) -> Given:
    """What is kept of a command and its key. Raises Usage for a key that cannot be one."""
    if (problem := text.bad_text(key, MOST_KEY)) is not None:
        raise Usage(f"the key: {problem}")
    # A narrow token is somebody else: it does not hear what its owner's other ones have done.
    whose = who.name if who.narrowed is None else f"{who.name}/{who.token}"
    words = json.dumps([row.kind, asked_for(asked)], sort_keys=True, default=str)
    return Given(f"{whose}/{key}", hashlib.sha256(words.encode()).hexdigest(), at)


async def earlier(store: Store, tasks: Tasks, new: Given) -> TaskNow | Document | None:
    """What became of the first command of that key; None where this is the first. Raises Usage, Uncertain, Refused."""
    kept = await store.find(Given, new.key)
    for _ in range(LOOKS):
        if kept is None or kept.task is not None or kept.done:
            break
        await asyncio.sleep(LOOK_S)  # it may be under way just now
        kept = await store.find(Given, new.key)
    if kept is None:
        return None
    if kept.hash != new.hash:
        raise Usage("this key was used for another command", hint="a new key for each command")
    if kept.task is not None:
        return now(await store.get(Task, kept.task), tasks.live(kept.task))
    if not kept.done:
        text = "it was given before with this key, and whether it was done is not known"
        raise Uncertain(text, hint="look what there is now, then a new key")
    if not kept.answer:
        raise Refused("it was done before with this key, and what it answered is shown only once", hint="a new key")
    return Document(kept.answer)


async def once(store: Store, tasks: Tasks, new: Given, do: Callable[[], Awaitable[Any]]) -> Any:
    """Do at once what was given with a key; where somebody was first meanwhile, what became of that."""
    try:
        await store.insert(new)
    except Refused:
        return await earlier(store, tasks, new)
    try:
        answer = await do()
    except NOT_DONE:
        await store.remove(Given, new.key)  # it may be given again
        raise
    kept = "" if isinstance(answer, NewToken) else json.dumps(plain(answer))
    await store.change(Given, new.key, done=True, answer=kept)
    return answer


async def accepted(store: Store, tasks: Tasks, new: Given, submit: Callable[[], Awaitable[TaskNow]]) -> Any:
    """The task that `submit` gives; where somebody was first meanwhile, that one's."""
    try:
        return await submit()
    except Refused:
        if (found := await earlier(store, tasks, new)) is not None:
            return found
        raise
