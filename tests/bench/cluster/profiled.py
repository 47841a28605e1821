"""What a process spends its CPU time on: each of its threads apart, the registry's beside the event loop's."""

from __future__ import annotations

import cProfile
import gc
import pstats
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

Done = TypeVar("Done")
MOST = 60  # rows that are told


class Profiled:
    """`begin` and `end` in the event loop's thread; without a file only garbage collection is timed."""

    def __init__(self, file: Path | None) -> None:
        self._file, self._on = file, False
        self._loop = cProfile.Profile(time.thread_time)
        self._threads: dict[int, cProfile.Profile] = {}
        self._began = self._cpu = self._cleaning = 0.0
        self.cleaned_s, self._full = 0.0, 0
        gc.callbacks.append(self._cleans)
        if file is not None:
            self._follow_threads()

    def _follow_threads(self) -> None:
        """What the registry's threads do, while it is measured."""
        plain: Callable[..., Any] = ThreadPoolExecutor.submit

        def submit(pool: ThreadPoolExecutor, work: Callable[[], Done]) -> Any:
            def seen() -> Done:
                if not self._on:
                    return work()
                found = self._threads.setdefault(threading.get_ident(), cProfile.Profile(time.thread_time))
                return found.runcall(work)

            return plain(pool, seen)

        setattr(ThreadPoolExecutor, "submit", submit)  # noqa: B010

    def _cleans(self, phase: str, about: dict[str, int]) -> None:
        if phase == "start":
            self._cleaning = time.thread_time()
        elif self._on:
            self.cleaned_s += time.thread_time() - self._cleaning
            self._full += about["generation"] == 2

    def begin(self) -> None:
        """From now on."""
        self._on, self._began, self._cpu = True, time.monotonic(), time.process_time()
        if self._file is not None:
            self._loop.enable()

    def end(self) -> None:
        """Until now; it is written."""
        self._on = False
        if self._file is None:
            return
        self._loop.disable()
        wall_s, cpu_s = time.monotonic() - self._began, time.process_time() - self._cpu
        with self._file.open("w") as out:
            print(f"{cpu_s / wall_s:.3f} of a core for {wall_s:.0f} s, profiled", file=out)
            print(f"the garbage collector: {self.cleaned_s:.2f} s, {self._full} full rounds", file=out)
            for name, found in (("event loop", [self._loop]), ("registry's threads", list(self._threads.values()))):
                for order in ("tottime", "cumtime") if found else ():
                    print(f"\n==== {name}, by {order}", file=out)
                    stats = pstats.Stats(found[0], stream=out)
                    for more in found[1:]:
                        stats.add(more)
                    stats.sort_stats(order).print_stats(MOST)
