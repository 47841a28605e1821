"""Read by every Python process that finds it first: one that serves dies, freezes or fails where it is told to.

A controller writes each place of its tasks that it comes to into `points` of its home: a call of the registry or of a
host's libvirt, before and after. Where `failpoint` there names a place, it happens there, once. tests/lab/failpoints.py
is the other end. The product knows nothing of it.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _served(run: Callable[..., Any]) -> Callable[..., Any]:
    def patched(*words: Any, **more: Any) -> Any:
        from vmctl.hosts.virt import Virt
        from vmctl.store.sql import SqlStore

        for kind in (SqlStore, Virt):
            for name in dir(kind):
                if not name.startswith("_") and asyncio.iscoroutinefunction(inner := getattr(kind, name)):
                    setattr(kind, name, _wrapped(f"{kind.__name__}.{name}", inner))
        return run(*words, **more)

    return patched


def _wrapped(name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
    async def call(self: Any, *words: Any, **more: Any) -> Any:
        _pass(f"{name} before")
        done = await inner(self, *words, **more)
        _pass(f"{name} after")
        return done

    return call


def _pass(place: str) -> None:
    from vmctl.local import logcontext

    if "task" not in logcontext.now():
        return
    home = Path(os.environ["HOME"])
    with (home / "points").open("a") as file:
        file.write(f"{place}\n")
    asked = home / "failpoint"
    if not asked.exists():
        return
    wanted = json.loads(asked.read_text())
    if wanted["place"] != place:
        return
    if wanted["after"] > 0:
        asked.write_text(json.dumps(wanted | {"after": wanted["after"] - 1}))
        return
    asked.unlink()
    (home / "hit").write_text(place)
    if wanted["how"] == "error":
        from vmctl.errors import RegistryUnusable

        raise RegistryUnusable("a failpoint")
    os.kill(os.getpid(), signal.SIGKILL if wanted["how"] == "kill" else signal.SIGSTOP)


if "serve" in sys.orig_argv and "VMCTL_TEST_FAILPOINTS" in os.environ:
    asyncio.run = _served(asyncio.run)
