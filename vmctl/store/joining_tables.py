"""The tables of controllers that are invited, and of those that have joined."""

from __future__ import annotations

from sqlalchemy import JSON, Column
from sqlmodel import Field

from vmctl.store.base import Base


class InvitationRow(Base, table=True):
    """An invitation that was not used yet."""

    __tablename__ = "invitation"
    hash: str = Field(primary_key=True)
    made_by: str
    until: float


class ControllerKeyRow(Base, table=True):
    """The SSH key of a controller that has joined."""

    __tablename__ = "controller_key"
    home: str = Field(primary_key=True)
    name: str
    key: str
    joined_at: float
    hosts: list[str] = Field(sa_column=Column(JSON, nullable=False))
