"""The published modules of the Qwen-VL families, and what their sizes and weights need."""
