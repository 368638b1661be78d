"""What an agent says to the model, and the form its answers must have."""
