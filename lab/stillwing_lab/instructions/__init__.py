"""Whether a model does as it is told: six instructions about form and focus, with verdicts that a program can give."""
