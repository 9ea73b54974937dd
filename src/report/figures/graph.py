"""The chapter's figure: the autograd graph of one forward and one backward pass."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from ...fit.graph import Graph, Node, trace
from ...normalization import Affine
from ...spelling import SCALE, SHIFT
from ...tracking.record import TrackedRun, rebuild
from ..comparison import Comparison
from ._canvas import COLOURS, DARK, canvas, short
from ._named import MOST_MODELS

FORWARD, BACKWARD = DARK, COLOURS[1]
DASHED = (0, (4, 2))
# All lengths are in inches.
SIZES = {"parameter": (1.65, 0.62), "data": (1.05, 0.44), "operation": (0.74, 0.6), "loss": (1.65, 0.62)}
FILLS = {"parameter": "#DCEBF7", "data": "0.9", "operation": "white", "loss": "#FBE3D6"}
GAP, ROW = 0.75, 0.9  # between two columns; from one leaf to the next
LONGEST_DATA = 13  # characters that the smaller boxes hold
SLOT, BESIDE = 0.32, 0.07  # where a result's operands arrive; the two arrows of one of them


def draw(comparison: Comparison) -> Figure | None:
    """The graph of the start of each model's first run; None where the data are gone."""
    if not comparison.pairs:
        return None
    firsts = {run.params["model"]: run for run in reversed(comparison.runs)}
    models = [*dict.fromkeys(run.params["model"] for run in comparison.runs)][:MOST_MODELS]
    return autograd_graphs({short(model): _graph(comparison, firsts[model]) for model in models})


def _graph(comparison: Comparison, run: TrackedRun) -> Graph:
    assert comparison.pairs
    settings = rebuild(run, comparison.dataset)
    fitted = Affine(float(run.params[SHIFT]), float(run.params[SCALE]))
    t_un = fitted.apply(torch.from_numpy(comparison.pairs.t_u), getattr(torch, settings.dtype))
    t_c = torch.from_numpy(comparison.pairs.t_c)
    return trace(settings.model.chosen, t_un, t_c, settings.model.start, loss_fn=settings.loss.function)


def autograd_graphs(graphs: Mapping[str, Graph]) -> Figure:
    """By the models' names: leaves at the left, operation after operation to the loss; gradients dashed."""
    frames = [_frame(graph) for graph in graphs.values()]
    heights = [top - bottom for *_, bottom, top in frames]
    starts = [
        f"{name}: {_start(graph)}" if len(graphs) > 1 else _start(graph) for name, graph in graphs.items()
    ]
    figure = canvas(
        "The autograd graph of one forward and one backward pass",
        f"At the start, {'; '.join(starts)}. Each parameter gets its own gradient; data, in grey, none.",
        width=max(right - left for left, right, *_ in frames) + 0.2,
        height=sum(heights) + 0.9 + 0.4 * (len(graphs) - 1),
    )
    for axes, name, graph, frame in zip(
        figure.subplots(len(graphs), squeeze=False, height_ratios=heights)[:, 0],
        graphs,
        graphs.values(),
        frames,
        strict=True,
    ):
        _draw(axes, graph, frame)
        if len(graphs) > 1:
            axes.set_title(name, loc="left", fontsize=11)
    ways = [
        Line2D([], [], color=FORWARD, label="forward: values"),
        Line2D([], [], color=BACKWARD, linestyle=DASHED, label="backward: gradients"),
    ]
    figure.axes[0].legend(handles=ways, loc="upper right", frameon=False)
    return figure


def _start(graph: Graph) -> str:
    return ", ".join(f"{node.name} = {node.value:.6g}" for node in graph.nodes if node.kind == "parameter")


def _frame(graph: Graph) -> tuple[float, float, float, float]:
    """Left, right, bottom and top."""
    right = _x(graph.nodes[-1]) + SIZES["loss"][0] / 2 + 0.1
    return -SIZES["parameter"][0] / 2 - 0.1, right, -0.4, max(_ys(graph)) + 0.4


def _draw(axes: Axes, graph: Graph, frame: tuple[float, float, float, float]) -> None:
    xs, ys = [_x(node) for node in graph.nodes], _ys(graph)
    left, right, bottom, top = frame
    axes.set(xlim=(left, right), ylim=(bottom, top), aspect="equal", anchor="W")
    axes.set_axis_off()
    for target, node in enumerate(graph.nodes):
        _box(axes, node, xs[target], ys[target])
        operands = [start for start, end in graph.edges if end == target]
        for slot, operand in enumerate(operands):
            offset = SLOT * ((len(operands) - 1) / 2 - slot)
            x, y = xs[target] - SIZES[node.kind][0] / 2, ys[target] + offset
            from_ = xs[operand] + SIZES[graph.nodes[operand].kind][0] / 2, ys[operand]
            _arrows(axes, from_, (x, y), (target, operand) in graph.gradient_edges, 1 if offset >= 0 else -1)


def _x(node: Node) -> float:
    """The middle of a node, right of the leaves'."""
    if node.depth == 0:
        return 0.0
    columns = (node.depth - 1) * (SIZES["operation"][0] + GAP)
    return SIZES["parameter"][0] / 2 + GAP + columns + SIZES[node.kind][0] / 2


def _ys(graph: Graph) -> list[float]:
    """The nodes' heights: leaves one above the other in the order of their use, results between operands.

    So no arrow crosses another as long as no leaf is used twice.
    """
    leaves = [place for place, node in enumerate(graph.nodes) if node.depth == 0]
    ys = {leaf: ROW * (len(leaves) - 1 - row) for row, leaf in enumerate(leaves)}
    for place in range(len(graph.nodes)):
        if place not in ys:
            operands = [ys[start] for start, end in graph.edges if end == place]
            ys[place] = sum(operands) / len(operands)
    return [ys[place] for place in range(len(graph.nodes))]


def _arrows(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], has_gradient: bool, outside: int
) -> None:
    """From an operand's side to its result's, and back on the outside: above (1) or below (-1)."""
    shift = outside * BESIDE if has_gradient else 0.0
    (x0, y0), (x1, y1) = start, end
    style: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 12, "shrinkA": 1, "shrinkB": 2}
    axes.add_patch(FancyArrowPatch((x0, y0 - shift), (x1, y1 - shift), color=FORWARD, linewidth=1.3, **style))
    if has_gradient:
        back = (x1, y1 + shift), (x0, y0 + shift)
        axes.add_patch(FancyArrowPatch(*back, color=BACKWARD, linestyle=DASHED, linewidth=1.3, **style))


def _box(axes: Axes, node: Node, x: float, y: float) -> None:
    width, height = SIZES[node.kind]
    corner = (x - width / 2, y - height / 2)
    shape = "round,pad=0,rounding_size=0.12"
    edge = "0.6" if node.kind == "data" else DARK
    axes.add_patch(
        FancyBboxPatch(
            corner, width, height, shape, facecolor=FILLS[node.kind], edgecolor=edge, linewidth=1.2
        )
    )
    text: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 10}
    if node.value is None:
        axes.text(x, y, short(node.name, LONGEST_DATA), **text)
        return
    axes.text(x, y + 0.13, f"{short(node.name)} = {node.value:.6g}", **text)
    axes.text(x, y - 0.13, f"grad = {node.grad:.6g}", color=BACKWARD, **text)
