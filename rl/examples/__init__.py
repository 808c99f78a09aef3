"""Examples to run, one for each kind of problem."""
