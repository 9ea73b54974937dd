"""Figures from what the reader returns, one to a file.

They read well with one run, with twelve and with ten thousand: few runs are drawn one by one and named;
of many, the best, the median and the worst, over bands that hold the rest.
"""

from src.report.figures.curves import loss_curves
from src.report.figures.fitted import fits
from src.report.figures.gap_map import loss_gap_map
from src.report.figures.graph import autograd_graph
from src.report.figures.named import sample

__all__ = ["autograd_graph", "fits", "loss_curves", "loss_gap_map", "sample"]
