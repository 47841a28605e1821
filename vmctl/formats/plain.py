"""Values as JSON holds them: the one place where classes become plain data. Pure.

Dataclasses and named tuples become objects with all their fields, enumerations their words, sets sorted lists. JSON has
no number for what is infinite: that is written as "inf".
"""

from __future__ import annotations

import dataclasses
import math
import uuid
from collections.abc import Mapping
from enum import Enum
from typing import Any

AS_THEY_ARE = (str, int, bool, type(None))  # most of what there is; looked at first, as all other questions cost more


def plain(value: Any) -> Any:
    """The value as dicts, lists, text, numbers, booleans and None."""
    if type(value) in AS_THEY_ARE:
        return value
    if dataclasses.is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: plain(getattr(value, name)) for name in value._fields}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(item) for item in value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, float) and math.isinf(value):
        return str(value)
    return str(value) if isinstance(value, uuid.UUID) else value
