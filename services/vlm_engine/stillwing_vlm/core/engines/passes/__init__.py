"""How tokens go through the layers to a cache: as they come, or over buffers that stay in place and are captured."""
