"""The one order of runs. Expected orders are by hand, from the rules in `ranking`."""

from typing import Any

import pytest

from src.config import ConfigError
from src.tracking.ranking import data_sets, ranked
from src.tracking.record import TrackedRun

LINE, PARABOLA, CURVE = "linear", "quadratic", "exponential"


def run(
    label: str, outcome: str = "converged", *, digest: str = "d", start_ms: int = 0, **known: Any
) -> TrackedRun:
    """A run as the store gives it back; of what is known, texts are params and numbers are metrics.

    Its name is such that a tie would be decided against the alphabet of the labels.
    """
    given = {"model": LINE, "epochs": "500", "lr": "0.1", "data": "mine.csv"}
    known = given | {"best_loss": 2.0, "loss_gap": 1e-9} | known
    params = {key: value for key, value in known.items() if isinstance(value, str)}
    metrics = {key: value for key, value in known.items() if isinstance(value, float)}
    metrics |= {"loss": metrics["best_loss"] + metrics["loss_gap"]} if "loss" not in known else {}
    tags = {"data_digest": digest} | ({} if outcome == "crashed" else {"outcome": outcome})
    name = chr(ord("a") + ord("z") - ord(label[0]))
    return TrackedRun(label, name, "FINISHED", params, metrics, tags, start_ms)


def order(*runs: TrackedRun, **asked: Any) -> list[str]:
    """Their labels, ranked; however they were given."""
    found = [run.run_id for run in ranked(runs, **asked)]
    assert [run.run_id for run in ranked(reversed(runs), **asked)] == found
    return found


def test_ties_cheapest_first() -> None:
    """Whatever lottery rounding makes of the gaps of runs that are trained enough."""
    runs = [
        run("e", epochs="5000", loss_gap=1e-12),
        run("c", lr="0.2", loss_gap=1e-11),
        run("b", lr="0.09", loss_gap=1e-10),
        run("d", lr="0.2", loss_gap=1e-13),
        run("a", epochs="60", lr="1.0", loss_gap=1e-9),
    ]
    assert order(*runs) == ["a", "b", "d", "c", "e"]  # of what costs the same by name: that of d is "w"


def test_usable_first() -> None:
    outcomes = ["converged", "stopped", "killed", "diverged", "crashed"]
    assert order(*(run(outcome, outcome) for outcome in reversed(outcomes))) == outcomes


def test_nearest_first() -> None:
    """Of one best fit by the gap, in digits that float32's loss does not have."""
    gaps = {"a": 1e-3, "b": 1e-3 + 1e-12, "c": 20.0}
    assert order(*(run(name, "stopped", loss_gap=gap, loss=2.001) for name, gap in gaps.items())) == list(
        "abc"
    )


def test_better_model_first() -> None:
    """And its runs together, the cheapest first, however much cheaper those of the other are."""
    parabola = {"model": PARABOLA, "best_loss": 1.9}
    runs = [run("c", epochs="5"), run("a", **parabola), run("b", lr="0.2", **parabola)]
    assert order(*runs) == ["a", "b", "c"]


def test_trained_first() -> None:
    """A better model's fit is no better than it is; what is trained enough comes before any that is not."""
    parabola = {"outcome": "stopped", "model": PARABOLA, "best_loss": 1.0}
    runs = [
        run("d", loss_gap=3.0, **parabola),
        run("c", "stopped", loss_gap=0.5),
        run("b"),
        run("a", loss_gap=0.9, **parabola),
    ]
    assert order(*runs) == ["b", "a", "c", "d"]


def test_rounding_is_no_rank() -> None:
    """A parabola's optimum on exact data is 0 but for rounding; a searched one differs in its last digits."""
    exact = [run("b", epochs="500", best_loss=3e-32), run("a", epochs="5", best_loss=7e-31)]
    searched = [
        run("b", model=CURVE, best_loss=2.0),
        run("a", model=CURVE, best_loss=2.0 * (1 + 1e-12), epochs="5"),
    ]
    for runs in (exact, searched):
        assert order(*runs) == ["a", "b"]


def test_families_by_best_fit() -> None:
    """A function that is no polynomial has another best fit under each normalization."""
    runs = [
        run("b", model=CURVE, normalization="none", best_loss=2.1, epochs="5"),
        run("a", model=CURVE, normalization="zscore", best_loss=2.0),
    ]
    assert order(*runs) == ["a", "b"]


def test_losses_apart() -> None:
    """0.9 of an absolute error is not less than 2 of a squared one."""
    runs = [run("b", loss_fn="", best_loss=0.9), run("a"), run("c", best_loss=0.5)]
    for each, loss in zip(runs, ("mae", "mse", "huber"), strict=True):
        each.params["loss"] = loss
    assert order(*runs) == ["a", "b", "c"]
    runs[1].tags["outcome"] = "stopped"
    assert order(*runs) == ["b", "c", "a"], "first where one has converged"


def test_unknown_best_fit() -> None:
    """Where the search did not settle, nothing converges and the loss ranks."""
    runs = [run(name, "stopped", model=CURVE, loss=loss) for name, loss in (("b", 3.0), ("a", 2.5))]
    for each in runs:
        del each.metrics["best_loss"], each.metrics["loss_gap"]
    assert order(*runs, run("c", "stopped", loss_gap=2.0)) == ["a", "b", "c"]


def test_older_records() -> None:
    """Without `best_loss` they are ties all the same: then there were exact optima only."""
    runs = [run("b", epochs="5000", loss=2.0 + 1e-7), run("a", loss=2.0 + 2e-7)]
    for each in runs:
        del each.metrics["best_loss"]
    assert order(*runs) == ["a", "b"]


def test_data_sets_together() -> None:
    """By the file's name; of one that was edited the newest first."""
    runs = [
        run("d", digest="3", data="other.csv", best_loss=0.1),
        run("c", digest="2", start_ms=1, best_loss=0.2),
        run("a", digest="1", start_ms=2),
        run("b", "stopped", digest="1", start_ms=0, loss_gap=1.0),
    ]
    assert order(*runs) == ["a", "b", "c", "d"]
    assert [len(part) for part in data_sets(runs)] == [2, 1, 1]


def test_sorted_by_a_key() -> None:
    """Within each data set; those without it last, equals best first."""
    runs = [
        run("b", digest="1", lr="0.1"),
        run("a", digest="1", lr="0.3", epochs="7"),
        run("c", digest="1", lr="0.1", epochs="700"),
        run("d", digest="2", lr="0.9", data="other.csv"),
    ]
    assert order(*runs, by="lr", descending=True) == ["a", "b", "c", "d"]
    assert order(*runs, by="epochs") == ["a", "b", "c", "d"]
    without = run("e", digest="1")
    del without.params["lr"]
    assert order(*runs, without, by="lr") == ["b", "c", "a", "e", "d"]
    with pytest.raises(ConfigError, match="no run has that; give one of"):
        ranked(runs, by="bogus")
