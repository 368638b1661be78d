"""Carries out what the judge decided, and watches what comes of it."""
