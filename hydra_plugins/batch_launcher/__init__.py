"""Hydra launcher that hands the configs of a whole sweep to one function; see README.md."""
