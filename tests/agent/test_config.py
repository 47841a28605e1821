"""The agent's settings: defaults, what is read, and what is refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from guest_agent.config import ConfigError, check, read

EXAMPLES = Path(__file__).parents[2] / "deploy" / "agent"


def test_no_file_is_all_defaults_and_sshd_is_watched(tmp_path: Path) -> None:
    config = read(str(tmp_path / "none.toml"))
    assert (config.period_s, config.restart_budget, config.port, config.kernel_threads) == (5.0, 3, "", False)
    assert [watch.name for watch in config.watches] == ["sshd"]
    assert not config.watches[0].restart


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.toml")), ids=lambda path: path.name)
def test_what_is_shipped_can_be_read(path: Path) -> None:
    assert read(str(path)).watches


def test_a_file_with_everything(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(
        """
        period_s = 2
        period_min_s = 0.5
        mask = ["pin (?P<secret>.*)"]
        watch_sshd = false
        [[watch]]
        name = "web"
        http = "http://localhost:8080/health?x=1"
        unit = "tomcat10.service"
        restart = true
        failures = 3
        start_s = 90
        [[watch]]
        name = "db"
        port = 5432
        [[watch]]
        name = "batch"
        heartbeat = "/run/batch/alive"
        max_age_s = 90
        [[watch]]
        name = "cron"
        program = "cron"
        [[watch]]
        name = "mail"
        unit = ["postfix.service", "exim4.service"]
        """
    )
    config = read(str(file))
    assert config.period_s == 2.0 and isinstance(config.period_s, float)
    assert {watch.name: watch.start_s for watch in config.watches if watch.start_s != 60} == {"web": 90.0}
    kinds = {watch.name: (watch.kind, watch.target, watch.failures, watch.restart) for watch in config.watches}
    assert kinds == {
        "web": ("http", ("127.0.0.1", 8080, "/health?x=1"), 3, True),
        "db": ("port", ("127.0.0.1", 5432, None), 2, False),
        "batch": ("heartbeat", "/run/batch/alive", 1, False),
        "cron": ("program", ("cron",), 1, False),
        "mail": ("unit", None, 1, False),
    }


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"perod_s": 1}, "perod_s"),
        ({"period_s": "5"}, "period_s must be a number"),
        ({"period_s": True}, "period_s must be a number"),
        ({"period_s": 100}, "between"),
        ({"processes_max": 1.5}, "whole"),
        ({"kernel_threads": 1}, "true or false"),
        ({"mask": ["("]}, "mask"),
        ({"mask": [1]}, "mask"),
        ({"port": 3}, "port"),
        ({"watch": {"name": "x"}}, "[[watch]]"),
        ({"watch": [{"unit": "x.service"}]}, "name"),
        ({"watch": [{"name": "x"}]}, "needs a unit"),
        ({"watch": [{"name": "x", "port": 1, "http": "http://127.0.0.1/"}]}, "or one of"),
        ({"watch": [{"name": "x", "port": 0}]}, "65535"),
        ({"watch": [{"name": "x", "port": 22, "restart": True}]}, "needs the unit"),
        ({"watch": [{"name": "x", "http": "https://127.0.0.1/"}]}, "http://"),
        ({"watch": [{"name": "x", "http": "http://example.org/"}]}, "numeric"),
        ({"watch": [{"name": "x", "http": "http://127.0.0.1/a b"}]}, "http://"),
        ({"watch": [{"name": "x", "program": ""}]}, "text"),
        ({"watch": [{"name": "x", "port": 1, "command": "rm"}]}, "command"),
        ({"watch": [{"name": "x", "port": 1}] * 2}, "name of its own"),
        ({"watch": [{"name": str(i), "port": 1} for i in range(64)]}, "63"),
    ],
)
def test_what_is_refused(values: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check(values)
    assert reason in str(refused.value)


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    file = tmp_path / "agent.toml"
    file.write_bytes(b"period_s = \xff")
    with pytest.raises(ConfigError):
        read(str(file))
    file.write_text("period_s =")
    with pytest.raises(ConfigError, match=r"agent\.toml"):
        read(str(file))
