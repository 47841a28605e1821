"""Commands in this process."""

from __future__ import annotations

from click.testing import CliRunner, Result

from vmctl.cli.main import cli


def vmctl(*words: str) -> Result:
    """What became of a command."""
    return CliRunner().invoke(cli, words)


def said(*words: str) -> str:
    """What a command printed that went well."""
    done = vmctl(*words)
    assert done.exception is None, done.exception
    return done.output
