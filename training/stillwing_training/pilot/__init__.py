"""The pilot: a small Qwen2.5-VL trained from scratch on airfield's pictures by imitation of an expert."""
