"""What a mutant is, how it is put in, and makers of faults that several groups use."""

from __future__ import annotations

import copy
import dataclasses
import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from vmctl.act.whereabouts import off_at
from vmctl.decide.outcome import DomainPresence, Resolution
from vmctl.errors import Refused
from vmctl.model.vms import PowerState

Made = Callable[[Any], Any]


class Mutant(NamedTuple):
    """What it does wrong, which symbols it replaces, and by what: a function of what was there."""

    name: str
    symbols: str  # "module:name" or "module:Class.name", separated by spaces
    made: Made


# -- putting it in


def find(symbol: str) -> tuple[Any, str]:
    """Where a symbol stands, and its name there. Raises AttributeError for one that is gone."""
    module, _, path = symbol.partition(":")
    holder: Any = importlib.import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        holder = getattr(holder, part)
    getattr(holder, name)
    return holder, name


@contextmanager
def put_in(mutant: Mutant) -> Iterator[None]:
    """The fault, for a while."""
    with ExitStack() as stack:
        for symbol in mutant.symbols.split():
            stack.enter_context(_replaced(*find(symbol), mutant.made))
        yield


@contextmanager
def _replaced(holder: Any, name: str, made: Made) -> Iterator[None]:
    """One symbol. A table that others have imported by its name is changed in place."""
    was = getattr(holder, name)
    new = made(was)
    if isinstance(was, dict):
        kept = dict(was)
        was.clear()
        was.update(new)
        try:
            yield
        finally:
            was.clear()
            was.update(kept)
        return
    setattr(holder, name, new)
    try:
        yield
    finally:
        setattr(holder, name, was)


# -- makers


def nothing(_was: Any) -> Any:
    """It does nothing."""
    return lambda *_args, **_more: None


def later_nothing(_was: Any) -> Any:
    """It does nothing, and is awaited for that."""

    async def nothing_(*_args: Any, **_more: Any) -> None:
        return None

    return nothing_


def value(new: Any) -> Made:
    """It is that."""
    return lambda _was: new


def answers(answer: Any) -> Made:
    """It always answers that."""
    return lambda _was: lambda *_args, **_more: answer


def later_answers(answer: Any) -> Made:
    """It always answers that, and is awaited for it."""

    def made(_was: Any) -> Any:
        async def answer_(*_args: Any, **_more: Any) -> Any:
            return answer

        return answer_

    return made


def resumed(every: bool) -> Made:
    """Every kind of task is begun again by a successor, or none."""
    return lambda was: lambda: {kind: dataclasses.replace(row, resumes=every) for kind, row in was().items()}


def given(**changed: Any) -> Made:
    """It is called with other values than its callers give."""
    return lambda was: lambda *args, **more: was(*args, **more | changed)


def never(_was: Any) -> Any:
    """An error that is told apart no more: it is caught where all others are."""
    return type("Never", (Exception,), {})


def outcome(*changes: tuple[DomainPresence, DomainPresence, Resolution]) -> Made:
    """The table of outcomes with other lines."""
    return lambda was: {**was, **{(here, there): then for here, there, then in changes}}


def vm_as_it_is(_was: Any) -> Any:
    """It believes what the registry says."""

    async def believed(_services: Any, vm: Any, *_args: Any, **_more: Any) -> Any:
        return vm

    return believed


def off_whatever(said: str) -> Made:
    """Where the proof that a VM is off fails with these words, it is called off all the same."""

    def made(was: Any) -> Any:
        async def prove_off(services: Any, vm: Any, *args: Any) -> Any:
            try:
                return await was(services, vm, *args)
            except Refused as err:
                if said not in err.message:
                    raise
                if vm.power is PowerState.STOPPED:
                    return vm
                return await services.store.lease(vm, off_at(vm), PowerState.STOPPED, gone=vm.may_run_on)

        return prove_off

    return made


def looks_at(changed: Callable[[Any], Any], where: str = "") -> Made:
    """It sees VMs of the registry otherwise than they are: `changed` is given each of them.

    `where`: the attribute of its first argument that has the services; empty: that is the services.
    """

    def made(was: Any) -> Any:
        async def looks(first: Any, *args: Any) -> Any:
            services = getattr(first, where) if where else first
            seen = copy.copy(services)
            seen.store = _Changed(services.store, changed)
            if not where:
                return await was(seen, *args)
            mine = copy.copy(first)
            setattr(mine, where, seen)
            return await was(mine, *args)

        return looks

    return made


class _Changed:
    """A registry that shows VMs otherwise."""

    def __init__(self, store: Any, changed: Callable[[Any], Any]) -> None:
        self._store, self._changed = store, changed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def all(self, kind: Any) -> Any:
        found = await self._store.all(kind)
        return [self._changed(one) if hasattr(one, "may_run_on") else one for one in found]


def free(when: Callable[[Any], bool] = lambda _vm: True) -> Callable[[Any], Any]:
    """A VM as if no task held it, where that is to be overlooked."""
    return lambda vm: dataclasses.replace(vm, task=None) if vm.task is not None and when(vm) else vm
