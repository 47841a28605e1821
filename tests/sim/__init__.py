"""A simulated world: the real controller against hosts that fail, in virtual time; see tests/README.md."""
