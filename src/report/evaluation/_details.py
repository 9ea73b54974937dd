"""What a calibration report rests on: observations, parameters, budget, tests, and where it is from."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator

import numpy as np
import pandas as pd

from ...package import command
from ...settings import AboutSettings
from ...spelling import SIGMA
from ...tracking.record import ABOUT
from ...tracking.trust import distance, with_uncertainty
from ..observations import frame_of, is_tested
from ._evaluation import Component, Evaluation
from ._html import decimals, in_two, paragraph, section, table

MOST_ROWS = 500  # beyond that a page is no page
WHOLE = 20  # rows that stand in one column
INFLUENCE = {"leverage": "h", "studentized_external": "t", "cook": "Cook"}
INFLUENCE_IS = "h: leverage; t: externally studentized residual; Cook: Cook's distance."
NOT_INCLUDED = (
    "Not included: resolution, drift, temperature, hysteresis, and what the reference values share unless "
    "given. Readings are taken as exact: scatter in them counts as scatter of the reference values."
)


def observations(evaluation: Evaluation) -> str:
    """Each as given, with its line in the file, what the calibration makes of it, and what is left."""
    if evaluation.pairs is None:
        return section("Observations", paragraph("Neither on record nor in their file any more."))
    frame = frame_of(evaluation.run, evaluation.pairs)
    input, target = frame.columns[1:3]
    unit_of_input, unit = evaluation.calibration.units
    shown = frame.head(MOST_ROWS)
    columns = {
        "line": shown["line"].astype(str),
        _head(input, unit_of_input): shown[input].map("{:.10g}".format),
        _head(target, unit): shown[target].map("{:.10g}".format),
    }
    if evaluation.pairs.sigma is not None:
        columns["sigma"] = pd.Series(evaluation.pairs.sigma[:MOST_ROWS]).map("{:.4g}".format)
    place = decimals(float(np.abs(frame["residual"]).max()) / 3)
    columns["fitted"] = shown["predicted"].map(f"{{:.{place}f}}".format)
    columns["residual"] = shown["residual"].map(f"{{:+.{place}f}}".format)
    for name, head in INFLUENCE.items():
        if name in shown:
            columns[head] = shown[name].map(lambda value: "" if math.isnan(value) else f"{value:.2f}")
    if evaluation.conformity:
        columns["tolerance"] = pd.Series(evaluation.conformity.verdicts[:MOST_ROWS])
    more = len(frame) - len(shown)
    rest = f"{more:,} more are on record: data/{evaluation.run.data_digest}.csv." if more else ""
    names = INFLUENCE_IS if "cook" in frame else ""
    rows = zip(*columns.values(), strict=True)
    return section(
        f"Observations ({len(frame):,})",
        table(list(columns), rows, "numbers"),
        paragraph(f"{rest} {names}".strip()),
        kind="long" if len(shown) > WHOLE else "",
    )


def _head(name: str, unit: str) -> str:
    """A name that says its unit says it once."""
    return name if not unit or name.endswith((f"[{unit}]", f"({unit})")) else f"{name} [{unit}]"


def parameters(evaluation: Evaluation) -> str:
    """Values with standard uncertainties, covariances and correlations, how they were found, and of what."""
    calibration = evaluation.calibration
    values, covariance, about = calibration.in_formula
    names = calibration.names
    of = calibration.input
    if (about.shift, about.scale) != (0.0, 1.0):
        of = f"({of} - {about.shift:.10g}) * {about.scale:.10g}"
    if covariance is None:
        rows = [(name, f"{value:.10g}") for name, value in zip(names, values, strict=True)]
        return section(
            "Parameters", table(["of " + of, "value"], rows, "numbers"), paragraph(_how(evaluation))
        )
    u = np.sqrt(covariance.diagonal())
    correlation = covariance / np.outer(u, u)
    lines: list[tuple[str, ...]] = []
    for place, name in enumerate(names):
        first = with_uncertainty(values[place], u[place]) if u[place] > 0 else f"{values[place]:.10g} ± 0"
        value, _, error = first.partition(" ± ")
        others = [f"{correlation[place, other]:+.4f}" for other in range(place)]
        lines.append((name, value, error, *others, *[""] * (len(names) - 1 - place)))
    head = ["of " + of, "value", "u", *(f"r({name}, ·)" for name in names[:-1])]
    pairs = [(i, j) for i in range(len(names)) for j in range(i)]
    covariances = ", ".join(f"cov({names[j]}, {names[i]}) = {covariance[i, j]:.4g}" for i, j in pairs)
    told = f"{covariances}. " if covariances else ""
    return section("Parameters", table(head, lines, "numbers"), paragraph(f"{told}{_how(evaluation)}"))


def method(evaluation: Evaluation) -> str:
    """By which loss it was fitted."""
    run = evaluation.run
    return "least squares" if run.is_under_squares else f"the loss {run.params['loss']}"


def _how(evaluation: Evaluation) -> str:
    """How the parameters and their covariance were found."""
    run = evaluation.run
    weighed = f" weighed by {run.params[SIGMA]}" if SIGMA in run.params else ""
    found = f"By {method(evaluation)}{weighed}, gradient descent: {distance(run.params, run.metrics)}."
    if evaluation.known is None:
        return found
    if not run.is_under_squares:
        return f"{found} The covariance is approximate under this loss."
    form = "(J'WJ)⁻¹, W = 1/sigma²" if evaluation.known["df"] is None else "s²(J'WJ)⁻¹, s² = r'Wr/(N - K)"
    form = form if SIGMA in run.params else "s²(J'J)⁻¹, s² = r'r/(N - K)"
    effects = "J: the formula's derivatives by its parameters at each observation"
    return f"{found} Covariance: {form} ({effects}); u(f)² = g'Cg, g: the same at a reading."


def budget(evaluation: Evaluation) -> str:
    """The components at two readings; of a run without uncertainties nothing but that."""
    if evaluation.band is None:
        return section("Uncertainty budget", paragraph("This run has no uncertainties on record."))
    places = [f"u at {each:.4g}" for each in evaluation.places]
    head = [
        "component",
        "evaluated by",
        "df",
        *(f"{each}{', largest' * is_last}" for is_last, each in enumerate(places)),
    ]
    rows = [_component(each) for each in evaluation.budget]
    k = evaluation.band.quantile
    reach = [in_two(each) for each in evaluation.band.reach(evaluation.places)]
    rows.append(("U = k u", f"k = {k:.4g}, 95 %", "", *reach))
    unit = f"In {evaluation.unit}. " if evaluation.unit else ""
    why = "" if evaluation.is_of_reading else "The scatter of one reading is not known under this loss. "
    return section(
        "Uncertainty budget", table(head, rows, "numbers budget"), paragraph(f"{unit}{why}{NOT_INCLUDED}")
    )


def _component(each: Component) -> tuple[str, ...]:
    df = "∞" if each.degrees_of_freedom == math.inf else f"{each.degrees_of_freedom}"
    if each.values is None:
        return each.name, "not given" if "B" in each.how else "not known", "", "", ""
    return each.name, each.how, df, *(in_two(value) if value else "0" for value in each.values)


def tests(evaluation: Evaluation) -> str:
    """Each with its level and p, or what it needs to be asked."""
    if not evaluation.tests:
        return section("Tests of the fit", paragraph(why_untested(evaluation)))
    rows = [
        (each.looks_for, f"{100 * each.level:g} %", f"{each.p:.2g}" + " !" * each.speaks)
        if each.p is not None
        else (each.looks_for, f"{100 * each.level:g} %", f"needs {each.needs}")
        for each in evaluation.tests
    ]
    said = "One speaks where p is below its level, and is marked; of sound data under 1 % have any such."
    return section("Tests of the fit", table(["looks for", "level", "p"], rows, "tests"), paragraph(said))


def why_untested(evaluation: Evaluation) -> str:
    """In a sentence."""
    if evaluation.pairs is None:
        return "not tested: the observations are neither on record nor in their file any more"
    if not evaluation.run.is_under_squares:
        return f"not tested: the tests are of least squares, and this is loss={evaluation.run.params['loss']}"
    if not is_tested(evaluation.run):
        return "not tested: the run is not trained enough to speak of its fit"
    return "not tested: nothing but rounding is left, or there are no more observations than parameters"


def record(evaluation: Evaluation) -> str:
    """Where it is from, how it is repeated, and what is not on record of it."""
    run, tags = evaluation.run, evaluation.run.tags
    torch = json.loads(tags.get("code", "{}")).get("torch")
    commit = tags.get("mlflow.source.git.commit", "")[:12]
    changed = ", changed since" if tags.get("git_dirty") == "true" else ""
    rows = {
        "data": f"{run.params.get('data', '?')}, digest {run.data_digest}",
        "run": f"{run.name}, {run.run_id}, {time.strftime('%Y-%m-%d', time.gmtime(run.start_ms / 1000))}",
        "versions": ", ".join(
            filter(
                None,
                [
                    f"torch {torch}" if torch else "",
                    f"commit {commit}{changed}" if commit else "",
                    tags.get("processor", ""),
                ],
            )
        ),
        "repeated by": f"{command('train')} repeat={run.run_id}",
        "not on record": ", ".join(_lacking(evaluation)),
    }
    return section("Record", table(["", ""], [(name, text) for name, text in rows.items() if text], "record"))


def _lacking(evaluation: Evaluation) -> Iterator[str]:
    """What GUM 7.2.7 asks for, and this has not."""
    for name, label in AboutSettings.labels().items():
        if ABOUT + name not in evaluation.run.tags:
            yield label.lower()
    if evaluation.known is None:
        yield "uncertainties of the parameters"
    if SIGMA not in evaluation.run.params:
        yield "uncertainties of the reference values"
    if "data_common" not in evaluation.run.params:
        yield "what these share"
    yield "uncertainties of the readings"
