"""A mind in place of weights: it reads what a model would read, sees what a good one would, and answers in tokens."""
