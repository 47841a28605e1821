"""vmctl: a KVM cluster manager that installs nothing on its hosts and says why for everything it does."""

__version__ = "0.1.0"
