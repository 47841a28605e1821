"""A judge beside the lab: what is true of QEMUs, disks, sessions and the database, looked up without vmctl's code.

`python -m tests.checker --lab NAME --dsn DSN` looks several times a second for as long as it runs, and prints a line
for each thing that must never be. Nothing here is imported from the product, nor asked of it.
"""
