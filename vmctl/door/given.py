"""Commands that are given with a key: whoever repeats one hears what became of the first, and nothing is done twice.

The key is kept in the step that accepts a task. What is done at once is written down before and after; how one ended in
between is not known, and said to be so. (The header is that of the IETF's draft "The Idempotency-Key HTTP Header".)
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from vmctl import text
from vmctl.commands.rows import Command
from vmctl.door.answers import Document, Earlier
from vmctl.door.how import How
from vmctl.door.user_answers import NewToken
from vmctl.errors import NotAllowed, NotFound, Refused, Uncertain, Usage
from vmctl.formats.plain import plain
from vmctl.model.records import Given, Task
from vmctl.model.rights import Principal
from vmctl.ports.store import Store
from vmctl.tasks import TaskNow, Tasks, now

MOST_KEY = 100
LOOKS, LOOK_S = 20, 0.25
NOT_DONE = (Usage, Refused, NotFound, NotAllowed)  # what says so has changed nothing


def given(row: Command, asked: Any, who: Principal, how: How, at: float) -> Given:
    """What is kept of a command and its key. Raises Usage for a key that cannot be one."""
    if (problem := text.bad_text(how.key, MOST_KEY)) is not None:
        raise Usage(f"the key: {problem}")
    # A narrow token is somebody else: it does not hear what its owner's other ones have done.
    key = json.dumps([who.name, who.token if who.narrowed is not None else "", how.key])
    # All of it, with the version that was seen. The key that the client drew is kept as a hash only, and seals what he
    # said: nobody who reads the registry can try passwords on it.
    words = json.dumps([row.kind, asdict(asked), how.expected], sort_keys=True)
    sealed = hmac.new(key.encode(), words.encode(), hashlib.sha256).hexdigest()
    return Given(hashlib.sha256(key.encode()).hexdigest(), sealed, at, who.name)


async def earlier(store: Store, tasks: Tasks, new: Given) -> Earlier | None:
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
        return Earlier(now(await store.get(Task, kept.task), tasks.live(kept.task)))
    if not kept.done:
        text = "it was given before with this key, and whether it was done is not known"
        raise Uncertain(text, hint="look what there is now, then a new key")
    if not kept.answer:
        raise Refused("it was done before with this key, and what it answered is shown only once", hint="a new key")
    return Earlier(Document(kept.answer))


async def once(store: Store, tasks: Tasks, new: Given, do: Callable[[], Awaitable[Any]]) -> Any:
    """Do at once what was given with a key; where somebody was first meanwhile, what became of that."""
    while not await _taken(store, new):
        if (found := await earlier(store, tasks, new)) is not None:
            return found
        # The first was refused, and has freed the key: this one is the first now.
    try:
        answer = await do()
    except NOT_DONE:
        await store.remove(Given, new.key)  # it may be given again
        raise
    kept = "" if isinstance(answer, NewToken) else json.dumps(plain(answer))
    await store.change(Given, new.key, done=True, answer=kept)
    return answer


async def _taken(store: Store, new: Given) -> bool:
    """Whether the key is this command's now."""
    try:
        await store.insert(new)
    except Refused:
        return False
    return True


async def accepted(store: Store, tasks: Tasks, new: Given, submit: Callable[[], Awaitable[TaskNow]]) -> Any:
    """The task that `submit` gives; where somebody was first meanwhile, that one's."""
    try:
        return await submit()
    except Refused:
        if (found := await earlier(store, tasks, new)) is not None:
            return found
        raise
