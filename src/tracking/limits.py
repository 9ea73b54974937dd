"""MLflow's limits, which sqlite does not enforce: a longer text is cut, with a mark that it was."""

from __future__ import annotations

LONGEST_NAME = 250
LONGEST_PARAM = 6000
LONGEST_TAG = 8000
LONGEST_DATASET_NAME = 500


def cut(text: str, longest: int) -> str:
    """At most `longest` characters; an ellipsis marks what was cut.

    >>> cut("calibration", 6)
    'calib…'
    """
    return text if len(text) <= longest else text[: longest - 1] + "…"
