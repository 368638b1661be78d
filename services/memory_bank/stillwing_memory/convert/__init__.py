"""The bank's messages on the wire to its values and back, by subject."""
