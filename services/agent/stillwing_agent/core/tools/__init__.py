"""What a policy can do while it flies."""
