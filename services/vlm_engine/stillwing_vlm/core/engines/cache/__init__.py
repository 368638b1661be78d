"""Keys and values of sessions: in memory, in 8 bits, and in files."""
