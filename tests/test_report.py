"""The calibration report: what is on the page, where it comes from, and that it is one page."""

import html
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from src import compare
from src.report.calibration import Calibration
from src.tracking import reader
from src.tracking.store import existing
from tests.browser import CHROMIUM, browser
from tests.conftest import ROOT, train_in, work_in
from tests.record import is_parent, recorded

Command = Callable[..., int]
CHAPTER = ("normalization=zscore", "epochs=500")
# Not to be said by a program. Source: the words of ISO/IEC 17025 and VIM that only a laboratory may use
FORBIDDEN = (
    "certified",
    "traceable",
    "passed",
    "failed",
    "true value",
    "accuracy",
    "valid until",
    "validity",
)


def newest(client: MlflowClient) -> Run:
    """Of the experiment's runs."""
    found: Run = client.search_runs(["1"], max_results=1)[0]
    return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> Path:
    """A folder with the chapter's run and its report."""
    place = tmp_path_factory.mktemp("chapter")
    train_in(place, migrated_store, ["normalization=zscore"])
    with pytest.MonkeyPatch.context() as patch:
        client = work_in(place, patch)
        assert compare.command(["--report", newest(client).info.run_id]) == 0
    return place


@pytest.fixture(scope="module")
def chapter(place: Path) -> str:
    """The report as text."""
    return as_text(place / "report.html")


def as_text(page: Path) -> str:
    """Each cell in a line."""
    body = re.sub(r"<svg.*?</svg>|<style>.*?</style>", "", page.read_text("utf-8"), flags=re.DOTALL)
    return html.unescape(re.sub(r"\s*<[^>]+>\s*", "\n", body))


@pytest.fixture
def report(command: Command, client: MlflowClient, folder: Path) -> Callable[..., str]:
    """A run's report as text; it trains the run first."""

    def write(*settings: str) -> str:
        assert command(*settings) == 0
        assert compare.command(["--report", newest(client).info.run_id]) == 0
        return as_text(folder / "report.html")

    return write


def lines(text: str, *cells: str) -> bool:
    """Whether these cells stand in a row."""
    return re.search(r"\n+".join(map(re.escape, cells)), text) is not None


def test_says_what_it_is(chapter: str) -> None:
    """And what it is not, first of all, in no word that a program may not use."""
    first = chapter[chapter.index("An evaluation") :]
    assert first.startswith("An evaluation of a calibration by least squares; not a calibration certificate")
    assert "(type A)." in first.splitlines()[0]
    assert not [word for word in FORBIDDEN if word in chapter.replace("not a calibration certificate", "")]


def test_numbers(chapter: str) -> None:
    """Each by numpy's least squares on the chapter's pairs: s 1.8916, u(w) 0.0355, r -0.9552, k 2.262.

    k is Student's for 95 % and 9 degrees of freedom. Source: any table.
    """
    text = chapter
    pairs = pd.read_csv(ROOT / "data" / "thermometer.csv", comment="#")
    x = np.column_stack([pairs.t_u, np.ones(11)])
    params, squares, *_ = np.linalg.lstsq(x, pairs.t_c, rcond=None)
    covariance = squares[0] / 9 * np.linalg.inv(x.T @ x)
    u = np.sqrt(covariance.diagonal())
    assert "w = 0.537 ± 0.036, b = -17.3 ± 1.9 (standard uncertainties)" in text
    assert lines(text, "b", f"{params[1]:.1f}", f"{u[1]:.1f}", f"{covariance[0, 1] / u.prod():+.4f}")
    assert f"cov(w, b) = {covariance[0, 1]:.4g}" in text
    ends = np.array([[51.85, 1], [81.9, 1]])
    of_fit = np.sqrt((ends @ covariance * ends).sum(axis=1))
    both = np.sqrt(of_fit**2 + squares[0] / 9)
    assert lines(text, "the fit", "type A, its covariance", "9", f"{of_fit[0]:.2f}", f"{of_fit[1]:.1f}")
    assert lines(text, "combined", "root of the sum of squares", "9", *(f"{each:.1f}" for each in both))
    assert lines(text, "U = k u", "k = 2.262, 95 %", *(f"{2.262157 * each:.1f}" for each in both))
    assert "t_u from 21.8 to 81.9; t_c from -4 to 28 °C" in text
    assert lines(text, "next power", "0.2 %", "0.11")
    assert "no sign of lack of fit: the smallest p of 6 tests is 0.11, none below its level" in text


def test_observations(chapter: str) -> None:
    """As given, with their lines in the file, and what is left of each by the chapter's line."""
    pairs = pd.read_csv(ROOT / "data" / "thermometer.csv", comment="#")
    for line, (t_u, t_c) in enumerate(pairs.to_numpy(), start=2):
        fitted = 0.536772 * t_u - 17.3048
        assert lines(chapter, str(line), f"{t_u:g}", f"{t_c:g}", f"{fitted:.2f}", f"{t_c - fitted:+.2f}")


def test_what_a_person_says(report: Callable[..., str], client: MlflowClient) -> None:
    """On record as tags, and on the page as it stands; else a blank field, named among what is lacking."""
    text = report(*CHAPTER, "about.instrument=<b>T-1</b> & co", "about.date=2026-11-26")
    run = newest(client)
    assert run.data.tags["about.instrument"] == "<b>T-1</b> & co"
    assert not [key for key in run.data.params if key.startswith("about")]
    assert lines(text, "Instrument", "<b>T-1</b> & co", "Serial number", "Reference", "Operator")
    assert lines(text, "Date of the readings", "2026-11-26")
    [lacking] = re.findall("not on record\n+(.*)", text)
    assert lacking.startswith("serial number, reference, operator, conditions, procedure, ")
    assert "uncertainties of the reference values" in lacking
    assert "Signature" in text


def test_known_reference_values(report: Callable[..., str]) -> None:
    """With sigma and what they share k is the normal distribution's 1.96, and nothing of these is lacking."""
    text = report(*CHAPTER, "data.sigma=2", "data.common=0.5")
    assert "and those that were given for the reference values (type B)." in text
    assert "k = 1.96 for 95 % (normal distribution)" in text
    assert lines(text, "scatter of one reading", "type B, data.sigma as given", "∞", "2.0", "2.0")
    assert lines(text, "shared by all reference values", "type B, data.common as given", "∞", "0.50", "0.50")
    [lacking] = re.findall("not on record\n+(.*)", text)
    assert "reference values" not in lacking


def test_where_nothing_is_known(report: Callable[..., str]) -> None:
    """Of a run that is not trained enough the page says so, and has neither U nor a test."""
    text = report("epochs=5", "normalization=zscore")
    assert "without uncertainties: none on record" in text
    assert "none on record: the run is not trained enough" in text
    assert "not tested: the run is not trained enough" in text
    assert "U = k u" not in text
    assert "This run has no uncertainties on record." in text


def test_another_loss(report: Callable[..., str]) -> None:
    """Under huber U is the curve's alone, and said to be; no test is of it."""
    text = report("loss=huber", "normalization=zscore", "lr=auto")
    assert "not tested: the tests are of least squares, and this is loss=huber" in text
    assert "of the curve alone" in text
    assert "An evaluation of a calibration by the loss huber" in text


def test_from_the_record(report: Callable[..., str], client: MlflowClient, folder: Path) -> None:
    """The observations are those on record when their file has gone, and it says how to repeat the run."""
    before = report(*CHAPTER)
    (folder / "data" / "thermometer.csv").unlink()
    run = newest(client).info.run_id
    assert compare.command(["--report", run, "--page", "kept/here"]) == 0
    again = (folder / "kept" / "here" / "report.html").read_text("utf-8")
    assert again == (folder / "report.html").read_text("utf-8")
    assert f"train repeat={run}" in before


def test_self_contained(place: Path) -> None:
    """Nothing is loaded from elsewhere, and no script runs."""
    page = (place / "report.html").read_text("utf-8")
    assert not re.findall(r"https?://(?!www\.w3\.org/)|<script|<link|@import|src=|url\((?!#)", page)


def test_diverged(
    command: Command, client: MlflowClient, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Refused in a line, and nothing is written."""
    assert command("normalization=none", "epochs=50") == 0
    capsys.readouterr()
    assert compare.command(["--report", newest(client).info.run_id]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "diverged and has no calibration" in line
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--report", "mine"], "is no run: give best, a run's id"),
        (["--report", "best", "--top", "2", "--sort", "lr"], "leave out --sort, --top"),
        (["--report", "0" * 32, "--experiment", "x"], "a run's id or a model needs none"),
    ],
)
def test_mistakes(arguments: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Said in a line with exit code 2."""
    assert compare.command(arguments) == 2
    assert said in capsys.readouterr().err
    assert not (folder / "report.html").exists()


def test_one_for_each_data_set(command: Command, client: MlflowClient, folder: Path) -> None:
    """On a sweep's parent, beside the figures of its data set, of the best run on these."""
    text = (folder / "data" / "thermometer.csv").read_text()
    (folder / "b.csv").write_text(text.replace("28.0", "29.0"))
    assert command("-m", "lr=1e-2,1e-3", "data.path=data/thermometer.csv,b.csv", *CHAPTER) == 0
    [parent] = [run for run in recorded(client) if is_parent(run)]
    folders = [
        each.path for each in client.list_artifacts(parent.info.run_id) if each.is_dir and each.path != "data"
    ]
    assert len(folders) == 2
    for each in folders:
        page = Path(client.download_artifacts(parent.info.run_id, f"{each}/report.html")).read_text("utf-8")
        assert each.partition("-")[2] in page  # the digest of its data


@pytest.mark.parametrize("model", ["exponential", "power"])
def test_parameters_of_the_formula(model: str, command: Command, client: MlflowClient, folder: Path) -> None:
    """A curve in raw units has the standard uncertainties on record, by autograd at the best fit: `se_…`."""
    x = np.linspace(1, 9, 9)
    y = 3 * x**1.2 if model == "power" else 0.5 * np.exp(0.5 * x) + 1
    y += [0.1, -0.1, 0.05, 0, -0.05, 0.1, -0.1, 0, 0.02]
    pd.DataFrame({"volt": x, "celsius": y}).to_csv(folder / "mine.csv", index=False)
    mine = ("data.path=mine.csv", "data.input=volt", "data.target=celsius", "lr=auto", "dtype=float64")
    start = {
        "power": ("normalization=scale", "model.start.a=47", "model.start.k=1.2"),
        "exponential": (
            "normalization=zscore",
            "model.start.a=6.09",
            "model.start.k=1.29",
            "model.start.b=1",
        ),
    }
    assert command(f"model={model}", *start[model], *mine, "epochs=30000") == 0
    run = newest(client)
    store = existing()
    calibration = Calibration.of(store, reader.get(store, run.info.run_id))
    values, covariance, _ = calibration.in_formula
    assert covariance is not None
    names = calibration.names
    assert values.tolist() == [run.data.metrics[name] for name in names]
    expected = [run.data.metrics[f"se_{name}"] for name in names]
    assert np.sqrt(covariance.diagonal()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
@pytest.mark.pictures
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_one_page(report: Callable[..., str], folder: Path) -> None:
    """A browser prints the thermometer's on one side of A4, a tolerance and all fields given.

    Pages are counted as PDF's objects of that type (ISO 32000-1, 7.7.3.3); a page twice as long has more.
    """
    about = ("instrument=Fluke 1524", "serial=1-2-3", "reference=Pt100 no. 7", "operator=A. Person")
    more = ("conditions=23 °C and 40 % r.h.", "procedure=water bath from below", "date=2026-11-26")
    report(*CHAPTER, "tolerance=7", *(f"about.{each}" for each in (*about, *more)))
    page = folder / "report.html"
    assert "<svg" in page.read_text("utf-8")
    (folder / "long.html").write_text(page.read_text("utf-8") + "<p>more" * 100, "utf-8")
    with browser() as chromium:
        found = []
        for name in ("report.html", "long.html"):
            tab = chromium.new_page()
            tab.goto((folder / name).as_uri())
            pdf = tab.pdf(prefer_css_page_size=True, print_background=True)
            found.append(len(re.findall(rb"/Type\s*/Page\b", pdf)))
            assert re.search(rb"/MediaBox \[0 0 59\d\.?\d* 84\d", pdf)  # A4 in points: 595 by 842
    assert found[0] == 1 < found[1]


def test_what_speaks_against_it(report: Callable[..., str], folder: Path) -> None:
    """A typing error is among the findings, by its line, and its test is marked; a unit is said once."""
    x = np.linspace(0, 9, 10)
    y = 2 * x + [0.1, -0.1, 0.05, 0, -0.05, 0.1, -0.1, 0, 0.02, 0]
    y[6] = 120.0
    pd.DataFrame({"volt [V]": x, "celsius": y}).to_csv(folder / "typo.csv", index=False)
    data = ("data.path=typo.csv", "data.input=volt [V]", "data.target=celsius", "data.input_unit=V")
    text = report(*CHAPTER, *data)
    assert "line 8 of the file is " in text
    assert re.search(r"one reading off\n+0\.2 %\n+\S+ !\n", text)
    assert "[V] [V]" not in text
