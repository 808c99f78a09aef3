"""Reinforcement learning: agents and environments. Its catalogue is empty so far."""
