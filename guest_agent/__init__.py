"""The guest agent: tells the controller, through an emulated serial port, how each process in this VM is.

The rule of the room: it installs alone in a guest, so it imports nothing of vmctl; its syntax is Python 3.6's, and
types are written as strings, which no old interpreter reads and no memory is spent on (`typing` alone takes 0.7 MB).
"""

__version__ = "0.1.0"
