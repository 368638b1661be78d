"""A model's own chat templates: read, tried, rendered, and cut where frames, answers and calls go."""
