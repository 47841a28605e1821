"""Arguments: commands that run on hosts. Memory in MiB, times in seconds; what a command is given is base64."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Le, MaxLen, MinLen

from vmctl import text
from vmctl.commands.fields import (
    MOST_MIB,
    WEEK_S,
    AsItIs,
    Help,
    Hosts,
    Inner,
    Labels,
    Most,
    Number,
    Project,
    Rule,
    Text,
)
from vmctl.commands.rows import Asked, Command, On, Query, task
from vmctl.model.rights import Permission as May

MOST_WORD, MOST_WORDS = 64 << 10, 96 << 10  # bytes of one word, and of all of them: one exec takes so many
MOST_GIVEN = 256 << 10  # bytes of standard input, and of files
MOST_KEPT_KIB = 1 << 20
MOST_RUNS = 1000


def _bad_word(word: str) -> str | None:
    if "\0" in word or text.bad_unicode(word):
        return "a word of a command is text without the character 0"
    size = len(word.encode())
    return f"a word of {size} bytes is too long: at most {MOST_WORD}" if size > MOST_WORD else None


def _bad_bytes(given: str) -> str | None:
    try:
        size = len(base64.b64decode(given, validate=True))
    except (binascii.Error, ValueError):
        return "it is not base64"
    return f"{size} bytes are too many: at most {MOST_GIVEN}" if size > MOST_GIVEN else None


Word = Annotated[str, Rule(_bad_word)]
Login = Annotated[str, Rule(lambda name: text.bad_login(f"{name}@x") if name else None)]
Bytes = Annotated[str, Rule(_bad_bytes), AsItIs()]


@dataclass(frozen=True, slots=True)
class RunJob:
    """Run a command on the best host, on those that are named or carry labels, or on all.

    What cpus or mem_mib name is promised to each run, and is its limit. `files` is an archive (tar) that is unpacked
    where it runs.
    """

    words: Annotated[list[Word], MinLen(1), MaxLen(1000), AsItIs()]
    hosts: Hosts = field(default_factory=list)
    everywhere: bool = False
    labels: Labels = field(default_factory=dict)
    count: Annotated[int, Ge(1), Le(MOST_RUNS), Help("So many runs of it, spread out.")] = 1
    cpus: Annotated[int, Ge(0), Le(1024)] = 0
    mem_mib: Annotated[int, Ge(0), Le(MOST_MIB)] = 0
    timeout_s: Annotated[int, Ge(0), Le(int(WEEK_S))] = 0
    shell: Annotated[bool, Help("A shell of the host reads the words, joined by spaces.")] = False
    queue: Annotated[bool, Help("Wait for room.")] = False
    at_once: Annotated[int, Ge(0), Le(MOST_RUNS), Help("So many runs side by side; 0: 64 hosts.")] = 0
    retry: Annotated[int, Ge(0), Le(100), Help("So many more tries of a run that has failed.")] = 0
    stdin: Bytes = ""
    files: Bytes = ""
    keep_kib: Annotated[int, Ge(1), Le(MOST_KEPT_KIB), Help("How much of its output is kept.")] = 10240
    login: Login = ""
    logins: Annotated[list[str], Inner()] = field(default_factory=list)  # by which it runs; none: the pool's own
    project: Project = "default"

    @property
    def subject(self) -> str:
        """The command in a few words."""
        return text.in_few_words(" ".join(self.words))

    @property
    def placed(self) -> bool:
        """Whether placement chooses its hosts."""
        return not (self.hosts or self.everywhere or self.labels)

    def problem(self) -> str | None:
        """What does not go together."""
        if sum(len(word.encode()) + 1 for word in self.words) > MOST_WORDS:
            return f"its words are too long: at most {MOST_WORDS} bytes in all"
        if sum(map(bool, (self.hosts, self.everywhere, self.labels))) > 1:
            return "hosts are named, or chosen by labels, or all of them are meant: one of these"
        if not self.placed and (self.count > 1 or self.queue or self.retry):
            return "count, queue and retry are for runs whose hosts placement chooses"
        return None


# -- queries


@dataclass(frozen=True, slots=True)
class WhereToRun(RunJob):
    """Where a command would run, and why."""


@dataclass(frozen=True, slots=True)
class ListJobs:
    """The newest jobs, oldest first."""

    most: Most = 50


@dataclass(frozen=True, slots=True)
class ShowJob:
    """One job with its runs."""

    number: Number


@dataclass(frozen=True, slots=True)
class WhyRun:
    """Why a run of a job is where it is."""

    number: Number
    run: Annotated[int, Ge(1), Le(MOST_RUNS)] = 1


@dataclass(frozen=True, slots=True)
class FollowOutput:
    """What the runs of a job print, as JSON lines, until it has ended; or what is there now.

    `after`: what was read before, as `RUN:TRY:OUT:ERR` in bytes, with commas between; of any other all is told.
    """

    number: Number
    run: Annotated[int, Ge(0), Le(MOST_RUNS)] = 0  # 0: all
    wait: bool = True
    after: Annotated[str, MaxLen(40_000)] = ""


@dataclass(frozen=True, slots=True)
class FetchFile:
    """A file or folder that a run left where it ran, as an archive."""

    number: Number
    run: Annotated[int, Ge(1), Le(MOST_RUNS)]
    path: Text


@dataclass(frozen=True, slots=True)
class CollectJob:
    """Take away what hosts keep of a job that has ended: its output, and what it left where it ran."""

    number: Number


# fmt: off
ROWS: tuple[Asked, ...] = (
    task("run", RunJob, "POST jobs", May.RUN, on=On.PROJECT, resumes=True),
    Query(WhereToRun, "POST jobs/dry-run", May.RUN, on=On.PROJECT),
    Query(ListJobs, "GET jobs", May.LOOK, on=On.SIGHT),
    Query(ShowJob, "GET jobs/{number}", May.LOOK, on=On.TASK),
    Query(WhyRun, "GET jobs/{number}/why", May.LOOK, on=On.TASK),
    Query(FetchFile, "GET jobs/{number}/runs/{run}/file", May.RUN, on=On.TASK),
    Command(CollectJob, "DELETE jobs/{number}/output", May.RUN, "collect", on=On.TASK, on_hosts=True),
    Query(FollowOutput, "GET jobs/{number}/output", May.RUN, on=On.TASK),
)
# fmt: on
