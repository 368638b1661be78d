"""`stillwing.vehicle.v1` messages to the core's types and back; refuses what the core cannot hold.

It knows nothing of leases' meaning or of how anything is carried out.
"""
