"""Decisions of a model over a recording: what it would have done, beside what was flown."""
