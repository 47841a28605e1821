"""What a plan is worth: vmctl's planner beside its peers, a proven bound and an exact solver; see ../README.md."""
