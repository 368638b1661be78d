"""What cameras show: pictures to readers, and what a depth picture says of a way."""
