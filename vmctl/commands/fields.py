"""What an argument may be: rules that the API holds clients to, and marks that the door reads. Pure.

An argument is `Annotated[type, mark, ...]`; the bounds of numbers and lengths are those of annotated_types.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, fields
from typing import Annotated, Any, TypeVar, get_type_hints

from annotated_types import Ge, Gt, Le, MaxLen, MinLen

from vmctl import text
from vmctl.model.rights import Permission

MOST_NUMBER = 2**63 - 1  # what the registry can hold
MOST_MIB = 64 << 20
WEEK_S = 7 * 86400.0
Mark = TypeVar("Mark")


@dataclass(frozen=True, slots=True)
class Rule:
    """`problem` says what is wrong with a value, or None."""

    problem: Callable[[Any], str | None]

    def check(self, value: Any) -> Any:
        """The value. Raises ValueError with the problem."""
        if (why := self.problem(value)) is not None:
            raise ValueError(why)
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        """How pydantic applies it; only who reads requests has pydantic loaded."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self.check, handler(source))


@dataclass(frozen=True, slots=True)
class Names:
    """The argument names a thing of that kind, which must exist: "VM", "host", "storage", "image"."""

    what: str


@dataclass(frozen=True, slots=True)
class Needs:
    """Who gives the argument a value needs this permission besides the command's own."""

    permission: Permission


def default_of(field: Field[Any]) -> Any:
    """What an argument is that was not given; MISSING where it must be given."""
    return field.default_factory() if field.default_factory is not MISSING else field.default


@dataclass(frozen=True, slots=True)
class Inner:
    """The argument is the controller's own: no client may give it."""


@dataclass(frozen=True, slots=True)
class AsItIs:
    """The argument is never part of a name or of XML, and is cleaned where it is shown: only its own rule holds."""


@dataclass(frozen=True, slots=True)
class Body:
    """The argument reads the request's body, which is bytes and no JSON. None is read before somebody calls it."""


@dataclass(frozen=True, slots=True)
class Help:
    """What a user is told of the argument."""

    text: str


def _text(most: int) -> Rule:
    return Rule(lambda value: text.bad_text(value, most))


Part = Annotated[str, Rule(text.bad_part)]  # stands for a thing that was named elsewhere: names may be odd
VM = Annotated[str, Names("VM"), Rule(text.bad_part), Help("A VM, by name or UUID.")]
Host = Annotated[str, Names("host"), Rule(text.bad_part), Help("A host.")]
Storage = Annotated[str, Names("storage"), Rule(text.bad_part), Help("A storage.")]
Image = Annotated[str, Names("image"), Rule(text.bad_part), Help("An image.")]
Project = Annotated[str, Names("project"), Rule(text.bad_name), Help("The project that it belongs to.")]
MaybeHost = Annotated[str, Rule(lambda name: text.bad_name(name) if name else None), Help("Leave no choice.")]
Name = Annotated[str, Rule(text.bad_name)]  # of something new
MaybeName = Annotated[str, Rule(lambda name: text.bad_name(name) if name else None)]
Group = Annotated[str, _text(63)]
Text = Annotated[str, _text(text.MOST_PART)]
Labels = Annotated[dict[str, str], Rule(text.bad_labels)]
Number = Annotated[int, Ge(0), Le(MOST_NUMBER)]
Most = Annotated[int, Ge(1), Le(500)]
Seconds = Annotated[float, Ge(0), Le(1e11)]  # also a time in UTC seconds
Signature = Annotated[
    str, _text(text.MOST_PART), Needs(Permission.SIGN), Help("The VM's name, by who signs that it runs nowhere.")
]
Amount = Annotated[float, Gt(0), Le(1e9)]
Moves = Annotated[int, Ge(1), Le(1_000_000)]
Hosts = Annotated[list[Name], MaxLen(200)]
SomeHosts = Annotated[list[str], MinLen(1), MaxLen(200)]


def hints(arguments: type[Any]) -> dict[str, Any]:
    """Each argument's annotation, marks included."""
    if arguments not in _HINTS:
        known = get_type_hints(arguments, include_extras=True)
        _HINTS[arguments] = {field.name: known[field.name] for field in fields(arguments)}
    return _HINTS[arguments]


_HINTS: dict[type[Any], dict[str, Any]] = {}  # reading them takes long


def mark(arguments: type, name: str, kind: type[Mark]) -> Mark | None:
    """An argument's mark of that kind, if it has one."""
    marks = getattr(hints(arguments)[name], "__metadata__", ())
    return next((one for one in marks if isinstance(one, kind)), None)
