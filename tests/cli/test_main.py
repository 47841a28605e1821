"""Commands as a user types them: exit codes, help with an example, completion."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from vmctl import errors
from vmctl.cli import main as program
from vmctl.cli.main import COMMANDS, cli
from vmctl.errors import Cancelled, error_from_json, error_to_json


def every_error() -> list[type[errors.VmctlError]]:
    found: list[type[errors.VmctlError]] = [errors.VmctlError]
    for kind in found:
        found += kind.__subclasses__()
    return found


@pytest.mark.parametrize("kind", every_error())
def test_an_error_comes_over_the_wire_as_it_was(kind: type[errors.VmctlError]) -> None:
    sent = kind("it is so", hint="do that")
    sent.lines = ("kvm1: this", "kvm2: that")
    got = error_from_json(error_to_json(sent))
    assert type(got) is kind
    assert (got.message, got.hint, got.lines, got.exit_code) == (sent.message, sent.hint, sent.lines, sent.exit_code)


def test_the_exit_codes_are_the_promised_ones() -> None:
    assert {kind.__name__: kind.exit_code for kind in every_error()} == {
        "VmctlError": 1,
        "Usage": 2,
        "Refused": 3,
        "AlreadyRuns": 3,
        "Overtaken": 3,
        "OverLimit": 3,
        "NoHostFits": 3,
        "NotMounted": 3,
        "NotFound": 4,
        "NotAllowed": 5,
        "NotLoggedIn": 5,
        "TooManyRequests": 3,
        "TimedOut": 6,
        "PartlyFailed": 7,
        "HostError": 8,
        "Unreachable": 8,
        "NoAnswer": 8,
        "NotSent": 8,
        "HostKeyChanged": 8,
        "CommandFailed": 1,
        "LibvirtError": 1,
        "MissingLease": 1,
        "Unreadable": 8,
        "ControllerUnreachable": 8,
        "NoLeader": 8,
        "RegistryUnusable": 1,
        "MigrationFailed": 1,
        "Uncertain": 1,
        "Cancelled": 130,
    }


def test_an_error_that_the_client_does_not_know_keeps_its_words_and_its_code() -> None:
    got = error_from_json({"code": "FromTheFuture", "exit_code": 42, "message": "what?"})
    assert (type(got), got.message, got.exit_code, got.hint, got.lines) == (errors.VmctlError, "what?", 42, "", ())


def test_a_cancelled_task_ends_like_an_interrupted_command() -> None:
    assert error_from_json(error_to_json(Cancelled("as asked"))).exit_code == 130


# -- the edge of the program


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str, problem: BaseException | None = None) -> int:
    """The exit code of a command; with `problem`, of one that raises it."""
    if problem is not None:

        @click.command()
        def boom() -> None:
            raise problem

        monkeypatch.setattr(program, "cli", boom)
    monkeypatch.setattr(sys, "argv", ["vmctl", *arguments])
    with pytest.raises(SystemExit) as caught:
        program.main()
    return int(caught.value.code or 0)


def test_an_error_is_its_cause_its_details_and_the_next_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = errors.NoHostFits("no host can take web1\x1b[2J", hint="vmctl top", lines=("kvm1: full",))
    assert run(monkeypatch, problem=problem) == 3
    assert capsys.readouterr() == ("", "error: no host can take web1�[2J\n  kvm1: full\ntry: vmctl top\n")


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (KeyboardInterrupt(), 130),
        (click.Abort(), 130),
        (click.UsageError("no"), 2),
        (click.ClickException("no"), 1),
        (click.exceptions.Exit(5), 5),
    ],
)
def test_other_ends(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], problem: BaseException, code: int
) -> None:
    assert run(monkeypatch, problem=problem) == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_is_a_sentence_and_its_traceback_is_in_a_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: os.PathLike[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert run(monkeypatch, problem=ZeroDivisionError("division by zero")) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ZeroDivisionError: division by zero\ntry: ") and "Traceback" not in said
    log = said.split()[-1]
    assert log.startswith(str(tmp_path))
    with open(log) as file:  # noqa: PTH123
        assert "Traceback" in file.read()


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["migrate"], ["create", "web1"], ["list", "-o", "xml"], ["list", "--nonsense"]]
)
def test_a_malformed_command_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(monkeypatch, *arguments) == 2
    assert "Usage: vmctl" in capsys.readouterr().err


def test_an_argument_that_is_no_text_is_malformed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "create", "x", "--needs", "ort=M\udcfcnchen") == 2
    assert capsys.readouterr().err.startswith("error: the argument 'ort=M\\udcfcnchen' is not UTF-8\n")


def test_letters_that_a_terminal_does_not_have_end_no_command(tmp_path: os.PathLike[str]) -> None:
    odd = {"PYTHONIOENCODING": "latin-1", "VMCTL_SOCKET": f"{tmp_path}/caf\u00e9-\u65e5.sock"}
    command = [sys.executable, "-m", "vmctl.cli.main", "list"]
    done = subprocess.run(command, env=os.environ | odd, capture_output=True)
    assert done.returncode == 8 and b"no controller answers at" in done.stderr and b"\\u65e5" in done.stderr


def test_a_misspelt_command_is_answered_with_the_near_one() -> None:
    done = CliRunner().invoke(cli, ["migrat", "web1"])
    assert done.exit_code == 2 and "Did you mean migrate?" in done.output


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("project add", "create"), ("host rm", "remove"), ("host lsit", "list"), ("token delete", "revoke")],
)
def test_a_word_that_is_no_command_of_a_group_says_which_is_near(typed: str, meant: str) -> None:
    done = CliRunner().invoke(cli, [*typed.split(), "x"])
    assert done.exit_code == 2 and f"Did you mean {meant}?" in done.output


@pytest.mark.parametrize("word", program.FOREIGN)
def test_a_word_of_another_program_is_answered_with_ours(word: str) -> None:
    assert word not in COMMANDS
    done = CliRunner().invoke(cli, [word, "web1"], terminal_width=200)
    assert done.exit_code == 2 and program.FOREIGN[word] in " ".join(done.output.split())
    for meant in re.findall(r"vmctl ([a-z]+)(?: ([a-z]+))?", program.FOREIGN[word]):
        assert meant[0] in COMMANDS


def test_where_no_controller_answers_and_none_may_be_started(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: os.PathLike[str]
) -> None:
    monkeypatch.setenv("VMCTL_SOCKET", f"{tmp_path}/nobody.sock")
    assert run(monkeypatch, "list") == 8
    assert "no controller answers" in capsys.readouterr().err


# -- help


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command that does something, with the words that reach it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None, name
        if isinstance(found, click.Group):
            yield from commands(found, (*path, name))
        else:
            yield (*path, name), found


EVERY = [pytest.param(*found, id=" ".join(found[0])) for found in commands()]


@pytest.mark.parametrize(("path", "command"), EVERY)
def test_every_command_has_help_with_an_example_of_itself(path: tuple[str, ...], command: click.Command) -> None:
    done = CliRunner().invoke(cli, [*path, "--help"], terminal_width=200)
    assert done.exit_code == 0
    example = " ".join(done.output.split())
    assert f"vmctl {' '.join(path)}" in example.partition("Example: ")[2], "its help ends with an example"
    for option in command.params:
        if isinstance(option, click.Option) and not option.is_flag and option.name != "help":
            assert option.help or isinstance(option.type, click.Choice) or option.show_default, option.name


@pytest.mark.parametrize("name", COMMANDS)
def test_the_overview_says_what_a_command_is_for(name: str) -> None:
    assert COMMANDS[name][2] in " ".join(CliRunner().invoke(cli, ["--help"], terminal_width=200).output.split())


# -- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0
    assert "_VMCTL_COMPLETE" in done.output and f"{shell}_complete" in done.output


def test_bash_can_read_its_script() -> None:
    script = CliRunner().invoke(cli, ["completion", "bash"]).output
    assert subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True).stderr == ""


@pytest.mark.parametrize(
    ("words", "expected"), [("mig", "migrate"), ("host dr", "drain"), ("reboot-", "reboot-plan"), ("list -o j", "json")]
)
def test_completion_completes(words: str, expected: str, tmp_path: os.PathLike[str]) -> None:
    line = f"vmctl {words}"
    asked = {
        "_VMCTL_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
        "VMCTL_SOCKET": f"{tmp_path}/nobody.sock",
    }
    code = "import sys; sys.argv = ['vmctl']; from vmctl.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | asked, text=True, capture_output=True)
    assert f"plain,{expected}" in done.stdout.split(), done.stderr


def test_completing_a_name_without_a_controller_offers_nothing(tmp_path: os.PathLike[str]) -> None:
    line = "vmctl show "
    asked = {"_VMCTL_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": "2"}
    asked["VMCTL_SOCKET"] = f"{tmp_path}/nobody.sock"
    code = "import sys; sys.argv = ['vmctl']; from vmctl.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | asked, text=True, capture_output=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")
