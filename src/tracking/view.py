"""A sweep's page in MLflow, ready to read: runs in their order, what matters of each, and their loss curves.

MLflow's page opens a shared view: a tag of the experiment that holds what the page itself saves of its
columns, filter, order and charts. It is undocumented, so tests/test_browser.py holds it to a real browser.
"""

from __future__ import annotations

import base64
import json
import math
import time
import zlib
from collections.abc import Iterable, Sequence

from .record import RANK
from .store import Store

MOST_CHARTED = 20  # drawn at once; MLflow's page knows 10, 20 and all

SHARED_VIEW = "mlflow.sharedViewState."  # and the view's key: the name of the tag
NOISE = 1e-16  # of the start's loss: what lies below is rounding
ROOM = 0.5  # decades above the worst start, for a diverging curve to be seen leaving

# In pixels: they fit beside the assistant's panel, which MLflow opens by itself on a first visit, in a window
# 1440 wide. MLflow writes all digits of a metric, and those of a diverged run's huge loss, too: what a person
# reads of a run is its description, fifty letters of it, and all where the pointer rests; its name tells its
# settings.
WIDTHS = {
    "attributes.`Run Name`": 182,
    "runDateAndNestInfo": 42,  # Created: just the mark that tells a failed run
    f"metrics.`{RANK}`": 50,
    "tags.`outcome`": 88,
    "attributes.`Description`": 316,
    "duration": 64,
}


def publish(store: Store, sweep: str, curves: Iterable[Sequence[float]]) -> str:
    """Put a sweep's view on record; the address that opens it.

    `curves` are the losses that the chart should have room for: those of the first `MOST_CHARTED` runs. The
    order is that of `ranks`: runs on several data sets, which do not compare, take turns, the best of each,
    then the second. The sweep itself, whose description is the answer, comes first.
    """
    state = json.dumps(_table(sweep) | _charts(curves))
    packed = base64.b64encode(zlib.compress(state.encode())).decode()
    now_ms = int(time.time() * 1000)
    view = {"name": sweep, "createdAt": now_ms, "updatedAt": now_ms, "state": f"deflate;{packed}"}
    store.client.set_experiment_tag(store.experiment_id, SHARED_VIEW + sweep, json.dumps(view))
    return address(store, sweep)


def address(store: Store, sweep: str) -> str:
    """The address of a sweep's view; of the plain table for a sweep that has none.

    The page ignores a shared view when the address says how to filter or sort, so the view says it.
    """
    if SHARED_VIEW + sweep in store.client.get_experiment(store.experiment_id).tags:
        return store.runs_page({"viewStateShareKey": sweep})
    return store.sweep_page(sweep)


def _table(sweep: str) -> dict[str, object]:
    order = list(WIDTHS)
    return {
        "searchFilter": f"tags.sweep = '{sweep}'",
        "orderByKey": f"metrics.`{RANK}`",  # sorted by a metric the children stand flat
        "orderByAsc": True,
        "selectedColumns": order[2:-1],  # the others are always there
        "columnOrder": order,
        "columnWidths": WIDTHS,
    }


def _charts(curves: Iterable[Sequence[float]]) -> dict[str, object]:
    """The loss curves on log axes; what MLflow draws by itself of the other metrics stays folded."""
    chart = {
        "uuid": "loss",
        "type": "LINE",
        "metricSectionId": "curves",
        "metricKey": "loss",
        "selectedMetricKeys": ["loss"],
        "scaleType": "log",
        "xAxisScaleType": "log",
        "range": _range(curves),
        "xAxisKey": "step",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "lineSmoothness": 0,
        "useGlobalXaxisKey": False,
        "useGlobalLineSmoothing": False,
        "ignoreOutliers": False,
        "isGenerated": False,
        "deleted": False,
    }
    main = {"uuid": "curves", "name": "Loss curves", "display": True, "columns": 1, "cardHeight": 385}
    others = {"uuid": "others", "name": "Model metrics", "display": False}  # MLflow's name for the rest
    return {
        "runsHiddenMode": f"FIRST_{MOST_CHARTED}_RUNS",
        "compareRunCharts": [chart],
        "compareRunSections": [main, others],
    }


def _range(curves: Iterable[Sequence[float]]) -> dict[str, float]:
    """The y axis, in decades, of what lies below the worst start: a loss that grows leaves the chart.

    Beside a diverged run's 1e38 no other curve could be told from a straight line.

    >>> _range([[100.0, 10.0, 1.0], [10.0, 1e30]])
    {'yMin': -0.1, 'yMax': 2.5}
    >>> _range([[100.0, 0.0]])  # a fit without any error
    {'yMin': -14.1, 'yMax': 2.5}
    >>> _range([])  # as MLflow finds it
    {}
    """
    drawn = [losses for losses in curves if losses]
    start = max((losses[0] for losses in drawn), default=0)
    if not start > 0:
        return {}
    least = max(min(map(min, drawn)), start * NOISE)
    return {"yMin": math.log10(least) - 0.1, "yMax": math.log10(start) + ROOM}
