"""What is filed of a chunk, and which known thing it shows."""
