"""A controller that is killed at any moment: kill -9 in create, delete, cold and live migrate, image add, drain.

python -m tests.lab.killing [--rounds 200] [--seed N] [--lab k] [--only KIND]

Each round begins one command, kills the controller 0 to 5 s later, lets the next command start another one, and looks
past vmctl until all is as it should be, for 60 s at most: no open task, no promise, the files on the storage are those
of the registry, no socket of ours on a host, and one QEMU for each VM that is wanted running, none for the others.
Prints a line for each round and, at the end, how many rounds ended well for each kind, and how long they took.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.lab.pool import Pool
from vmctl import lab
from vmctl.lab import images

LIMIT_S = 60.0
LATEST_S = 5.0
LOCKSPACE = "lockspace"


class Killing:
    """The pool that is tried, and what it should be."""

    def __init__(self, pool: Pool, dice: random.Random) -> None:
        self.pool = pool
        self.dice = dice
        self.shared = lab.status().shared
        self.number = 0
        self.strangers = set(self.files())

    # -- the truth, past vmctl

    def files(self) -> set[str]:
        """What lies on the storage, but for virtlockd's own lock files."""
        found = {str(path.relative_to(self.shared)) for path in self.shared.rglob("*") if path.is_file()}
        return {name for name in found if not (name.startswith(LOCKSPACE) and len(Path(name).name) == 64)}

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the registry's file."""
        path = Path(os.environ["XDG_DATA_HOME"]) / "vmctl" / "registry.db"
        with closing(sqlite3.connect(path, timeout=10)) as db:
            return list(db.execute(query))

    def registered(self) -> set[str]:
        """The files that the registry knows."""
        found = set()
        for uuid, text in self.rows("SELECT uuid, spec FROM vm"):
            for disk in json.loads(text)["disks"]:
                path = Path(disk["path"]).relative_to("/shared")
                found |= {str(path), str(path.with_suffix(".json")), f"{LOCKSPACE}/{uuid}"}
        for paths in self.rows("SELECT path, kernel, initrd FROM image"):
            found |= {str(Path(path).relative_to("/shared")) for path in paths if path}
        return found

    def copies(self) -> dict[str, list[str]]:
        """VM -> the hosts that have a QEMU process for it."""
        found: dict[str, list[str]] = defaultdict(list)
        for host in self.pool.hosts:
            for name in self.pool.ssh(host, "ps -eo args | grep -o '[g]uest=[^, ]*' | sort -u", check=False).split():
                found[name.removeprefix("guest=")].append(host)
        return {name: hosts for name, hosts in found.items() if not name.startswith("vmctl-probe-")}

    def wrong(self) -> list[str]:
        """All that is not as it should be."""
        self.pool("list")  # starts a controller where none runs
        found = [f"open: task {row}" for row in self.rows(
            "SELECT id, kind, subject, state, step FROM task WHERE state NOT IN ('done', 'failed', 'cancelled')"
        )]  # fmt: skip
        found += [f"promised or held: {row}" for row in self.rows(
            "SELECT name, moving_to, copying, task FROM vm WHERE moving_to != '' OR copying OR task IS NOT NULL"
        )]  # fmt: skip
        if found:
            return found  # the rest is only true once that has ended
        here, known = self.files() - self.strangers, self.registered()
        found += [f"a file of nobody: {name}" for name in sorted(here - known)]
        found += [f"a file that is not there: {name}" for name in sorted(known - here - self.strangers)]
        for host in self.pool.hosts:
            if left := self.pool.ssh(host, "ls /tmp/vmctl-*.sock 2>/dev/null", check=False).split():
                found.append(f"sockets on {host}: {left}")
        copies = self.copies()
        for name, wanted, host, power in self.rows("SELECT name, wanted, host, power FROM vm"):
            should = [host] if wanted == "running" else []
            if copies.pop(name, []) != should:
                found.append(f"{name}: wanted {wanted!r}, {power} on {host!r}, but QEMU on {self.copies().get(name)}")
        return found + [f"QEMU of nobody: {name} on {hosts}" for name, hosts in copies.items()]

    # -- what is tried

    def name(self) -> str:
        self.number += 1
        return f"k{self.number}"

    def running(self) -> str:
        """A VM that runs, made if there is none."""
        for (name,) in self.rows("SELECT name FROM vm WHERE power = 'running' AND task IS NULL ORDER BY random()"):
            return str(name)
        name = self.name()
        self.pool.do("create", name, "--image", "tiny", "--memory", "160M")
        return name

    def create(self) -> tuple[str, ...]:
        return ("create", self.name(), "--image", "tiny", "--memory", "160M")

    def delete(self) -> tuple[str, ...]:
        name = self.name()
        self.pool.do("create", name, "--image", "tiny", "--memory", "160M", "--no-start")
        return ("delete", "--yes", name)

    def cold(self) -> tuple[str, ...]:
        return ("migrate", self.running(), "--cold")

    def live(self) -> tuple[str, ...]:
        name = self.running()
        (host,) = self.rows(f"SELECT host FROM vm WHERE name = '{name}'")[0]
        self.pool.virsh(host, "migrate-setspeed", name, str(self.dice.choice([8, 32, 2000])))
        return ("migrate", name)

    def image_add(self) -> tuple[str, ...]:
        tiny = images.ensure("tiny", lambda _line: None)
        return ("image", "add", self.name(), str(tiny.disk), "--kernel", str(tiny.kernel), "--initrd", str(tiny.initrd))

    def drain(self) -> tuple[str, ...]:
        return ("host", "drain", self.dice.choice(self.pool.hosts))

    def tidy(self) -> None:
        """Keep the pool small, between rounds."""
        for host in self.pool.do("host", "list", "-o", "json").json:
            if host["draining"]:
                self.pool("host", "undrain", host["name"])
        vms = [row[0] for row in self.rows("SELECT name FROM vm")]
        for name in vms[4:]:
            self.pool("stop", "--force", name)
            self.pool("delete", "--yes", name)
        for (name,) in self.rows("SELECT name FROM image WHERE name != 'tiny'"):
            self.pool("image", "remove", name)

    def round(self, kind: str) -> dict[str, Any]:
        """One command, one kill, one look."""
        self.tidy()
        words = getattr(self, kind)()
        begun = self.pool.begin(*words)
        after_s = self.dice.uniform(0.0, LATEST_S)
        time.sleep(after_s)
        killed = self.kill()
        begun.wait(120)
        began = time.monotonic()
        while (wrong := self.wrong()) and time.monotonic() - began < LIMIT_S:
            time.sleep(0.5)
        took_s = round(time.monotonic() - began, 1)
        return {
            "kind": kind,
            "words": words,
            "after_s": round(after_s, 2),
            "killed": killed,
            "took_s": took_s,
            "wrong": wrong,
        }

    def kill(self) -> bool:
        lock = Path(os.environ["XDG_DATA_HOME"]) / "vmctl" / "controller.lock"
        try:
            os.kill(int(lock.read_text()), signal.SIGKILL)
        except (OSError, ValueError):
            return False
        return True


KINDS: dict[str, Callable[[Killing], tuple[str, ...]]] = {
    "create": Killing.create,
    "delete": Killing.delete,
    "cold": Killing.cold,
    "live": Killing.live,
    "image_add": Killing.image_add,
    "drain": Killing.drain,
}


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--lab", default="k")
    parser.add_argument("--only", choices=KINDS)
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    dice = random.Random(asked.seed)
    pool = Pool(3, asked.lab)
    rounds: list[dict[str, Any]] = []
    try:
        pool.set_up()
        killing = Killing(pool, dice)
        killing.strangers -= killing.registered()
        for _ in range(asked.rounds):
            rounds.append(killing.round(asked.only or dice.choice(list(KINDS))))
            print(json.dumps(rounds[-1]), flush=True)
            if rounds[-1]["wrong"]:
                print(
                    subprocess.run(
                        [sys.executable, "-m", "vmctl.cli.main", "task", "list"], capture_output=True, text=True
                    ).stdout
                )
    finally:
        summary(rounds)
        pool.close()
    sys.exit(any(one["wrong"] for one in rounds))


def summary(rounds: list[dict[str, Any]]) -> None:
    """How each kind ended."""
    for kind in KINDS:
        of = [one for one in rounds if one["kind"] == kind]
        good = [one for one in of if not one["wrong"]]
        took = [one["took_s"] for one in good]
        if of:
            times = f"median {statistics.median(took or [0]):.1f} s, most {max(took, default=0):.1f} s"
            print(f"{kind}: {len(good)} of {len(of)} well; {times}")


if __name__ == "__main__":
    main()
