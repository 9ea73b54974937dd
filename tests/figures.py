"""Trained runs as figures get them, and what is found in what is drawn."""

import io
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from src.data import load
from src.fit.plan import Preparation, Problem
from src.fit.training import calibrate
from src.report.comparison import Curve
from src.report.figures.fits import fits
from src.report.figures.loss_curves import loss_curves
from src.report.figures.loss_gap import loss_gap_map
from src.settings import Settings
from src.tracking.ranking import ranked
from src.tracking.record import TrackedRun
from src.tracking.recording import Call, of_result
from tests.conftest import ROOT

NORMALIZATIONS = {
    "none": {"name": "none"},
    "scale": {"name": "scale", "factor": 0.1},
    "zscore": {"name": "zscore"},
}
THERMOMETER = {
    "path": str(ROOT / "data" / "thermometer.csv"),
    "input": "t_u",
    "target": "t_c",
    "units": {"t_c": "°C"},
}
LINE = {"name": "linear", "start": {"w": 1, "b": 0}}
PARABOLA = {"name": "quadratic", "start": {"w2": 1, "w1": 1, "b": 0}}
README = [(lr, name, epochs) for lr in (1e-2, 1e-3) for name in NORMALIZATIONS for epochs in (500, 5000)]


@dataclass(frozen=True)
class Sweep:
    """Trained runs as a store would give them back, best first."""

    runs: list[TrackedRun]
    curves: dict[str, Curve]
    problem: Problem

    def figures(self) -> list[Figure]:
        return [
            loss_curves(self.runs, self.curves),
            fits(self.runs, self.problem.pairs),
            loss_gap_map(self.runs),
        ]


def train(*choices: tuple[float, str, int], **others: object) -> Sweep:
    """Runs of (lr, normalization, epochs); `others` replace settings of all."""
    bench = Preparation(load)
    common = {
        "dtype": "float32",
        "device": "cpu",
        "data": THERMOMETER,
        "model": LINE,
        "tracking": {"experiment": "figures"},
    }
    settings = [
        {**common, "lr": lr, "normalization": NORMALIZATIONS[name], "epochs": epochs, **others}
        for lr, name, epochs in choices
    ]
    ready = [bench.prepare(Settings.model_validate(each)) for each in settings]
    runs, curves = [], {}
    for place, calibration in enumerate(calibrate(ready)):
        record, run_id = of_result(calibration, Call(0, 0)), f"{place:032x}"
        metrics = {**record.metrics, "loss": calibration.losses[-1]}
        runs.append(TrackedRun(run_id, record.name, record.status, record.params, metrics, record.tags))
        curves[run_id] = calibration.epochs, calibration.losses
    return Sweep(ranked(runs), curves, ready[0].problem)


def readme() -> Sweep:
    """The twelve runs of the README's sweep, four of them diverged."""
    return train(*README)


def many(readme: Sweep) -> Sweep:
    """Ten thousand runs: copies of four, a little apart; half of them usable."""
    kinds = [readme.runs[place] for place in (1, 5, 7, 10)]
    runs, curves = [], {}
    for place in range(10_000):
        kind, rate = kinds[place % 4], 1e-4 * 1.001 ** (place // 4)
        metrics = {key: value * rate if key == "loss_gap" else value for key, value in kind.metrics.items()}
        run_id = f"{place:032x}"
        params = {**kind.params, "lr": repr(rate)}
        runs.append(replace(kind, run_id=run_id, name=f"run {place}", params=params, metrics=metrics))
        curves[run_id] = readme.curves[kind.run_id]
    return Sweep(ranked(runs), curves, readme.problem)


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def legend(figure: Figure) -> list[str]:
    return [" ".join(text.get_text().split()) for box in figure.legends for text in box.get_texts()]


def caption(figure: Figure) -> str:
    return " ".join(figure.get_supxlabel().split())


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def with_marker(axes: Axes, marker: str) -> list[Line2D]:
    return [line for line in axes.lines if line.get_marker() == marker]
