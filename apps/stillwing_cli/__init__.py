"""The command line: `stillwing up, fly, status, watch, stop, doctor, eval, train-pilot`; one file for each command."""
