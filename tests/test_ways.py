"""However a sweep is started, the record is the same: by a flag, a file, Python, or what it left itself."""

import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from mlflow import MlflowClient

from src import train
from src.launch import Launch
from src.package import CONF
from tests.conftest import train_in, work_in
from tests.record import curve, is_parent, recorded

SWEPT = ["lr=1e-2,1e-3", "normalization=none,zscore", "epochs=60"]
POINTS = [["lr=1e-2", "normalization=none"], ["lr=1e-2", "normalization=zscore"],
          ["lr=1e-3", "normalization=none"], ["lr=1e-3", "normalization=zscore"]]  # fmt: skip
FILE = """# @package _global_
epochs: 60
register: sensor
hydra: {mode: MULTIRUN, sweeper: {params: {lr: "1e-2,1e-3", normalization: "none,zscore"}}}
"""
UNLIKE = {
    "sweep",
    "process",
    "settings",
    "mlflow.parentRunId",
    "mlflow.loggedModelId",
    "change",
}  # ids, how it was started, and what version was registered before

Command = Callable[..., int]


def left(client: MlflowClient) -> dict[str, Any]:
    """The record of the sweep that was begun last, ids and times aside; all parents are ended."""
    parents = [run for run in recorded(client) if is_parent(run)]
    assert {run.info.status for run in parents} == {"FINISHED"}
    parent = max(parents, key=lambda run: run.info.start_time)
    children = recorded(client, f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    versions = client.search_model_versions(
        "name = 'sensor'", order_by=["version_number DESC"], max_results=1
    )
    best = [client.get_run(version.run_id) for version in versions]
    return {
        "parent": (parent.info.run_name, told(parent)),
        "artifacts": sorted(file.path for file in client.list_artifacts(parent.info.run_id)),
        "runs": sorted(
            (
                (
                    run.info.run_name,
                    run.info.status,
                    run.data.params,
                    run.data.metrics,
                    told(run),
                    curve(client, run),
                )
                for run in children
            ),
            key=str,
        ),
        "registered": [
            run.info.run_name for run in best if run.data.tags["sweep"] == parent.data.tags["sweep"]
        ],
    }


def told(run: Any) -> dict[str, str]:
    """Its tags; the names and ids in a description's links are of one sweep, a change from the one before."""
    tags = {key: value for key, value in run.data.tags.items() if key not in UNLIKE}
    own = r"\S*\]\(#/\S+\)| Change: [^\n]*"
    return tags | {"mlflow.note.content": re.sub(own, "", tags["mlflow.note.content"])}


BY_FLAG = ("-m", *SWEPT, "register=sensor")


@pytest.fixture(scope="module")
def by_flag(tmp_path_factory: pytest.TempPathFactory, migrated_store: Path) -> dict[str, Any]:
    """What is on record of a sweep that was asked for by a flag, in a folder of its own."""
    place = tmp_path_factory.mktemp("swept")
    train_in(place, migrated_store, BY_FLAG)
    with pytest.MonkeyPatch.context() as patch:
        record = left(work_in(place, patch))
    assert record["registered"] == ["lr=0.01 zscore 60"]
    assert len(record["runs"]) == 4
    return record


def ours() -> dict[str, str]:
    """The environment, but for what tells MLflow how to behave."""
    return {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}


def test_nothing_hides_in_the_environment(command: Command, folder: Path) -> None:
    del folder
    before = ours()
    assert command("-m", "lr=1e-2,1e-3", "epochs=1") == 0
    assert ours() == before


def test_asked_for_by_a_file(
    by_flag: dict[str, Any], command: Command, client: MlflowClient, folder: Path
) -> None:
    """No flag, and nothing left behind."""
    (folder / "conf" / "experiment").mkdir(parents=True)
    (folder / "conf" / "experiment" / "mine.yaml").write_text(FILE)
    assert command("--config-dir", "conf", "+experiment=mine") == 0
    assert left(client) == by_flag
    assert {path.name for path in folder.iterdir()} == {"data", "mlflow.db", "mlruns", "conf"}


def test_called_from_python(by_flag: dict[str, Any], client: MlflowClient) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfgs = [compose("config", [*point, "epochs=60", "register=sensor"]) for point in POINTS]
    assert [type(result) for result in train.train(cfgs)] == [float] * 4
    assert left(client) == by_flag


@pytest.mark.parametrize(
    "launcher", [pytest.param(each, marks=pytest.mark.slow) for each in ("basic", "joblib")]
)
def test_under_another_launcher(
    launcher: str, by_flag: dict[str, Any], command: Command, client: MlflowClient
) -> None:
    assert command("-m", *SWEPT, "register=sensor", f"hydra/launcher={launcher}") == 0
    assert left(client) == by_flag


@pytest.mark.slow
@pytest.mark.parametrize("again", [["--config-name", "repeated"], ["-m", "--config-name", "repeated"]])
def test_its_own_config_twice_over(
    again: list[str], by_flag: dict[str, Any], command: Command, client: MlflowClient, folder: Path
) -> None:
    """The second generation's sweep.yaml is the first's; the sweep's own folder may lie anywhere."""
    texts = []
    assert command(*BY_FLAG) == 0
    for generation in range(2):
        keep(client, folder / "conf" / "repeated.yaml")
        texts.append((folder / "conf" / "repeated.yaml").read_text().splitlines()[1:])
        elsewhere = ["hydra.sweep.dir=elsewhere"] if generation else []
        assert command("--config-dir", "conf", *again, *elsewhere) == 0
        assert left(client) == by_flag
    assert texts[0] == texts[1]


def keep(client: MlflowClient, path: Path) -> None:
    """The latest sweep's config."""
    parent = max((run for run in recorded(client) if is_parent(run)), key=lambda run: run.info.start_time)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(client.download_artifacts(parent.info.run_id, "sweep.yaml"), path)


A = "# @package _global_\nlr: 0.02\n"
B = "# @package _global_\nlr: 0.03\nmodel: {start: {b: 2}}\n"
C = "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {model: 'linear,quadratic'}}}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "swept",
    [["model=quadratic,linear", "model.start.b=2"], ["+experiment=book", "lr=1e-3,1e-4"],
     ["normalization=zscore", "lr=1e-2,1e-3", "dtype=float64"], ["data=norris,thermometer", "lr=1e-7"],
     ["normalization.factor=0.1,0.05", "+data.units.t_u=V"], ["+experiment=a,b"],
     ["+experiment=b", "model=linear,quadratic"], ["+experiment=c", "model.start.b=2"]],
    ids=" ".join,
)  # fmt: skip
def test_any_sweep_repeats(swept: list[str], command: Command, client: MlflowClient, folder: Path) -> None:
    """What a file of settings, or a choice of groups, made of the first is in the second, as it says."""
    (folder / "conf" / "experiment").mkdir(parents=True)
    for name, text in {"a": A, "b": B, "c": C}.items():
        (folder / "conf" / "experiment" / f"{name}.yaml").write_text(text)
    register = [] if "data=norris,thermometer" in swept else ["register=sensor"]  # a name is for one data set
    assert command("--config-dir", "conf", "-m", *swept, "epochs=7", *register) == 0
    first = left(client)
    assert len(first["runs"]) == 2
    keep(client, folder / "conf" / "NAME.yaml")
    call = (folder / "conf" / "NAME.yaml").read_text().splitlines()[1]
    assert command(*shlex.split(call.replace("FOLDER", "conf").partition("src.train")[2])) == 0
    assert left(client) == first


@pytest.mark.parametrize(
    "points",
    [["normalization.factor=0.1", "normalization.factor=0.2"], ["model=linear", "model=quadratic"],
     ["lr=0.1 epochs=3", "lr=0.2 epochs=4"], ["lr=0.1", "lr=0.1"]],
    ids=", ".join,
)  # fmt: skip
def test_what_python_swept_repeats(
    points: list[str], command: Command, client: MlflowClient, folder: Path
) -> None:
    """Defaults among the values, too; what is no grid leaves no file that would repeat another."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfgs = [compose("config", ["epochs=7", "register=sensor", *each.split()]) for each in points]
    assert [type(result) for result in train.train(cfgs)] == [float, float]
    first = left(client)
    assert ("sweep.yaml" in first["artifacts"]) == (points[0] != points[1] and "epochs" not in points[0])
    if "sweep.yaml" in first["artifacts"]:
        keep(client, folder / "conf" / "repeated.yaml")
        assert command("--config-dir", "conf", "--config-name", "repeated") == 0
        assert left(client) == first


def test_interrupted_in_python(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left RUNNING, and what interrupts goes on to the caller."""

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("src.pipeline.of_result", interrupted)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfgs = [compose("config", ["epochs=7", f"lr={lr}"]) for lr in ("1e-2", "1e-3")]
    with pytest.raises(KeyboardInterrupt):
        train.train(cfgs)
    [parent] = recorded(client)
    assert parent.info.status == "KILLED"


@pytest.mark.parametrize(
    ("given", "name"), [("'a b'", "a b"), ("null", None), ("${dtype}", "float32"), ("sensor", "sensor")]
)
def test_the_registered_name_is_read_as_hydra_reads_it(given: str, name: str | None) -> None:
    with Launch(["-m", "lr=1e-2,1e-3", f"register={given}"]) as launch:
        assert launch.register == name


@pytest.mark.parametrize("nothing", ["lr=range(0,0)", "data.path=glob(*.csv)", "normalization=glob(nosuch*)"])
def test_a_sweep_over_nothing(
    nothing: str, command: Command, empty_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A mistake: nothing was asked for, and nothing is recorded."""
    assert command("-m", nothing, "epochs=5") == 2
    captured = capfd.readouterr()
    assert captured.err.startswith("error: the sweep is over nothing")
    assert len(captured.err.splitlines()) == 1
    assert {path.name for path in empty_folder.iterdir()} == {"data"}


def test_numbers_as_names(command: Command, client: MlflowClient, folder: Path) -> None:
    """Hydra reads them as numbers; they name an experiment, a column and a model."""
    (folder / "mine.csv").write_text("450,4.5,true\n1,2,3\n2,3,5\n3,5,6\n")
    names = ["tracking.experiment=2024", "register=7", "data.path=mine.csv"]
    assert command(*names, "data.input=450", "data.target=4.5", "epochs=5") == 0
    assert command(*names, "data.input=450", "data.target=true", "epochs=5") == 0
    assert client.get_experiment_by_name("2024") is not None
    assert len(client.search_model_versions("name = '7'")) == 2
