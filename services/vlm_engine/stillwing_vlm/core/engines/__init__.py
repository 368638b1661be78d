"""Models on devices; the only place of this service that knows tensors."""
