"""How far a run's numbers can be trusted, in words: from its params and metrics alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from ..fit.criterion import ENOUGH
from ..spelling import FIRST_LOSS, best_is, parameters


def with_uncertainty(value: float, u: float) -> str:
    """The uncertainty in two digits, and the value to the same place.

    >>> with_uncertainty(0.536771920907544, 0.0355386003267085), with_uncertainty(-17.3047855, 1.92722726)
    ('0.537 ± 0.036', '-17.3 ± 1.9')
    >>> with_uncertainty(1234567, 9960), with_uncertainty(3.25e-7, 1.5e-9)
    ('1235000 ± 10000', '3.250e-07 ± 1.5e-09')
    """
    place = math.floor(math.log10(float(f"{u:.1e}"))) - 1  # of the second digit, rounded up or not
    if place > 0:
        return f"{round(value, -place):.0f} ± {round(u, -place):.0f}"
    if place >= -9 and (abs(value) >= 1e-4 or value == 0):
        return f"{value:.{-place}f} ± {u:.{-place}f}"
    digits = max(0, math.floor(math.log10(abs(value) or u)) - place)
    return f"{value:.{digits}e} ± {u:.1e}"


def parameters_found(params: Mapping[str, str], metrics: Mapping[str, float]) -> str:
    """`w = 0.537 ± 0.036, b = -17.3 ± 1.9`, in raw units or else said of which input, and what `±` is.

    Empty without uncertainties.
    """
    names = parameters(params)
    if not names or not all(f"se_{name}" in metrics for name in names):
        return ""
    is_raw = all(name in metrics for name in names)
    kind = "" if is_raw else "trained_"
    found = ((name, metrics.get(f"{kind}{name}"), metrics[f"se_{name}"]) for name in names)
    told = [
        f"{name} = {with_uncertainty(value, u)}" for name, value, u in found if value is not None and u > 0
    ]
    how = "" if params.get("loss", FIRST_LOSS) == FIRST_LOSS else "approximate "
    of = "" if is_raw else f"; of the input as normalized by {params['normalization']}"
    return f"{', '.join(told)} ({how}standard uncertainties{of})"


def quality(metrics: Mapping[str, float], unit: str) -> str:
    """What the fit leaves: `standard deviation 1.9 °C, largest 2.7; …`; empty where it is not on record."""
    return "; ".join(_qualities(metrics, f" {unit}".rstrip()))


def _qualities(metrics: Mapping[str, float], unit: str) -> Iterator[str]:
    if "residual_sd" not in metrics:
        return
    sd, largest = two_digits(metrics["residual_sd"]), two_digits(metrics["max_residual"])
    yield f"standard deviation {sd}{unit}, largest {largest}"
    for key in ("loo_rmse", "loo_loss"):
        if key in metrics:
            kind = "leave-one-out error" if key == "loo_rmse" else "leave-one-out loss"
            yield f"{kind} {two_digits(metrics[key])}"
    if "r2" in metrics:
        yield f"R² {_near_one(metrics['r2'])}"
    if "chi_squared_p" in metrics:
        yield f"chi² {metrics['chi_squared']:.3g} (p = {metrics['chi_squared_p']:.2g})"


def two_digits(value: float) -> str:
    """In two digits.

    >>> two_digits(214.1), two_digits(1.8916), two_digits(2e-9)
    ('210', '1.9', '2e-09')
    """
    return f"{float(f'{value:.1e}'):.6g}"


def _near_one(r2: float) -> str:
    """As many digits as tell it from 1.

    >>> _near_one(0.96204584), _near_one(0.9999994381), _near_one(-0.2)
    ('0.962', '0.99999944', '-0.2')
    """
    left = 1 - r2
    return f"{r2:.{1 - math.floor(math.log10(left))}f}" if 0 < left < 0.1 else f"{r2:.2g}"


def trained_enough(metrics: Mapping[str, float], is_converged: bool) -> str:
    """How far a run is from its best fit, beside what the data themselves leave open; empty where unknown."""
    if (error := metrics.get("training_error")) is None:
        return ""
    if is_converged:
        then = "more epochs would gain nothing"
    elif error <= ENOUGH:
        then = "more epochs would gain next to nothing"
    else:
        then = "not trained enough"
    return f"within {error:.2g} standard uncertainties of the best fit: {then}"


def distance(params: Mapping[str, str], metrics: Mapping[str, float]) -> str:
    """From the best fit: in standard uncertainties of its curve, or else by the loss."""
    if "training_error" in metrics:
        return f"within {metrics['training_error']:.2g} standard uncertainties of the {best_is(params)}"
    if "loss_gap" in metrics:
        return f"{metrics['loss_gap']:.3g} above the {best_is(params)}'s"
    return "no single best fit was found"


def held_out(metrics: Mapping[str, float]) -> str:
    """The loss on observations that were held out, beside that of the others; empty where there are none."""
    if "final_validation_loss" not in metrics or "final_loss" not in metrics:
        return ""
    return (
        f"loss {metrics['final_validation_loss']:.4g} on the observations held out, "
        f"{metrics['final_loss']:.4g} on those trained on"
    )
