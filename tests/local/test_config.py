"""Settings: defaults need no file, and a mistake in the file is an error that names it."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

from vmctl.errors import Usage
from vmctl.local.config import RANGES, Settings, _check, changed_policy, load
from vmctl.model.policy import Policy

EXAMPLE = Path(__file__).parents[2] / "deploy" / "vmctl.toml"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "vmctl.toml"
    path.write_text(text)
    return path


def test_no_file_means_defaults(tmp_path: Path) -> None:
    assert load(tmp_path / "vmctl.toml") == Settings() == load(written(tmp_path, ""))


def test_the_users_own_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "vmctl").mkdir()
    written(tmp_path / "vmctl", 'ssh_user = "admin"')
    assert load().ssh_user == "admin"


def test_every_kind_of_value(tmp_path: Path) -> None:
    text = """
sample_period_s = 2
ssh_user = "admin"
[timeouts]
libvirt_keepalive_s = 7
shutdown_s = 12.5
[policy]
allow_post_copy = true
downtime_ms = [50, 150]
"""
    found = load(written(tmp_path, text))
    assert (found.sample_period_s, found.ssh_user) == (2.0, "admin")
    assert isinstance(found.sample_period_s, float), "a whole number will do for one with a point"
    assert (found.timeouts.libvirt_keepalive_s, found.timeouts.shutdown_s) == (7, 12.5)
    assert found.timeouts.command_s == Settings().timeouts.command_s, "the rest stays"
    assert (found.policy.allow_post_copy, found.policy.downtime_ms) == (True, (50, 150))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sample_period = 2", "unknown setting 'sample_period'"),
        ("[policy]\nmin_gian = 0.1", "unknown setting 'min_gian'"),
        ("[polici]\nmin_gain = 0.1", "unknown setting 'polici'"),
        ('sample_period_s = "2"', "sample_period_s must be like 5.0, not '2'"),
        ("ssh_user = 7", "ssh_user must be like 'root', not 7"),
        ("policy = 7", "policy must be like "),
        ("[policy]\nmax_moves = 1.5", "max_moves must be like 8, not 1.5"),
        ("[policy]\nmax_moves = true", "max_moves must be like 8, not True"),
        ("[policy]\nmin_gain = true", "min_gain must be like 0.1, not True"),
        ("[policy]\nallow_post_copy = 1", "allow_post_copy must be like False, not 1"),
        ("[policy]\ndowntime_ms = [1, 'x']", "downtime_ms must be like 100, not 'x'"),
        ("[policy]\ndowntime_ms = []", "downtime_ms must be like "),
        ("[policy]\ndowntime_ms = 100", "downtime_ms must be like "),
        ("ssh_user", "is not valid TOML"),
        ("ssh_user = 'a'\nssh_user = 'b'", "is not valid TOML"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(Usage) as caught:
        load(path)
    assert words in caught.value.message and str(path) in caught.value.message


def test_an_unknown_setting_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(Usage) as caught:
        load(written(tmp_path, "[timeouts]\nssh = 1"))
    assert "ssh_connect_s" in caught.value.hint


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().ssh_user = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    "text", ["[policy]\nmax_moves = 3", "max_moves = 3", "ssh_user = 'a'\n[policy]\nmax_moves = 3"]
)
def test_a_policy_may_be_changed_by_a_file_of_its_own(text: str) -> None:
    assert changed_policy(Policy(min_gain=0.5), text, "a file") == Policy(min_gain=0.5, max_moves=3)


@pytest.mark.parametrize("text", ["max_move = 3", "[policy]\nmax_moves = 'x'", "max_moves"])
def test_a_mistake_in_such_a_file_is_an_error(text: str) -> None:
    with pytest.raises(Usage, match="a file"):
        changed_policy(Policy(), text, "a file")


def test_a_table_of_numbers() -> None:
    found = changed_policy(Policy(), "class_overcommit = {gold = 1, silver = 2.5}", "a file").class_overcommit
    assert found == {"gold": 1.0, "silver": 2.5} and type(found["gold"]) is float
    with pytest.raises(Usage, match=r"class_overcommit: gold must be like 0\.0"):
        changed_policy(Policy(), "class_overcommit = {gold = 'much'}", "a file")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sample_period_s = 0", "sample_period_s must be from 0.1 to 3600, not 0.0"),
        ("sample_period_s = nan", "sample_period_s must be from 0.1 to 3600, not nan"),
        ("sample_period_s = inf", "not inf"),
        ("[timeouts]\nshutdown_s = -1", "timeouts: shutdown_s must be from 0.1 to 86400, not -1.0"),
        ("[timeouts]\nssh_keepalive_count = 0", "timeouts: ssh_keepalive_count must be from 1 to 100, not 0"),
        ("[policy]\ncpu_overcommit = 0", "policy: cpu_overcommit must be from 0.01 to 1000, not 0.0"),
        ("[policy]\nmem_overcommit = nan", "policy: mem_overcommit must be from 0.01 to 100, not nan"),
        ("[policy]\nmin_gain = -4", "policy: min_gain must be from 0 to 1000, not -4.0"),
        ("[policy]\nmax_moves = 0", "policy: max_moves must be at least 1, not 0"),
        ("[policy]\nclass_overcommit = {gold = 0}", "policy: class_overcommit: gold must be from 0.01"),
        ("[policy]\ndowntime_ms = [100, 0]", "policy: downtime_ms must be from 1 to 60000, not 0"),
        ("[policy]\ndowntime_ms = [300, 100]", "policy: downtime_ms must rise, step by step"),
        ("[health]\nheal_budget = -1", "health: heal_budget must be from 0 to 1000, not -1"),
        ("[ledger]\nrows_per_machine = 99999999999", "ledger: rows_per_machine must be from 1"),
    ],
)
def test_a_number_out_of_its_range_is_named_with_file_key_and_range(tmp_path: Path, text: str, words: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(Usage) as caught:
        load(path)
    assert words in caught.value.message and str(path) in caught.value.message


def numbers(kind: type[Any]) -> set[str]:
    return {
        field.name
        for field in dataclasses.fields(kind)
        if isinstance(value := getattr(kind(), field.name), int | float | tuple | dict)
        and not (isinstance(value, bool) or field.name in ("allow_urls", "watch"))
    }


@pytest.mark.parametrize("kind", RANGES)
def test_every_number_has_a_range_and_its_default_is_in_it(kind: type[Any]) -> None:
    assert numbers(kind) == set(RANGES[kind])
    for key, limits in RANGES[kind].items():
        _check(getattr(kind(), key), limits, key)


def test_what_is_watched_on_hosts_is_names_of_programs(tmp_path: Path) -> None:
    watched = load(written(tmp_path, '[ledger]\nwatch = ["multipathd", "a-name-of-more-than-15"]\n')).ledger.daemons
    assert watched == ("sshd", "libvirtd", "virtlockd", "virtlogd", "multipathd", "a-name-of-more-")
    for wrong in ("", "a b", "-x", "$(id)", "é"):
        with pytest.raises(Usage, match="watch"):
            load(written(tmp_path, f"[ledger]\nwatch = ['{wrong}']\n"))


def test_the_file_to_copy_shows_every_setting_with_its_default(tmp_path: Path) -> None:
    copied = re.sub(r"(?m)^# (?=\w+ = )", "", EXAMPLE.read_text())
    assert load(written(tmp_path, copied)) == Settings()

    def names(record: Any) -> dict[str, Any]:
        values = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
        return {key: names(value) if dataclasses.is_dataclass(value) else None for key, value in values.items()}

    def shown(table: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
        return {key: shown(value, wanted[key]) if wanted.get(key) else None for key, value in table.items()}

    assert shown(tomllib.loads(copied), names(Settings())) == names(Settings())


def test_no_group_of_settings_is_without_ranges() -> None:
    groups = {
        type(value)
        for f in dataclasses.fields(Settings)
        if dataclasses.is_dataclass(value := getattr(Settings(), f.name))
    }
    assert groups | {Settings} == set(RANGES)


def test_from_where_images_may_be_fetched_is_read_as_it_will_be_compared(tmp_path: Path) -> None:
    path = tmp_path / "vmctl.toml"
    path.write_text('[images]\nallow_urls = ["images.example.org", "http://10.0.0.5/x/"]\n')
    assert load(path).images.allow_urls == ("images.example.org", "http://10.0.0.5/x/")
    for wrong in ("ftp://x/", "https://x/../y", "anna@x", "5"):
        path.write_text(f'[images]\nallow_urls = ["images.example.org", {wrong if wrong == "5" else repr(wrong)}]\n')
        with pytest.raises(Usage, match="allow_urls"):
            load(path)
