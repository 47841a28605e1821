"""Carrying out what was decided: re-check, lease, run, read back, journal. One file per kind of action."""
