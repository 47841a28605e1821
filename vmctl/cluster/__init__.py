"""Who does what, and when: the controller and what it does by the clock."""
