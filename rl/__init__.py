"""Reinforcement learning: environments, replay memories, and agents that learn the values of their actions."""
