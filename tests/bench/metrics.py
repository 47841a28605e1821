"""A scrape of a big cluster beside a bare collector with as many series. No root, no lab; see README.md.

python -m tests.bench.metrics [--hosts 200] [--vms 20000] [--runs 21]

Bare is a collector of prometheus_client that gives values it has at hand, with one label each, and makes as many
samples into text. Both ways are asked in an order that is drawn at random in each run.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily

from tests.observe.pool import Quiet, fill, made, measure
from vmctl.api.app import make_app
from vmctl.cluster.controller import Controller
from vmctl.commands.cluster import Metrics
from vmctl.local.config import MetricsSettings, Settings
from vmctl.model.rights import LOCAL_USER
from vmctl.store.memory import MemoryStore

BARE_SERIES = 25  # names that the samples are of, as many as a scrape has of a host or VM
Way = Callable[[], Awaitable[bytes]]


class Bare:
    """So many samples, of values that are there."""

    def __init__(self, samples: int) -> None:
        self._values = [(f"name{number}", random.random()) for number in range(samples // BARE_SERIES)]

    def collect(self) -> Iterable[Metric]:
        """All of them."""
        for number in range(BARE_SERIES):
            family = GaugeMetricFamily(f"vmctl_bare_{number}_ratio", "A value that is at hand.", labels=("name",))
            for name, value in self._values:
                family.add_metric((name,), value)
            yield family


def lines(text: bytes) -> int:
    """How many samples there are."""
    return sum(1 for line in text.splitlines() if not line.startswith(b"#"))


async def beside(controller: Controller, runs: int) -> str:
    """A row of the table: samples, bytes, CPU of both ways, and their ratio."""

    async def ours() -> bytes:
        return (await controller.door.ask(Metrics(), LOCAL_USER)).text.encode()

    text = await ours()
    registry = CollectorRegistry()
    registry.register(Bare(lines(text)))

    async def bare() -> bytes:
        return await asyncio.to_thread(generate_latest, registry)

    ways: list[Way] = [ours, bare]
    spent: dict[Way, list[float]] = {way: [] for way in ways}
    for _ in range(runs):
        for way in random.sample(ways, 2):
            began = time.process_time()
            await way()
            spent[way].append(time.process_time() - began)
    mine, theirs = (statistics.median(spent[way]) for way in ways)
    ratio = statistics.median(a / b for a, b in zip(*(spent[way] for way in ways), strict=True))
    size = f"{lines(text)} | {len(text) / 1e6:.2f} | {len(await bare()) / 1e6:.2f}"
    spread = f"{min(spent[ours]) * 1000:.0f}..{max(spent[ours]) * 1000:.0f}"
    return f"{size} | {mine * 1000:.0f} ({spread}) | {theirs * 1000:.0f} | {ratio:.2f}"


async def main(hosts: int, vms: int, runs: int) -> None:
    """Both ways to tell of that many VMs: all together, as by default, and each with series of its own."""
    print("| VMs | samples | MB | bare, MB | CPU, ms | bare, ms | ratio |\n|---|---|---|---|---|---|---|")
    for most, told in ((2000, "together"), (vms, "each")):
        with tempfile.TemporaryDirectory() as folder:
            controller = made(MemoryStore(), Path(folder), Settings(metrics=MetricsSettings(most_vms=most)))
            await fill(controller, hosts, vms)
            app = make_app(Quiet(controller))
            async with app.router.lifespan_context(app):
                await measure(controller)
                print(f"| {told} | {await beside(controller, runs)} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("hosts", 200), ("vms", 20000), ("runs", 21)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asyncio.run(main(**vars(parser.parse_args())))
