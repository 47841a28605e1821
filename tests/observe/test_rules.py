"""Alerts, dashboard and the example for Prometheus: what promtool says of them, and that what they name is there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.observe.pool import samples
from tests.observe.table import scrape
from tests.observe.test_scrape import promtool

FOLDER = Path(__file__).parents[2] / "deploy" / "observe"
NAME = re.compile(r"\bvmctl_\w+")
SELECTED = re.compile(r"\b(vmctl_\w+)\{([^}]*)\}")
LABEL = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
OF_PROMETHEUS = {"job", "instance"}  # labels that it gives


def rules() -> list[dict[str, Any]]:
    """Every alert."""
    [group] = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
    return list(group["rules"])


def panels() -> Iterator[tuple[str, str]]:
    """Each expression of the dashboard, and its legend."""
    for panel in json.loads((FOLDER / "dashboard.json").read_text())["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"], target["legendFormat"]


EXPRESSIONS = [(rule["expr"], " ".join(rule["annotations"].values())) for rule in rules()] + list(panels())


def test_promtool_takes_the_rules_and_the_example() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", str(FOLDER / "rules.yml"))
    promtool("check", "config", "--syntax-only", str(FOLDER / "prometheus.yml"))


def test_each_alert_fires_when_it_should() -> None:
    promtool("test", "rules", str(FOLDER / "rules.test.yml"))


def test_each_alert_has_cases_of_both_kinds() -> None:
    cases: dict[str, set[bool]] = {rule["alert"]: set() for rule in rules()}
    for test in yaml.safe_load((FOLDER / "rules.test.yml").read_text())["tests"]:
        for case in test["alert_rule_test"]:
            cases[case["alertname"]].add(bool(case["exp_alerts"]))
    assert {alert for alert, found in cases.items() if found != {True, False}} == set()


def test_a_rule_that_is_wrong_is_noticed(tmp_path: Path) -> None:
    """Each alert's comparison turned round fails its cases: none of them would pass whatever the rule said."""
    cases = yaml.safe_load((FOLDER / "rules.test.yml").read_text())
    for rule in rules():
        if rule["expr"].startswith("absent"):
            continue
        before, sign, after = re.split(r"( == | >= | > )", rule["expr"], maxsplit=1)
        turned = {**rule, "expr": f"{before}{' != ' if sign == ' == ' else ' <= '}{after}"}
        (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "vmctl", "rules": [turned]}]}))
        own = [test for test in cases["tests"] if test["name"].partition(",")[0] == rule["alert"]]
        (tmp_path / "rules.test.yml").write_text(yaml.safe_dump({**cases, "tests": own}))
        with pytest.raises(AssertionError, match=rule["alert"]):
            promtool("test", "rules", str(tmp_path / "rules.test.yml"))


@pytest.fixture
async def told(tmp_path: Path) -> dict[str, list[dict[str, str]]]:
    """Names of series in a scrape, and the labels of each of their samples."""
    found: dict[str, list[dict[str, str]]] = {}
    for sample in samples(await scrape(tmp_path)):
        found.setdefault(sample.name, []).append(sample.labels)
    return found


async def test_every_series_that_is_named_is_in_a_scrape(told: dict[str, list[dict[str, str]]]) -> None:
    named = {name for expression, _ in EXPRESSIONS for name in NAME.findall(expression)}
    assert len(named) > 25
    assert named - told.keys() == set()
    in_words = {name for _, words in EXPRESSIONS for name in NAME.findall(words)}
    assert in_words - told.keys() == set()


async def test_every_label_that_is_selected_is_one_of_its_series(told: dict[str, list[dict[str, str]]]) -> None:
    chosen = 0
    for expression, _ in EXPRESSIONS:
        for name, selector in SELECTED.findall(expression):
            for label, wanted in LABEL.findall(selector):
                if label in OF_PROMETHEUS:
                    continue
                values = {labels[label] for labels in told[name]}
                words = set(re.split(r"\|", wanted)) if "." not in wanted else set()
                assert words <= values, (name, label)
                chosen += 1
    assert chosen > 10


async def test_every_label_that_is_shown_is_one_of_its_series(told: dict[str, list[dict[str, str]]]) -> None:
    for expression, words in EXPRESSIONS:
        known = {label for name in NAME.findall(expression) for labels in told[name] for label in labels}
        shown = set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", words))
        assert shown <= known | OF_PROMETHEUS, expression
