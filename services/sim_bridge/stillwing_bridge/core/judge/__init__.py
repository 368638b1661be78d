"""What a vehicle may do: leases, lifetimes, guards, stops. Pure; told the time."""
