"""The real Prometheus, by the example configuration, scrapes a real controller over TLS and no alert fires."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from tests.api.live import served
from tests.observe.test_rules import FOLDER

LIMIT_S = 60.0


def wait_for(what: Callable[[], Any]) -> Any:
    """What it gives, once that is something."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        try:
            if found := what():
                return found
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("it does not come")


def test_prometheus_scrapes_with_a_token_and_the_ca(tmp_path: Path, empty_registry: Path) -> None:
    (tmp_path / "live").mkdir()
    with served(tmp_path / "live", empty_registry) as live, socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        written = (FOLDER / "prometheus.yml").read_text()
        written = written.replace("vm.example.org:8006", f"127.0.0.1:{live.port}").replace("15s", "1s")
        (tmp_path / "prometheus.yml").write_text(written)
        (tmp_path / "vmctl.token").write_text(live.token())
        shutil.copy(live.ca_file, tmp_path / "vmctl-ca.pem")
        shutil.copy(FOLDER / "rules.yml", tmp_path)
        subprocess.run(("promtool", "check", "config", str(tmp_path / "prometheus.yml")), check=True)
        free.close()
        words = (f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'kept'}")
        with (tmp_path / "log").open("wb") as log:
            began = subprocess.Popen(("prometheus", *words, f"--web.listen-address={address}"), stderr=log, stdout=log)
        try:

            def query(expression: str) -> list[dict[str, Any]]:
                answer = httpx.get(f"http://{address}/api/v1/query", params={"query": expression})
                return list(answer.json()["data"]["result"]) if answer.status_code == 200 else []

            [up] = wait_for(lambda: query('up{job="vmctl"}'))
            [info] = wait_for(lambda: query("vmctl_build_info"))
            assert (up["value"][1], info["metric"]["job"]) == ("1", "vmctl"), (tmp_path / "log").read_text()
            rules = httpx.get(f"http://{address}/api/v1/rules").json()["data"]["groups"][0]["rules"]
            assert {rule["health"] for rule in rules} <= {"ok", "unknown"}, json.dumps(rules)
            assert query('ALERTS{alertstate="firing"}') == []
        finally:
            began.terminate()
            began.wait(LIMIT_S)
