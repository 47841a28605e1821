"""What clients may send: models made from the arguments of commands. Unknown fields are refused, so that a misspelt one
is not silently ignored.

All text is checked here: whatever is let in is later shown in lists, and written into XML and file names.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, ClassVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, create_model, model_validator

from vmctl import text
from vmctl.commands.fields import AsItIs, Inner, hints, mark

DEEPEST = 8


def _bad_inside(value: Any, depth: int = 0) -> str | None:
    """The first text in a body, at any depth, that cannot be taken; with the field that it is in."""
    if isinstance(value, str):
        return text.bad_text(value)
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        if isinstance(key, str) and (problem := text.bad_text(key, text.MOST_PART)):
            return problem
        if problem := "it is nested too deeply" if depth > DEEPEST else _bad_inside(item, depth + 1):
            return f"{text.field(key)}: {problem}" if isinstance(key, str) else problem
    return None


class Request(BaseModel):
    """The base of all."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    as_they_are: ClassVar[frozenset[str]] = frozenset()  # arguments that their own rules alone judge

    @model_validator(mode="before")
    @classmethod
    def _text(cls, values: Any) -> Any:
        judged = values
        if cls.as_they_are and isinstance(values, dict):
            judged = {name: value for name, value in values.items() if name not in cls.as_they_are}
        if (why := _bad_inside(judged)) is not None:
            raise ValueError(why)
        return values


def one(arguments: type[Any], name: str) -> type[Request]:
    """One argument by itself."""
    sent: dict[str, Any] = {name: (hints(arguments)[name], ...)}
    made: type[Request] = create_model(arguments.__name__, __base__=Request, **sent)
    return made


def model(arguments: type[Any], path: tuple[str, ...]) -> type[Request] | None:
    """What is sent besides the path's own arguments; None where that is nothing. No client gives what is `Inner`.

    A name of an earlier version (`RENAMED`) is taken, too.
    """
    sent: dict[str, Any] = {}
    earlier = {now: before for before, now in getattr(arguments, "RENAMED", {}).items()}
    for field in fields(arguments):
        if field.name in path or mark(arguments, field.name, Inner) is not None:
            continue
        rules: dict[str, Any] = {}
        if field.default_factory is not MISSING:
            rules["default_factory"] = field.default_factory
        elif field.default is not MISSING:
            rules["default"] = field.default
        if field.name in earlier:
            rules["validation_alias"] = AliasChoices(field.name, earlier[field.name])
        sent[field.name] = (hints(arguments)[field.name], Field(**rules))
    if not sent:
        return None
    made: type[Request] = create_model(arguments.__name__, __base__=Request, **sent)
    made.as_they_are = frozenset(name for name in sent if mark(arguments, name, AsItIs) is not None)
    return made
