"""What it takes to add a function: a scratch copy of the project gets it, and every command serves it."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import ROOT
from tests.test_serve import Server, serve  # noqa: F401 - a fixture

pytestmark = pytest.mark.slow

NORMALIZATION = '''def robust(t_u: "Tensor", quantile: Factor) -> Affine:
    """The median to 0, and the distance between two quantiles to 1."""
    low, high = t_u.quantile(quantile), t_u.quantile(1 - quantile)
    return _spread(t_u, "robust", shift=t_u.median(), spread=high - low)


'''
METRIC = '''def max_residual(result: Result) -> float | None:
    """The largest distance of a reading's prediction from its true value."""
    if not result.raw:
        return None
    problem = result.run.problem
    return float((problem.model(problem.t_u, *result.raw.values()) - problem.t_c).abs().max())


'''
LOSS = '''def fourth(t_p: "Tensor", t_c: "Tensor", unit: Positive) -> "Tensor":
    """The mean of the fourth powers, in units of `unit`."""
    return ((_differences(t_p, t_c) / unit) ** 4).mean(dim=-1)


'''
CURVE = '''def settling(t_u: Tensor, top: Tensor, rate: Tensor) -> Tensor:
    """What settles at `top`."""
    return top * (1 - exp(-rate * t_u))


'''
MODEL = '''def cubic(t_u: Tensor, w3: Tensor, w2: Tensor, w1: Tensor, b: Tensor) -> Tensor:
    """A polynomial of the third degree."""
    return w3 * t_u**3 + w2 * t_u**2 + w1 * t_u + b


'''
FIGURE = '''"""Outcomes, counted."""

from collections import Counter

from matplotlib.figure import Figure

from ..comparison import Comparison


def draw(comparison: Comparison) -> Figure | None:
    """A bar for each outcome."""
    figure = Figure()
    counts = Counter(run.outcome for run in comparison.runs)
    figure.subplots().bar(list(counts), list(counts.values()))
    return figure
'''
# what is added -> the files that it takes, each with what is put before a line of it, or whole
ADDED = {
    "normalization": {
        "src/normalization.py": ("def _spread", NORMALIZATION),
        "conf/normalization/robust.yaml": "# Call: normalization=robust\nname: robust\nquantile: 0.25\n",
    },
    "metric": {"src/fit/metrics.py": ("METRICS =", METRIC)},
    "figure": {"src/report/figures/outcomes.py": FIGURE},
    "model": {
        "src/models.py": ("MODELS:", MODEL),
        "conf/model/cubic.yaml": "# Call: model=cubic\nname: cubic\nstart: {w3: 0, w2: 0, w1: 1, b: 0}\n",
    },
    "curve": {
        "src/models.py": ("MODELS:", CURVE),
        "conf/model/settling.yaml": "# Call: model=settling\nname: settling\nstart: {top: 1, rate: 1}\n",
    },
    "loss": {
        "src/losses.py": ("def _differences", LOSS),
        "conf/loss/fourth.yaml": "# Call: loss=fourth\nname: fourth\nunit: 1.0\n",
    },
}
# a model, a loss or a normalization: its function and its file in conf; a metric or a figure: one file
COST = {"normalization": 2, "metric": 1, "figure": 1, "model": 2, "curve": 2, "loss": 2}

# one process for all commands: most of what each would take for itself is to import torch and MLflow
RUNS = """
import io, json, os, sys
from contextlib import redirect_stdout
from importlib import import_module

copy = sys.argv[1]
sys.path.insert(0, copy)
for line in sys.stdin:
    folder, name, *arguments = json.loads(line)
    os.chdir(folder)
    sys.argv = [f"src/{name}.py", *arguments]
    module = import_module(f"src.{name}")
    assert module.__file__.startswith(copy)
    with redirect_stdout(io.StringIO()) as printed:
        code = module.command()
    print(json.dumps([code, printed.getvalue()]), flush=True)
"""

Run = Callable[..., str]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """A process that runs commands of the project with all of that added."""
    copy = tmp_path_factory.mktemp("project")
    files = subprocess.run(
        ["git", "ls-files", "src", "conf", "hydra_plugins"], cwd=ROOT, capture_output=True, text=True
    )
    for name in files.stdout.split():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((ROOT / name).read_bytes())
    for changes in ADDED.values():
        for name, change in changes.items():
            text = change
            if isinstance(change, tuple):
                whole = (copy / name).read_text()
                assert change[0] in whole
                text = whole.replace(change[0], change[1] + change[0], 1)
            (copy / name).write_text(str(text))
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    with subprocess.Popen(
        [sys.executable, "-c", RUNS, str(copy)],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        yield process


@pytest.fixture
def run(project: subprocess.Popen[str], folder: Path) -> Run:
    """A command of that project in the test's folder: what it prints."""

    def command(name: str, *args: str) -> str:
        assert project.stdin
        assert project.stdout
        print(json.dumps([str(folder), name, *args]), file=project.stdin, flush=True)
        code, printed = json.loads(project.stdout.readline())
        assert code == 0
        return str(printed)

    return command


def test_each_takes_as_few_files_as_it_should() -> None:
    assert {what: len(files) for what, files in ADDED.items()} == COST


def test_a_normalization_with_an_option_a_metric_and_a_figure(run: Run, folder: Path) -> None:
    """Expected: numpy's least squares on the chapter's data, to which float64 descent converges."""
    data = pd.read_csv(folder / "data" / "thermometer.csv")
    line = np.polyfit(data.t_u, data.t_c, 1)
    swept = ["normalization=robust", "normalization.quantile=0.25,0.1", "lr=0.1,0.2", "epochs=2000"]
    table = run("train", "-m", *swept, "dtype=float64", "register=robust")
    assert table.splitlines()[1].split() == ["#", "lr", "epochs", "normalization", "normalization_quantile",
                                             "loss", "loss_gap", "w", "b", "outcome"]  # fmt: skip

    runs = json.loads(run("compare", "--sort", "max_residual", "--format", "json", "--page", "page"))
    assert len(runs) == 4
    assert {each["params"]["normalization_quantile"] for each in runs} == {"0.25", "0.1"}
    largest = np.abs(np.polyval(line, data.t_u) - data.t_c).max()
    assert [each["metrics"]["max_residual"] for each in runs] == pytest.approx([largest] * 4, rel=1e-6)
    assert {path.name for path in (folder / "page").iterdir()} > {"outcomes.png", "fits.png", "loss_gap.png"}

    predicted = run("predict", "best", "35.7", "90")
    found = pd.read_csv(io.StringIO(predicted))
    assert list(found.t_c) == pytest.approx(np.polyval(line, [35.7, 90]), rel=1e-6)
    assert run("predict", "models:/robust/1", "35.7", "90") == predicted


def test_a_model(run: Run, folder: Path) -> None:
    """Expected: numpy.polyfit; the inverse of a prediction is its reading."""
    readings = np.linspace(0, 2, 9)
    truths = 0.5 * readings**3 - 0.2 * readings**2 + 2 * readings + 1
    pd.DataFrame({"t_u": readings, "t_c": truths}).to_csv(folder / "mine.csv", index=False)
    swept = ["normalization=zscore", "lr=0.1,0.15", "epochs=20000", "dtype=float64", "data.path=mine.csv"]
    run("train", "-m", "model=cubic", *swept)
    found = pd.read_csv(io.StringIO(run("predict", "best", "0.7")))
    assert found.t_c[0] == pytest.approx(0.5 * 0.7**3 - 0.2 * 0.7**2 + 2 * 0.7 + 1, abs=1e-4)
    back = pd.read_csv(io.StringIO(run("predict", "best", "--inverse", str(found.t_c[0]))))
    assert back.t_u[0] == pytest.approx(0.7, abs=1e-6)


def test_a_curve_and_a_loss(run: Run, folder: Path, serve: Callable[[str], Server]) -> None:  # noqa: F811
    """Exact by construction, so that any loss is least at 3 and 0.7."""
    readings = np.linspace(0.5, 4, 9)
    truths = 3 * (1 - np.exp(-0.7 * readings)) + 0.05 * (-1) ** np.arange(9)
    pd.DataFrame({"t_u": readings, "t_c": truths}).to_csv(folder / "mine.csv", index=False)
    swept = ["model=settling", "normalization=none", "data.path=mine.csv", "dtype=float64", "register=curve"]
    table = run("train", "-m", *swept, "loss=fourth", "loss.unit=1,0.5", "lr=0.1,1", "epochs=20000")
    assert {"loss_delta", "loss_unit"} & set(table.splitlines()[1].split()) == {"loss_unit"}
    runs = json.loads(run("compare", "--format", "json", "--page", "page"))
    assert {each["params"]["loss"] for each in runs} == {"fourth"}
    best = runs[0]["metrics"]
    assert [best["top"], best["rate"]] == pytest.approx([3, 0.7], rel=0.1)
    assert best["loss_gap"] == pytest.approx(best["final_loss"] - best["best_loss"], abs=1e-12)
    assert {path.name for path in (folder / "page").iterdir()} > {"fits.png", "loss_gap.png", "graph.png"}
    found = pd.read_csv(io.StringIO(run("predict", "best", "1.5")))
    assert found.t_c[0] == pytest.approx(best["top"] * (1 - np.exp(-best["rate"] * 1.5)), rel=1e-9)
    back = pd.read_csv(io.StringIO(run("predict", "best", "--inverse", str(found.t_c[0]))))
    assert back.t_u[0] == pytest.approx(1.5, rel=1e-8)
    reply = serve("models:/curve/1").post(json.dumps({"dataframe_records": [{"t_u": 1.5}]}))
    assert reply.content["predictions"][0]["t_c"] == pytest.approx(found.t_c[0], rel=1e-9)
