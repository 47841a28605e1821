"""What all that observes and acts shares: registry, links to hosts, loads, guests, claims, walls around bad things."""

from vmctl.services.services import Services as Services
