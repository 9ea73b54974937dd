"""Settings as people write them: rates by a rule, texts without quotes, options of one choice."""

from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from src import compare, predict
from src.config import ConfigError
from src.overrides import for_hydra
from src.ranges import expanded
from tests.record import is_parent, recorded

Command = Callable[..., int]

# Powers of ten and, between them, of its root; each rate as short as it is right to a thousandth of a step
SEVEN = ["0.0001", "0.0003162", "0.001", "0.003162", "0.01", "0.03162", "0.1"]


def runs(client: MlflowClient) -> list[Run]:
    return [run for run in recorded(client) if not is_parent(run)]


def values(client: MlflowClient, *params: str) -> list[tuple[str, ...]]:
    return sorted(tuple(run.data.params.get(each, "") for each in params) for run in runs(client))


@pytest.mark.parametrize(
    ("given", "rates"),
    [
        ("logrange(1e-4,1e-1,7)", SEVEN),
        ("logrange(1e-1, 1e-4, 7)", SEVEN[::-1]),
        ("logrange(start=1e-4,stop=1e-1,num=7)", SEVEN),
        ("logrange(0.1,0.1001,3)", ["0.1", "0.10004999", "0.1001"]),  # the root of their product
        ("range(0.1,0.5,0.1)", ["0.1", "0.2", "0.3", "0.4"]),
        ("range(1,0,-0.25)", ["1", "0.75", "0.5", "0.25"]),
    ],
)
def test_rates_by_a_rule(given: str, rates: list[str]) -> None:
    assert expanded(given).split(",") == rates
    assert [float(each) for each in rates] == pytest.approx([float(each) for each in rates])


def test_a_rule_within_other_syntax() -> None:
    assert for_hydra(["lr=sort(logrange(1e-3,1e-1,3),reverse=true)"]) == [
        "lr=sort(0.001,0.01,0.1,reverse=true)"
    ]
    assert for_hydra(["lr=logrange(1e-3,1e-1,3),0.5"]) == ["lr=0.001,0.01,0.1,0.5"]
    assert for_hydra(["epochs=logrange(10,1000,5)"]) == ["epochs=10,32,100,316,1000"]


def test_a_logarithmic_sweep(command: Command, client: MlflowClient) -> None:
    assert command("-m", "lr=logrange(1e-4,1e-1,7)", "epochs=2") == 0
    assert [lr for (lr,) in values(client, "lr")] == SEVEN


def test_a_file_sweeps_by_a_rule(command: Command, client: MlflowClient, folder: Path) -> None:
    """Once by the experiment's file, once by the config on record, which holds the rates themselves."""
    file = folder / "experiment" / "mine.yaml"
    file.parent.mkdir()
    params = 'lr: "logrange(1e-4,1e-1,4)", normalization: "scale,zscore"'
    params = f'{{{params}, normalization.factor: "range(0.1,0.4,0.1)"}}'
    file.write_text(
        f"# @package _global_\nepochs: 2\nhydra: {{mode: MULTIRUN, sweeper: {{params: {params}}}}}\n"
    )
    assert command("--config-dir", str(folder), "+experiment=mine") == 0
    once = values(client, "lr", "normalization_scale")
    assert len(once) == 4 * (3 + 1)
    [parent] = [run for run in recorded(client) if is_parent(run)]
    repeats = Path(client.download_artifacts(parent.info.run_id, "sweep.yaml"))
    assert "0.0001,0.001,0.01,0.1" in repeats.read_text()
    assert command("--config-dir", str(repeats.parent), "--config-name", "sweep") == 0
    assert values(client, "lr", "normalization_scale") == sorted(2 * once)


OF_ONE_CHOICE = ("-m", "normalization=scale,zscore", "normalization.factor=0.1,0.01", "lr=1e-2", "epochs=20")
THREE = [("scale", "0.01"), ("scale", "0.1"), ("zscore", "")]  # zscore has no factor: it is trained once


def three(client: MlflowClient) -> list[tuple[str, str]]:
    found = values(client, "normalization", "normalization_scale")
    return sorted((name, scale if name == "scale" else "") for name, scale in found)


@pytest.mark.parametrize("launcher", ["batch", pytest.param("basic", marks=pytest.mark.slow)])
def test_an_option_of_one_choice(launcher: str, command: Command, client: MlflowClient) -> None:
    """The sweep knows beforehand of three jobs, and its config repeats them."""
    assert command(*OF_ONE_CHOICE, f"hydra/launcher={launcher}") == 0
    assert three(client) == THREE
    [parent] = [run for run in recorded(client) if is_parent(run)]
    assert parent.data.tags["jobs"] == "3"
    config = Path(client.download_artifacts(parent.info.run_id, "sweep.yaml"))
    assert command("--config-dir", str(config.parent), "--config-name", "sweep") == 0
    assert three(client) == sorted(2 * THREE)


@pytest.mark.slow
def test_sweeps_of_both_kinds_under_joblib(start: Callable[..., Popen[str]], client: MlflowClient) -> None:
    process = start(*OF_ONE_CHOICE[:3], "lr=logrange(1e-4,1e-1,2)", "epochs=2", "hydra/launcher=joblib",
                    "hydra.launcher.n_jobs=2")  # fmt: skip
    assert process.wait() == 0
    assert three(client) == sorted(2 * THREE)
    assert {lr for (lr,) in values(client, "lr")} == {"0.0001", "0.1"}


def test_a_sweep_over_options_goes_on(command: Command, client: MlflowClient) -> None:
    """One of the three was killed: it alone is trained anew."""
    assert command(*OF_ONE_CHOICE) == 0
    [parent] = [run for run in recorded(client) if is_parent(run)]
    client.set_terminated(parent.info.run_id, "KILLED")
    lost = runs(client)[0]
    client.delete_run(lost.info.run_id)
    assert command(*OF_ONE_CHOICE, "resume=true") == 0
    assert three(client) == THREE


def test_options_of_several_groups(command: Command, client: MlflowClient) -> None:
    sweep = ("model=linear,quadratic", "model.start.w2=1,2", "loss=mse,huber", "loss.delta=1,2", "lr=1e-9")
    assert command("-m", *sweep, "normalization=zscore", "epochs=2") == 0
    assert values(client, "model", "start_w2", "loss", "loss_delta") == sorted(
        (model, start, loss, delta)
        for model, start in (("linear", ""), ("quadratic", "1.0"), ("quadratic", "2.0"))
        for loss, delta in (("mse", ""), ("huber", "1.0"), ("huber", "2.0"))
    )


def test_one_value_of_an_option(command: Command, client: MlflowClient) -> None:
    assert command("-m", "normalization=scale,minmax", "normalization.factor=0.05", "epochs=2") == 0
    assert [
        scale for name, scale in values(client, "normalization", "normalization_scale") if name == "scale"
    ] == ["0.05"]
    assert len(runs(client)) == 2


def test_an_option_of_no_choice(
    command: Command, empty_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is left out for none, and told for each."""
    assert command("-m", "normalization=none,zscore", "normalization.factor=1") == 2
    told = capfd.readouterr().err
    assert all(
        f"normalization.factor=1 is not allowed: {name} takes none" in told for name in ("none", "zscore")
    )
    assert {path.name for path in empty_folder.iterdir()} == {"data"}


TEXTS = {
    "data.path=DIR/run=3.csv": 'data.path="DIR/run=3.csv"',
    "data.path=a (1).csv": 'data.path="a (1).csv"',
    "data.path=~/a.csv,~/b.csv": 'data.path="~/a.csv","~/b.csv"',
    "data.path=a.csv,b.csv": "data.path=a.csv,b.csv",
    "data.path='a,b.csv'": "data.path='a,b.csv'",
    "data.input=volt [mV]": 'data.input="volt [mV]"',
    "data.input=true": 'data.input="true"',
    "data.input=null": 'data.input="null"',
    "data.input=1.50": 'data.input="1.50"',
    "data.input=#3": 'data.input="#3"',
    "data.input=it's": 'data.input="it\'s"',
    "+data.units.celsius=°C": '+data.units.celsius="°C"',
    "data.target_unit=°C": 'data.target_unit="°C"',
    "data.sigma=0.5": "data.sigma=0.5",  # a number may be meant
    "data.sigma=null": "data.sigma=null",  # and nothing
    "register=null": "register=null",
    "resume=true": "resume=true",
}


@pytest.mark.parametrize("given", TEXTS)
def test_texts_need_no_quotes(given: str) -> None:
    assert for_hydra([given]) == [TEXTS[given]]


def test_several_mistakes_at_once() -> None:
    with pytest.raises(ConfigError) as found:
        for_hydra(["lr=1", "lr=2", "epochs=[1", "data.input=t (a,b)"])
    assert all(said in str(found.value) for said in ("lr is given twice", "epochs=[1", "t (a,b)"))


@pytest.mark.parametrize("again", ["lr=1e-2", "lr=0.01", "lr=0.1,0.01"])
def test_a_setting_given_twice_with_one_value(again: str) -> None:
    """What is to be written in its place is not what a sweep refuses."""
    with pytest.raises(ConfigError, match=r"lr is given twice, lr=1e-2 and lr=[0-9.,e-]+: give one$"):
        for_hydra(["lr=1e-2", again])


def test_odd_names_are_trained_on(command: Command, client: MlflowClient, folder: Path) -> None:
    (folder / "run=3 (a).csv").write_text("volt [mV],true\n1,2\n2,4\n3,5\n")
    assert command("data.path=run=3 (a).csv", "data.input=volt [mV]", "data.target=true",
                   "data.input_unit=mV", "data.units.true=°C", "epochs=3") == 0  # fmt: skip
    [run] = runs(client)
    assert run.data.params["data"] == "run=3 (a).csv"
    assert (run.data.params["data_input"], run.data.params["data_target"]) == ("volt [mV]", "true")
    schema = run.inputs.dataset_inputs[0].dataset.profile
    assert '"mV"' in schema
    assert "°C" in schema or "\\u00b0C" in schema


@pytest.mark.parametrize(
    "given", ["data.path=~/mine.csv", 'data.path="~/mine.csv"', "data.validation=~/mine.csv"]
)
def test_the_home_folder(given: str, command: Command, client: MlflowClient, folder: Path,
                         monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    home = folder / "home"
    home.mkdir()
    (home / "mine.csv").write_text("t_u,t_c\n1,2\n2,4\n3,5\n")
    monkeypatch.setenv("HOME", str(home))
    assert command(given, "epochs=2") == 0
    assert str(home / "mine.csv") in runs(client)[0].data.params.values()


def test_the_home_folder_of_every_path(
    command: Command, client: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell leaves the ~ in --csv=~/mine.csv as it is."""
    home = folder / "home"
    (home / "conf" / "experiment").mkdir(parents=True)
    (home / "conf" / "experiment" / "mine.yaml").write_text("# @package _global_\nepochs: 5\n")
    (home / "mine.csv").write_text("t_u\n35.7\n")
    monkeypatch.setenv("HOME", str(home))
    assert command("--config-dir=~/conf", "+experiment=mine") == 0
    [run] = runs(client)
    assert run.data.params["epochs"] == "5"
    assert predict.command(["best", "--csv=~/mine.csv"]) == 0
    assert compare.command([run.info.run_id, "--page=~/page"]) == 0
    assert (home / "page" / "note.md").is_file()
    assert not (folder / "~").exists()
