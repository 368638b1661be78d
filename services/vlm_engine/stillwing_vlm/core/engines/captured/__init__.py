"""Device work over buffers that stay where they are, so that it can be captured and replayed."""
