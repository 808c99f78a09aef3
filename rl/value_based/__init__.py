"""Learning the values of actions: Q-learning in tables and deep Q-networks."""
