"""Hydra launcher that hands the configs of a whole sweep to a cluster, batch by batch; see README.md."""
