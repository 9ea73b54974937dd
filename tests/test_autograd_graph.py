"""The autograd graph is the real one: of the chapter's numbers, and of models with other shapes."""

import pytest
import torch
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from torch import Tensor

from src.fit.graph import Graph, Node, trace
from src.functions import parameter_names
from src.models import MODELS, linear, quadratic
from src.report.figures.graph import autograd_graphs
from tests.figures import texts

START = {"w": 1.0, "b": 0.0}


def named(graph: Graph, kind: str) -> dict[str, Node]:
    return {node.name: node for node in graph.nodes if node.kind == kind}


def operations(graph: Graph) -> list[str]:
    return [node.name for node in graph.nodes if node.kind == "operation"]


def test_the_chapters_gradients_arrive_at_its_leaves(t_u: Tensor, t_c: Tensor) -> None:
    """At [1, 0] on the raw input: `[4517.2969, 82.6000]`, the chapter's."""
    leaves = named(trace(linear, t_u, t_c, START), "parameter")
    assert [(leaf.name, leaf.value) for leaf in leaves.values()] == [("w", 1.0), ("b", 0.0)]
    assert leaves["w"].grad == pytest.approx(4517.2969, abs=1e-3)
    assert leaves["b"].grad == pytest.approx(82.6, abs=1e-4)


def test_operations_stand_in_the_order_of_the_forward_pass(t_u: Tensor, t_c: Tensor) -> None:
    """`w * t_u + b`, then the mean of the squared differences."""
    graph = trace(linear, t_u, t_c, START)
    assert operations(graph) == ["mul", "add", "sub", "pow", "mean"]
    assert [node.depth for node in graph.nodes if node.kind == "operation"] == [1, 2, 3, 4, 5]
    assert graph.nodes[-1].kind == "loss"
    assert graph.nodes[-1].value == pytest.approx(float(((t_u - t_c) ** 2).mean()))


def test_the_quadratic_has_its_own_graph_and_gradients(t_u: Tensor, t_c: Tensor) -> None:
    """Expected: `2/N sum((t_p - t_c) * x)` for each parameter's own x, by hand."""
    t_un = 0.1 * t_u
    graph = trace(quadratic, t_un, t_c, {"w2": 0.5, "w1": 1.0, "b": 2.0})
    assert operations(graph) == ["mul", "mul", "add", "add", "sub", "pow", "mean"]
    assert set(named(graph, "data")) == {"t_un**2", "t_un", "t_c"}
    error = 2 / 11 * (0.5 * t_un**2 + t_un + 2 - t_c)
    expected = {"w2": (error * t_un**2).sum(), "w1": (error * t_un).sum(), "b": error.sum()}
    leaves = named(graph, "parameter")
    assert {name: leaf.grad for name, leaf in leaves.items()} == pytest.approx(
        {name: float(grad) for name, grad in expected.items()}, rel=1e-5
    )


@pytest.mark.parametrize("model", MODELS)
def test_gradients_go_back_to_every_parameter_and_to_no_data(model: str, t_u: Tensor, t_c: Tensor) -> None:
    graph = trace(MODELS[model], t_u, t_c, dict.fromkeys(parameter_names(MODELS[model]), 1.0))
    reached = {len(graph.nodes) - 1}
    for end, begin in reversed(graph.gradient_edges):  # the last edge is the loss's own
        assert end in reached
        reached.add(begin)
    assert {graph.nodes[place].name for place in reached if graph.nodes[place].depth == 0} == set(
        named(graph, "parameter")
    )
    data = {place for place, node in enumerate(graph.nodes) if node.kind == "data"}
    assert data <= {begin for begin, _ in graph.edges}
    assert all(node.grad is None for node in graph.nodes if node.kind == "data")


def test_data_is_called_what_the_caller_calls_it(t_u: Tensor, t_c: Tensor) -> None:
    graph = trace(quadratic, t_u, t_c, {"w2": 0, "w1": 1, "b": 0}, names=("volt", "kelvin"))
    assert set(named(graph, "data")) == {"volt**2", "volt", "kelvin"}


def test_a_leaf_that_is_used_twice_is_one_leaf_and_a_number_is_none(t_u: Tensor, t_c: Tensor) -> None:
    def twice(t_u: Tensor, w: Tensor) -> Tensor:
        return 3 * w * torch.sin(t_u) + w

    graph = trace(twice, t_u, t_c, {"w": 1.0})
    leaves = [node.name for node in graph.nodes if node.depth == 0]
    assert leaves == ["w", "sin(t_un)", "t_c"]
    assert sum(begin == 0 for begin, _ in graph.edges) == 2


def test_targets_are_taken_in_the_inputs_dtype(t_u: Tensor, t_c: Tensor) -> None:
    """As in the training loop; a conversion would be an operation more."""
    assert trace(linear, t_u, t_c.double(), START) == trace(linear, t_u, t_c, START)


def test_a_parameter_without_a_value_is_named(t_u: Tensor, t_c: Tensor) -> None:
    with pytest.raises(KeyError, match="b"):
        trace(linear, t_u, t_c, {"w": 1.0})


@pytest.mark.pictures
@pytest.mark.parametrize("model", MODELS)
def test_the_graphs_boxes_do_not_overlap(model: str, t_u: Tensor, t_c: Tensor) -> None:
    graph = trace(MODELS[model], t_u, t_c, dict.fromkeys(parameter_names(MODELS[model]), 1))
    figure = autograd_graphs({model: graph})
    figure.draw_without_rendering()
    boxes = [
        patch.get_window_extent() for patch in figure.axes[0].patches if isinstance(patch, FancyBboxPatch)
    ]
    assert len(boxes) == len(graph.nodes)
    assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place])
    inside = [
        box for text in figure.axes[0].texts for box in boxes if box.contains(*text.get_window_extent().p0)
    ]
    assert len(inside) == len(figure.axes[0].texts)


@pytest.mark.pictures
def test_the_graph_shows_values_and_gradients_and_both_ways(t_u: Tensor, t_c: Tensor) -> None:
    """The chapter's gradient at [1, 0]; nine arrows, and all but those from data have one back."""
    axes = autograd_graphs({"linear": trace(linear, t_u, t_c, {"w": 1, "b": 0})}).axes[0]
    assert {"w = 1", "grad = 4517.3", "b = 0", "grad = 82.6", "loss = 1763.88"} <= set(texts(axes))
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    dashed = [arrow for arrow in arrows if arrow.get_linestyle() not in ("-", "solid")]
    assert (len(arrows) - len(dashed), len(dashed)) == (9, 7)
