"""How a mission is flown from its lease to its end."""
