"""What belongs to this machine alone: settings, folders, the lock of its one controller, log files."""
