"""Many sessions on one device: scheduling, quotas, watches, and what callers hold on the event loop."""
