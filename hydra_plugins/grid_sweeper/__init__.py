"""Hydra sweeper: the grid, less the points and settings that an application leaves out."""
