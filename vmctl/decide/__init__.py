"""Decisions. Pure: no I/O, no clock, no logging, no randomness; imports `model` only.

A `Cluster` (snapshot) goes in, a `Placement`, `NoPlace` or `Plan` comes out, and each says why.
"""
