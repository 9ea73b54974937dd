"""Any differentiable function may stand where the model or the loss stands."""

import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient

from src import compare, predict
from src.fit.trial import try_model
from src.functions import _imported
from tests.conftest import ROOT
from tests.record import is_parent, recorded

Command = Callable[..., int]
Capture = pytest.CaptureFixture[str]

MINE = """
import math
import numpy
import random
import torch

def tanh(t_u, w, b): return w * torch.tanh(t_u / 50) + b
def pinned(t_p, t_c, tau): return torch.maximum(tau * (t_c - t_p), (tau - 1) * (t_c - t_p)).mean(-1)

def pinned_at(t_p, t_c, tau=0.3): return pinned(t_p, t_c, tau)

def band(t_u, w, b): return w * t_u + b
def bent(t_u, w, c, b): return w * torch.tanh(c * t_u) + b
bent.in_raw_units = lambda shift, scale, w, c, b: (w, c * scale, b)
def bent_wrongly(t_u, w, c, b): return bent(t_u, w, c, b)
bent_wrongly.in_raw_units = lambda shift, scale, w, c, b: (w, c + 1, b)

def no_tensor(t_u, w): return 3.0
def one_number(t_u, w): return (w * t_u).sum()
def outer(t_u, w): return torch.outer(t_u, t_u) @ w
def in_place(t_u, w): t_u += 1; return w * t_u
def not_finite(t_u, w): return torch.log(-w * t_u.abs())
def no_parameters(t_u): return t_u
def many(t_u, *params): return t_u
def detached(t_u, w): return w.detach() * t_u
def number(t_u, w): return w.item() * t_u
def branching(t_u, w): return w * t_u if w > 0 else t_u
def by_math(t_u, w): return math.exp(w.detach()) * t_u
def by_numpy(t_u, w): return numpy.exp(w) * t_u
def by_numpy_of_input(t_u, w): return w * torch.from_numpy(numpy.exp(t_u.numpy()))
def fails(t_u, w): raise RuntimeError("no\\nway")
def of_eleven(t_u, w): return w * t_u + torch.full((11,), 0.1)
def centred(t_u, w, b): return w * (t_u - t_u.mean()) + b
def to_largest(t_u, w): return w * t_u / t_u.amax(-1, keepdim=True)
def in_order(t_u, w): return w * t_u.cumsum(-1)
def leaves(t_u, w): raise SystemExit(0)
def leaves_too(t_p, t_c): raise SystemExit(0)
def hidden(t_u, w, b, c): return w * t_u + b + c * (t_u - t_u.mean()) ** 2
def column(t_u, loss): return loss * t_u
def long(t_u, LONG): return LONG * t_u
def idle(t_u, w, b): return w * t_u
def precise(t_u, w): return w.double() * t_u
def asking(t_u, w): return w * t_u.clone().requires_grad_()
def in_steps(t_u, w, b): return t_u * torch.round(w) + b
def mixed(t_u, w): return w * t_u - w.mean(0)
def stateful(t_u, w, _calls=[0]): return w * t_u
def noisy(t_u, w): return w * t_u + 1e-3 * torch.randn_like(t_u)
NUMBER = 3
class Callable:
    def __call__(self, t_u, w): return w * t_u
OBJECT = Callable()

def peaked(t_p, t_c): return 1 - (1 / (1 + (t_p - t_c) ** 2 / 25)).mean(-1)
def peaked_below(t_p, t_c): return peaked(t_p, t_c) - 1
def dice(t_p, t_c): return ((t_p - t_c) ** 2).mean(-1) * (1 + random.random())
def each_reading(t_p, t_c): return (t_p - t_c) ** 2
def all_runs(t_p, t_c): return ((t_p - t_c) ** 2).mean()
def precisely(t_p, t_c): return ((t_p.double() - t_c) ** 2).mean(-1)
def no_slope(t_p, t_c): return ((t_p - t_c) ** 2).mean(-1).detach()
def negative(t_p, t_c): return -((t_p - t_c) ** 2).mean(-1)
def signed(t_p, t_c): return (t_p - t_c).mean(-1)
def of_scatter(t_p, t_c): return (t_p - t_c).var(-1)
def of_logarithms(t_p, t_c): return ((t_p.log() - t_c.log()) ** 2).mean(-1)

def one(t_u): return 0.1
def flat(t_u): return t_u.mean(), 0.0
def unlike(t_u): return t_u, 1.0
def lost(t_u): return t_u.nosuch
def refused(t_u): raise ValueError("of no use")
def huge(t_u): return 0, 10**400
def drawn(t_u): return torch.rand(()), 1.0
def halved(t_u): return t_u.mean(), 1 / t_u.max()
""".replace("LONG", "k" * 241)
BROKEN = {
    # the user's function -> what the answer must say
    "model.function=NAME.no_tensor model.start.w=1": "gives a float, where a tensor is needed",
    "model.function=NAME.one_number model.start.w=1": "gives () of inputs (1, 11)",
    "model.function=NAME.outer model.start.w=1": "fails at its start: RuntimeError: outer",
    "model.function=NAME.in_place model.start.w=1": "changes its input in place",
    "model.function=NAME.not_finite model.start.w=1": "not finite at its start",
    "model.function=NAME.no_parameters": "no parameters besides its input",
    "model.function=NAME.many": "is not a function whose arguments have names: write def many(...)",
    "model.function=NAME.detached model.start.w=1": "is not differentiable",
    "model.function=NAME.number model.start.w=1": "torch.where for if, torch.exp for math.exp",
    "model.function=NAME.branching model.start.w=1": "it is of tensors: use torch.where for if",
    "model.function=NAME.by_math model.start.w=1": "it is of tensors: use torch.where for if",
    "model.function=NAME.by_numpy model.start.w=1": "it is of tensors: use torch.where for if",
    "model.function=NAME.by_numpy_of_input model.start.w=1": "it is of tensors: use torch.where for if",
    "model.function=NAME.of_eleven model.start.w=1": "otherwise beside others than by itself",
    "model.function=NAME.fails model.start.w=1": "RuntimeError: no way",
    "model.function=NAME.leaves model.start.w=1": "fails at its start: SystemExit: 0",
    "loss.function=NAME.leaves_too": "fails: SystemExit: 0",
    "model.function=NAME.column model.start.loss=1": "cannot be called loss",
    f"model.function=NAME.long model.start.{'k' * 241}=1": "MLflow takes letters, digits and _, 240 at most",
    "model.function=NAME.idle model.start.w=1 model.start.b=0": "does not depend on b",
    "model.function=NAME.precise model.start.w=1": "gives float64, where float32 is needed: keep the dtype",
    "model.function=NAME.asking model.start.w=1": "asks for gradients itself",
    "model.function=NAME.in_steps model.start={w:1,b:0}": "changes with w in steps",
    "model.function=NAME.mixed model.start.w=1": "mixes runs",
    "model.function=NAME.bent_wrongly model.start={w:1,c:1,b:0}": "another form in raw units",
    "model.function=NAME.centred model.start={w:1,b:0}": "no mean or largest of all readings",
    "model.function=NAME.hidden model.start={w:1,b:0,c:0}": "no mean or largest of all readings",
    "model.function=NAME.to_largest model.start.w=1": "otherwise beside others than by itself",
    "model.function=NAME.in_order model.start.w=1": "otherwise beside others than by itself",
    "model.function=NAME.stateful": "model.start._calls is missing (its default in Python is not taken)",
    "model.function=NAME.noisy model.start.w=1": ".noisy is random: no run of it could be repeated",
    "loss.function=NAME.dice": ".dice is random: no run of it could be repeated",
    "model.function=NAME.nosuch": "has no nosuch",
    "model.function=NAME.NUMBER": "is not a function",
    "model.function=NAME.OBJECT": "is not a function",
    "model.function=nosuch.f": "No module named 'nosuch'",
    "model.function=my-models.f": "is not an import path: give MODULE.FUNCTION",
    "model.function=./NAME.tanh": "is not an import path: give MODULE.FUNCTION",
    "loss.function=NAME.py:pinned": "is not an import path: give MODULE.FUNCTION",
    "model.function=NAME.tanh model.start.w=1 model.start.b=0 model.start.c=2": "no setting model.start.c",
    "loss.function=NAME.each_reading": "gives (3, 11) of predictions (3, 11)",
    "loss.function=NAME.all_runs": "gives () of predictions (3, 11)",
    "loss.function=NAME.precisely": "where float32 is needed: keep the dtype of the predictions",
    "loss.function=NAME.no_slope": "is not differentiable",
    "loss.function=NAME.negative": "is no larger where predictions are far too low than where they are right",
    "loss.function=NAME.signed": "is no larger where predictions are far too low than where they are right",
    "loss.function=NAME.of_scatter": "is no larger where predictions are far too low than where they are",
    "loss.function=NAME.of_logarithms": "is not finite where predictions are near these targets",
    "normalization.function=NAME.one": "gives a float, where two numbers are needed, the shift and the scale",
    "normalization.function=NAME.flat": "gives the shift 51.8 and the scale 0, where",
    "normalization.function=NAME.unlike": "gives the shift nan and the scale 1, where",
    "normalization.function=NAME.refused": ".refused fails: ValueError: of no use",
    "normalization.function=NAME.huge": "gives the shift 0 and the scale nan",
    "normalization.function=NAME.drawn": ".drawn is random: no run of it could be repeated",
    "normalization.function=NAME.lost": ".lost fails: AttributeError: 'Tensor' object has no",
    "loss.function=torch.nn.MSELoss": "is not a function whose arguments have names: write def MSELoss(...)",
    "loss.function=NAME.pinned": "loss.tau is missing: give a finite number",
}


@pytest.fixture
def mine(empty_folder: Path) -> str:
    """A module of the user's own in the current folder; its name is new, as every process would have it."""
    name = f"mine_{re.sub(r'[^a-z0-9]', '_', empty_folder.name.lower())}"
    (empty_folder / f"{name}.py").write_text(MINE)
    return name


@pytest.mark.parametrize("arguments", BROKEN)
def test_a_broken_function(
    arguments: str, mine: str, command: Command, empty_folder: Path, capfd: Capture
) -> None:
    """One line, exit code 2, and not even a store."""
    assert command(*arguments.replace("NAME", mine).split()) == 2
    said = capfd.readouterr().err
    assert BROKEN[arguments] in said
    assert len(said.splitlines()) == 1
    assert not (empty_folder / "mlflow.db").exists()


def test_a_model_that_takes_few_parameters(t_u: torch.Tensor) -> None:
    """Others than its start are only tried: that it refuses them is its right."""

    def narrow(t_u: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        if w.max() > 1.5:
            raise ValueError("w is at most 1.5")
        return w * t_u

    try_model(narrow, ("w",), "narrow", t_u, torch.ones(1), ())


def predicted(capfd: Capture, *arguments: str) -> pd.DataFrame:
    capfd.readouterr()
    assert predict.command(list(arguments)) == 0
    return pd.read_csv(io.StringIO(capfd.readouterr().out))


@pytest.mark.pictures
def test_a_loss_below_zero(
    folder: Path, mine: str, command: Command, client: MlflowClient, capfd: Capture
) -> None:
    """As a likelihood's logarithm may be: all as under the same loss that is larger by 1."""
    losses = f"loss.function={mine}.peaked,{mine}.peaked_below"
    assert command("-m", losses, "normalization=zscore", "lr=0.5,1,1e4", "epochs=1000", "dtype=float64") == 0
    found: dict[str, list[tuple[str, str]]] = {}
    for run in recorded(client):
        if not is_parent(run):
            gap = f"{run.data.metrics.get('loss_gap', -1):.6f}"
            found.setdefault(run.data.params["loss"], []).append((run.data.tags["outcome"], gap))
    assert sorted(found[f"{mine}.peaked"]) == sorted(found[f"{mine}.peaked_below"])
    assert found[f"{mine}.peaked"].count(("converged", "0.000000")) == 2
    assert command(f"loss.function={mine}.peaked_below", "normalization=zscore", "lr=0.5") == 0
    assert "outcome      converged" in capfd.readouterr().out
    assert (
        compare.command(["--filter", f"loss = '{mine}.peaked_below'", "--page", str(folder / "below")]) == 0
    )
    drawn = {file.name for file in (folder / "below").glob("*.png")}
    assert drawn == {"fits.png", "graph.png", "loss_gap.png"}, "a logarithmic axis has no place for its curve"


def test_a_model_called_like_something_of_ours(
    folder: Path, mine: str, command: Command, capfd: Capture
) -> None:
    """What is logged beside it to predict with has a function `band`, too."""
    del folder
    own = [f"model.function={mine}.band", "model.start.w=1", "model.start.b=0"]
    assert command(*own, "normalization=zscore", "lr=0.1", "epochs=200") == 0
    [model] = set(re.findall(r"models:/m-\w+", capfd.readouterr().out))
    assert predicted(capfd, model, "35.7").t_c[0] == pytest.approx(1.858, abs=1e-3)


def test_a_model_of_ones_own_under_four_normalizations(
    folder: Path, mine: str, command: Command, client: MlflowClient, capfd: Capture
) -> None:
    """Each run's gap is to the best fit of its own normalization; numpy gives that of the raw input.

    On the raw input it is a straight line over tanh(t_u / 50).
    """
    del folder
    own = [f"model.function={mine}.tanh", "model.start.w=1", "model.start.b=0", "dtype=float64"]
    assert command("-m", *own, "normalization=none,scale,zscore,minmax", "lr=0.1", "epochs=5000") == 0
    runs = {run.data.params["normalization"]: run for run in recorded(client) if not is_parent(run)}
    data = pd.read_csv(ROOT / "data" / "thermometer.csv")
    line, squares, *_ = np.polyfit(np.tanh(data.t_u / 50), data.t_c, 1, full=True)
    metrics = runs["none"].data.metrics
    assert [metrics["best_w"], metrics["best_b"]] == pytest.approx(list(line), rel=1e-9)
    assert metrics["best_loss"] == pytest.approx(squares[0] / 11, rel=1e-12)
    assert metrics["final_loss"] - metrics["loss_gap"] == pytest.approx(squares[0] / 11, rel=1e-12)
    assert len({round(run.data.metrics["best_loss"], 6) for run in runs.values()}) == 4
    assert all(run.data.metrics["loss_gap"] >= 0 for run in runs.values())
    assert "w" in metrics
    assert "w" not in runs["scale"].data.metrics, "in raw units it has none"

    found = predicted(capfd, "best", "35.7", "55.9")
    assert list(found.t_c) == pytest.approx(np.polyval(line, np.tanh(np.array([35.7, 55.9]) / 50)), abs=1e-3)
    back = predicted(capfd, "best", "--inverse", str(found.t_c[0]))
    assert back.t_u[0] == pytest.approx(35.7, rel=1e-8)


def test_a_normalization_of_ones_own(folder: Path, mine: str, command: Command, client: MlflowClient) -> None:
    """What it gives may be tensors; the straight line is numpy's, in raw units."""
    del folder
    assert command(f"normalization.function={mine}.halved", "lr=0.5", "epochs=5000", "dtype=float64") == 0
    [run] = recorded(client)
    data = pd.read_csv(ROOT / "data" / "thermometer.csv")
    assert run.data.params["normalization_scale"] == str(1 / 81.9)
    found = [run.data.metrics[name] for name in ("w", "b")]
    assert found == pytest.approx(np.polyfit(data.t_u, data.t_c, 1), rel=1e-6)


def test_a_model_that_was_changed_since(
    folder: Path, mine: str, command: Command, client: MlflowClient, capfd: Capture
) -> None:
    """A run's parameters say nothing of another function; the model that was logged has the one of then."""
    options = ["model.function=NAME.tanh", "model.start={w:1,b:0}", "register=tanh", "epochs=5"]
    assert command(*[each.replace("NAME", mine) for each in options]) == 0
    before = predicted(capfd, "best", "35.7").t_c[0]
    (folder / f"{mine}.py").write_text(MINE.replace("t_u / 50", "t_u / 40"))
    sys.modules.pop(mine)
    _imported.cache_clear()
    [run] = recorded(client)
    for which in ("best", run.info.run_id):
        assert predict.command([which, "35.7"]) == 2
        assert f"the code of {mine}.tanh was changed since" in capfd.readouterr().err
    assert compare.command([run.info.run_id, "--page", "page"]) == 0
    assert {path.name for path in Path("page").iterdir()} >= {"note.md", "runs.csv"}
    assert "Not drawn: fits and graph; run" in Path("page", "note.md").read_text()
    code = json.loads(run.data.tags["code"]) | {"python": "3.10"}  # whose hashes are others
    client.set_tag(run.info.run_id, "code", json.dumps(code))
    assert predict.command(["best", "35.7"]) == 0
    sys.modules.pop(mine)  # another process
    assert predicted(capfd, "models:/tanh/1", "35.7").t_c[0] == before


def test_an_exponential(folder: Path, command: Command, client: MlflowClient, capfd: Capture) -> None:
    """Made of `2 * exp(1.5 * x) - 1` on readings that minmax brings to 0 to 1: known by construction.

    Of the raw reading that is `2 * exp(-0.75) * exp(0.075 * t_u) - 1`.
    """
    readings = np.linspace(10, 30, 12)
    truths = 2 * np.exp(1.5 * (readings - 10) / 20) - 1 + 0.1 * (-1) ** np.arange(12)
    pd.DataFrame({"t_u": readings, "t_c": truths}).to_csv(folder / "grown.csv", index=False)
    swept = ["model=exponential", "model.start.k=1", "normalization=minmax", "lr=0.03,0.02", "epochs=40000"]
    assert command("-m", *swept, "data.path=grown.csv", "dtype=float64") == 0
    said, header, *_ = capfd.readouterr().out.split("\n")
    assert said.split() == ["data", "grown.csv:", "12", "observations"]
    assert header.split()[-4:] == ["a", "k", "b", "outcome"]
    runs = [run for run in recorded(client) if not is_parent(run)]
    best = min(runs, key=lambda run: run.data.metrics["loss_gap"])
    assert best.data.tags["outcome"] == "converged"
    found = [best.data.metrics[f"trained_{name}"] for name in "akb"]
    assert found == pytest.approx([2, 1.5, -1], rel=0.2)
    raw = [best.data.metrics[name] for name in "akb"]
    assert raw == pytest.approx([found[0] * np.exp(-found[1] / 2), found[1] / 20, found[2]], rel=1e-12)
    assert raw == pytest.approx([best.data.metrics[f"best_{name}"] for name in "akb"], rel=1e-2)
    assert predicted(capfd, "best", "20").t_c[0] == pytest.approx(2 * np.exp(0.75) - 1, abs=0.1)


@pytest.mark.slow
def test_parameters_in_raw_units(mine: str, command: Command, client: MlflowClient) -> None:
    """What a model brings for them is taken where both forms predict the same: not beside a shift, here."""
    own = [f"model.function={mine}.bent", "model.start.w=20", "model.start.c=0.1", "model.start.b=0"]
    assert command("-m", *own, "normalization=scale,zscore", "lr=1e-3", "epochs=20") == 0
    runs = {
        run.data.params["normalization"]: run.data.metrics for run in recorded(client) if not is_parent(run)
    }
    assert runs["scale"]["c"] == pytest.approx(0.1 * runs["scale"]["trained_c"], rel=1e-6)
    assert runs["scale"]["b"] == runs["scale"]["trained_b"]
    assert runs["zscore"].keys() >= {"trained_c", "best_c"}
    assert "c" not in runs["zscore"]


def test_best_fits_agree_in_raw_units(folder: Path, command: Command, client: MlflowClient) -> None:
    """An exponential of any affine input is one of the raw input: four searches, one curve."""
    readings = np.linspace(10, 30, 12)
    truths = 2 * np.exp(0.07 * readings) + 0.1 * (-1) ** np.arange(12)
    pd.DataFrame({"t_u": readings, "t_c": truths}).to_csv(folder / "grown.csv", index=False)
    swept = ["model=exponential", "normalization=none,scale,minmax,zscore", "lr=1e-4", "epochs=1"]
    assert command("-m", *swept, "data.path=grown.csv", "dtype=float64") == 0
    found = [run.data.metrics for run in recorded(client) if not is_parent(run)]
    for name in ("best_a", "best_k", "best_b", "best_loss"):
        assert [run[name] for run in found] == pytest.approx([found[0][name]] * 4, rel=1e-8)


@pytest.mark.parametrize(("loss", "best"), [("huber", 1.09720496291406), ("log_cosh", 0.979666194676456),
                                            ("mae", 1.52800153433065)])  # fmt: skip
def test_a_loss(loss: str, best: float, command: Command, client: MlflowClient, capfd: Capture) -> None:
    """Best losses by mpmath at 100 digits, of the thermometer's line."""
    assert command(f"loss={loss}", "normalization=zscore", "lr=0.1", "epochs=3000", "dtype=float64") == 0
    [run] = [run for run in recorded(client) if not is_parent(run)]
    assert run.data.params["loss"] == loss
    assert run.data.metrics["best_loss"] == pytest.approx(best, rel=1e-13)
    assert run.data.metrics["final_loss"] - run.data.metrics["loss_gap"] == pytest.approx(best, rel=1e-12)
    assert run.data.tags["outcome"] == "converged"
    assert ("lr_over_limit" in run.data.metrics) == (loss != "mae"), "absolute errors have no curvature"
    said = capfd.readouterr().out
    assert "best fit " in said
    assert ("has no curvature at the best fit" in said) == (loss == "mae")


def test_a_loss_of_ones_own(
    mine: str, folder: Path, command: Command, client: MlflowClient, capfd: Capture
) -> None:
    """The 0.3 quantile: where the search does not settle nothing is said of a gap, and the loss ranks."""
    del folder
    own = [f"loss.function={mine}.pinned", "loss.tau=0.3", "normalization=zscore", "epochs=500"]
    assert command("-m", *own, "lr=1e-3,1e-1,1e-2") == 0
    rows = [line.split() for line in capfd.readouterr().out.splitlines()[2:5]]
    assert [row[1] for row in rows] == ["0.1", "0.01", "0.001"]
    runs = {run.data.params["lr"]: run for run in recorded(client) if not is_parent(run)}
    for run in runs.values():
        assert (run.data.params["loss"], run.data.params["loss_tau"]) == (f"{mine}.pinned", "0.3")
        assert "loss_gap" not in run.data.metrics
        assert f"loss.function={mine}.pinned loss.tau=0.3" in run.data.tags["overrides"]
    expected = runs["0.1"].data.metrics["w"] * 50 + runs["0.1"].data.metrics["b"]
    assert predicted(capfd, "best", "50").t_c[0] == pytest.approx(expected, rel=1e-9)


def test_an_option_by_its_default(mine: str, command: Command, client: MlflowClient) -> None:
    """A loss's own 0.3 is taken, put on record, and gives way to what is asked for."""
    for how in (["pinned_at"], ["pinned", "loss.tau=0.3"], ["pinned_at", "loss.tau=0.5"]):
        assert command(f"loss.function={mine}.{how[0]}", *how[1:], "epochs=5") == 0
    last, explicit, first = recorded(client)
    found = [run.data.params["loss_tau"] for run in (first, explicit, last)]
    assert found == ["0.3", "0.3", "0.5"]
    losses = [run.data.metrics["final_loss"] for run in (first, explicit, last)]
    assert losses[0] == losses[1] != losses[2]


def test_a_parabola_over_unix_seconds(
    folder: Path, command: Command, client: MlflowClient, capfd: Capture
) -> None:
    """Coefficients of the raw reading would lose all digits: none are on record; what predicts is as trained.

    Expected: numpy's polyfit about the middle.
    """
    seconds = 1.7e9 + np.linspace(0, 15, 8)
    truths = 1 + 0.02 * (seconds - 1.7e9) ** 2 + 0.1 * np.sin(seconds - 1.7e9)
    pd.DataFrame({"t_u": seconds, "t_c": truths}).to_csv(folder / "drift.csv", index=False)
    fit = ["model=quadratic", "normalization=minmax", "dtype=float64", "lr=auto", "epochs=10000"]
    assert command(*fit, "data.path=drift.csv") == 0
    [run] = [run for run in recorded(client) if not is_parent(run)]
    about = seconds.mean()
    curve, squares, *_ = np.polyfit(seconds - about, truths, 2, full=True)
    assert run.data.tags["outcome"] == "converged"
    assert run.data.metrics["best_loss"] == pytest.approx(squares[0] / 8, rel=1e-9)
    assert not {"w2", "w1", "b"} & run.data.metrics.keys()
    found = predicted(capfd, "best", "1700000004", "1700000007.5")
    expected = np.polyval(curve, np.array([1700000004, 1700000007.5]) - about)
    assert list(found.t_c) == pytest.approx(list(expected), abs=1e-5)
