"""The one way in: who asks may ask, what is asked for exists, and who answers. Above all that acts, below the API."""

from vmctl.door.door import Door as Door
from vmctl.door.parts import ControllerParts as ControllerParts
