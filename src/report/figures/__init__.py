"""Figures from what the reader returns, one to a file.

They read well with one run, with twelve and with ten thousand: few runs are drawn one by one and named;
of many, the best, the median and the worst, over bands that hold the rest.
"""

from ._named import sample
from .fits import fits
from .graph import autograd_graph
from .loss_curves import loss_curves
from .loss_gap import loss_gap_map

__all__ = ["autograd_graph", "fits", "loss_curves", "loss_gap_map", "sample"]
