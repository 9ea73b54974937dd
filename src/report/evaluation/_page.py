"""The page of a calibration report: what is found in ten seconds comes first, then what it rests on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from string import Template

from ...settings import AboutSettings
from ...spelling import SIGMA
from ...tracking.conformity import REASON
from ...tracking.record import ABOUT, CHANGE
from ...tracking.trust import distance, held_out, parameters_found
from .. import figures
from . import _details
from ._evaluation import COVERAGE, Evaluation
from ._html import escape, in_two, with_unit

BLANK = "\N{NO-BREAK SPACE}"  # of the height of a text
HERE = Path(__file__).parent


def as_html(evaluation: Evaluation) -> str:
    """The file's text."""
    run = evaluation.run
    tolerance = float(run.params["tolerance"]) if "tolerance" in run.params else None
    return Template((HERE / "report.html").read_text("utf-8")).substitute(
        style=(HERE / "report.css").read_text("utf-8"),
        title=escape(
            f"Calibration report: {evaluation.calibration.input} to {evaluation.calibration.target}"
        ),
        what=escape(_what_it_is(evaluation)),
        about=_about(evaluation),
        result=_result(evaluation),
        figure=figures.bands(evaluation.calibration, evaluation.pairs, tolerance),
        observations=_details.observations(evaluation),
        parameters=_details.parameters(evaluation),
        budget=_details.budget(evaluation),
        tests=_details.tests(evaluation),
        record=_details.record(evaluation),
    )


def _what_it_is(evaluation: Evaluation) -> str:
    """The first lines: what it is, and what it is not."""
    given = SIGMA in evaluation.run.params or "data_common" in evaluation.run.params
    also = ", and those that were given for the reference values (type B)" if given else ""
    kind = f"evaluation of a calibration by {_details.method(evaluation)}"
    uncertainties = f"the uncertainties are those of the fit (type A){also}"
    return f"An {kind}; not a calibration certificate in the sense of ISO/IEC 17025; {uncertainties}."


def _about(evaluation: Evaluation) -> str:
    """What a person has said, and a blank for what not."""
    tags = evaluation.run.tags
    return "\n".join(
        f"<div><dt>{escape(label)}</dt><dd>{escape(tags.get(ABOUT + name, BLANK))}</dd></div>"
        for name, label in AboutSettings.labels().items()
    )


def _result(evaluation: Evaluation) -> str:
    lines = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in _results(evaluation) if text
    )
    return f'<p class="formula">{escape(evaluation.calibration.formula)}</p>\n<dl>{lines}</dl>'


def _results(evaluation: Evaluation) -> Iterator[tuple[str, str]]:
    calibration, run = evaluation.calibration, evaluation.run
    unit_of_input, unit = calibration.units
    target = calibration.column("target")
    n = json.loads(calibration.dataset.profile)["num_rows"]
    fitted = f"{calibration.input} to {calibration.target} by the model {run.params['model']}"
    yield "Calibration", f"{fitted}, fitted to {n:,} observations by {_details.method(evaluation)}"
    yield "Parameters", parameters_found(run.params, run.metrics) or "without uncertainties: none on record"
    yield "Uncertainty", _expanded(evaluation)
    low, high = f"{calibration.curve.low:.10g}", with_unit(f"{calibration.curve.high:.10g}", unit_of_input)
    between = f"{target['min']:.10g} to {with_unit(format(target['max'], '.10g'), unit)}"
    yield "Calibrated range", f"{calibration.input} from {low} to {high}; {calibration.target} from {between}"
    yield "Findings", _findings(evaluation)
    yield "Validation", held_out(run.metrics)
    yield "Tolerance", run.tags.get(REASON, "")
    yield "Change", run.tags.get(CHANGE, "")


def _expanded(evaluation: Evaluation) -> str:
    """U = k u, with k, the level and the degrees of freedom; in words why there is none."""
    if evaluation.band is None:
        return f"none on record: {_why_none(evaluation)}"
    middle, largest = evaluation.band.reach(evaluation.places)
    df = (evaluation.known or {})["df"]
    how = "normal distribution" if df is None else f"Student's t with {df} degrees of freedom"
    of = "a new reading's corrected value" if evaluation.is_of_reading else "the curve alone"
    return (
        f"U = k u = {with_unit(in_two(middle), evaluation.unit)} in the middle of the range, at most "
        f"{in_two(largest)}; k = {evaluation.band.quantile:.3g} for {COVERAGE:.0%} ({how}); of {of}"
    ).replace("%", " %")


def _why_none(evaluation: Evaluation) -> str:
    run = evaluation.run
    if "loss_gap" not in run.metrics:
        return "; ".join(filter(None, [distance(run.params, run.metrics), run.tags.get("reason")]))
    if run.outcome != "converged":
        return f"the run is not trained enough, {distance(run.params, run.metrics)}"
    return "the fit is exact up to rounding, or its data do not settle it"


def _findings(evaluation: Evaluation) -> str:
    """The caution on record; else that the tests found nothing, or were not asked."""
    if caution := evaluation.run.tags.get("caution"):
        return caution
    known = [each.p for each in evaluation.tests if each.p is not None]
    if not known:
        return _details.why_untested(evaluation)
    if speaking := [f"{each.looks_for} (p = {each.p:.2g})" for each in evaluation.tests if each.speaks]:
        return ", ".join(speaking)
    smallest = f"the smallest p of {len(known)} tests is {min(known):.2g}"
    return f"no sign of lack of fit: {smallest}, none below its level"
