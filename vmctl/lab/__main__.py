"""`python -m vmctl.lab`: the same as `vmctl lab`."""

from vmctl.cli.lab import main

if __name__ == "__main__":
    main()
