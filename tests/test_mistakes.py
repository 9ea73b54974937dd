"""Twenty wrong command lines and twenty wrong files: exit code 2, one line, and not even a store."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest


class Captured(NamedTuple):
    """What capfd.readouterr() gives."""

    out: str
    err: str


COMMAND_LINES = {
    # the command line -> what the answer must name
    "lr=abc": ["lr=abc", "greater than 0"],
    "lr=-1": ["lr=-1", "greater than 0"],
    "lr=0": ["lr=0", "greater than 0"],
    "lr=nan": ["lr=nan", "finite"],
    "lr=inf": ["lr=inf", "finite"],
    "register=a/b": ["register=a/b", "without / : @"],
    "register=..": ["register=..", "nor .. in front"],
    "register=..a": ["register=..a", "nor .. in front"],
    "-m register=a,b lr=1e-2,1e-3": ["register=a,b", "one name"],
    "data.target=in_range": ["in_range", "rename that column"],
    "data.input=upper": ["upper is what a prediction says", "rename that column"],
    "lr=true": ["lr=True", "number"],
    "lr=": ["lr=", "number"],
    "lr=null": ["lr=null", "number"],
    "lr=1e308": ["lr=1e+308", "range of float32"],
    "lr=1e308 dtype=float64 normalization=none": ["lr=1e+308", "range of float64"],
    "lr=1e-60": ["lr=1e-60", "range of float32"],
    "lr": ["'lr'", "KEY=VALUE"],
    "loss=rmse": ["loss=rmse", "huber or log_cosh or mae or mse"],
    "loss=huber loss.delta=0": ["loss.delta=0", "greater than 0"],
    "loss.delta=1": ["loss.delta=1", "mse takes none"],
    "model=power model.start.k=x": ["model.start.k=x", "finite number"],
    "model=steinhart_hart": ["takes its input as it is", "normalization=none"],
    "model=power normalization=zscore": ["no finite slope by k at its start", "normalization that suits it"],
    "model.function=tanh": ["model.function=tanh", "MODULE.FUNCTION"],
    "origin.sweep=mine": ["origin.sweep is filled in"],
    "-m lr=1e-2,1e-3 +origin.folder=x": ["origin.folder is filled in"],
    "hydra.launcher.batch_size=0 -m lr=1e-2,1e-3": ["batch_size must be at least 1, not 0"],
    "data.input=é": ["data.input=é: no such column"],
    "lr=[1": ["lr=[1 cannot be read", "greater than 0"],
    "lr=(1e-2,1e-3)": ["lr=(1e-2,1e-3) cannot be read", "several as -m lr=1e-2,1e-3"],
    "lr=1e-2, 1e-3": ["'1e-3' cannot be read: write lr=1e-2,1e-3, without blanks"],
    "+experiment=mine(1)": ["cannot be read: write 'experiment=\"mine(1)\"'"],
    "-m lr=logrange(0,1,5)": ["lr=logrange(0,1,5) is not allowed", "logrange(START,STOP,COUNT)"],
    "-m lr=range(1,0,0.1)": ["lr=range(1,0,0.1) is not allowed", "range(START,STOP,STEP)"],
    "lr=logrange(1e-4,1e-1,7)": ["lr=logrange(1e-4,1e-1,7) gives several values", "add -m"],
    "data.path=a,b.csv": ["add -m", "for one value, give 'data.path=\"a,b.csv\"'"],
    "data.input=t(a,b)": ["one give 'data.input=\"t(a,b)\"'"],
    "data.units.volt[mV]=V": ["'data.units.volt[mV]'", "data.input_unit=UNIT"],
    "-m lr=1e-2 lr=1e-3": ["lr is given twice, lr=1e-2 and lr=1e-3", "-m lr=1e-2,1e-3"],
    "normalization=scale normalization=none": ["normalization is given twice", "-m normalization=scale,none"],
    "lr=1,2": ["lr=1,2", "add -m"],
    "-m lr=1e-2,0.1,0.01": ["lr: 1e-2 and 0.01 are one value: give it once"],
    "-m lr=0.01,logrange(1e-4,1e-2,3)": ["lr: 0.01 and 0.01 are one value"],
    "-m model.start.w=1,1.0 normalization=zscore,zscore": ["w: 1 and 1.0 are one", "zscore and zscore are"],
    "-m lr=-1": ["lr=-1", "greater than 0"],
    "-m lr=abc epochs=0": ["lr=abc", "epochs=0"],
    "epochs=0": ["epochs=0", "whole number from 1"],
    "epochs=1.5": ["epochs=1.5", "whole number"],
    "dtype=float16": ["dtype=float16", "float32 or float64"],
    "device=tpu": ["device=tpu", "cpu"],
    "device=cuda:99": ["device=cuda:99", "cpu"],
    "normalisation=x": ["normalisation", "did you mean normalization"],
    "normalization=x": ["normalization=x", "minmax or none or scale or zscore"],
    "normalization=none +normalization.factor=2": ["normalization.factor=2", "none takes none"],
    "model.start.ω=1": ["'model.start.ω' cannot be read", "Hydra reads ASCII letters alone"],
    "normalization.factor=0": ["normalization.factor=0", "greater than 0"],
    "normalization.factor=1e300": ["scale 1e+300", "range of float32"],
    "model=cubic": ["model=cubic", "linear or power or proportional or quadratic", "model.function="],
    "model=???": ["You must specify 'model'", "exponential linear power"],
    "-m hydra/launcher=batch,basic": ["hydra/launcher=batch,basic", "not supported"],
    "model.start.w=x": ["model.start.w=x", "number"],
    "model.start.q=1": ["no setting model.start.q", "starts from w, b"],
    "+model.start.q=1": ["no setting model.start.q", "starts from w, b"],
    "+colour=red": ["colour", "lr, epochs"],
    "~lr": ["lr is missing"],
    "model=null": ["model=null is not allowed: give", "quadratic"],
    "-m loss=null,mae": ["loss=null is not allowed: give", "huber"],
    "normalization=1": ["normalization=1 is not allowed: give", "zscore"],
    "dry=yes": ["dry=yes is not allowed: give true or false"],
    "dry=1": ["dry=1 is not allowed: give true or false"],
    "data.input=nope": ["data.input=nope", "t_u, t_c"],
    "data.target=t_u": ["both 't_u'"],
    "data.path=nope.csv": ["data.path=nope.csv", "no such file"],
    "data.path=data": ["data.path=data is a folder", "give the path of a file in it"],
    "tracking.experiment=": ["tracking.experiment", "name"],
    "+experiment=nope": ["experiment=nope", "book"],
    "hydra/launcher=nope": ["hydra/launcher=nope", "basic"],
    "-cn nope": ["nope"],
    "data=mine.csv": ["data=mine.csv", "norris or thermometer, or data.path=FILE for one of your own"],
    "data=my/data.csv": ["data=my/data.csv is not allowed"],
    "data/thermometer.csv": ["'data/thermometer.csv' cannot be read: write data.path=data/thermometer.csv"],
    "--lr 0.1": ["--lr is no option but a setting: write lr=VALUE"],
    "--data.path=mine.csv": ["write data.path=VALUE"],
    "--colour": ["--colour", "--help"],
    "--run -m": ["--run and --multirun"],
}  # fmt: skip

FILES = {
    # the file's bytes -> what the answer must name
    b"": ["empty"],
    b"\n\n": ["empty"],
    b"t_u,t_c\n": ["0 observations", "2 parameters"],
    b"t_u,t_c\n1,2\n": ["1 observation cannot settle 2 parameters"],
    b"t_u t_c\n1 2\n2 3\n3 5\n": ["the file has t_u t_c: give data.delimiter=blank where"],
    b"t_u;t_c\n------;------\n1;2\n2;3\n3;5\n": ["line 2, column t_u: ------", "data.missing=drop"],
    b"t_u,t_c\n1,2\n1,3\n1,4\n": ["t_u is constant (1)"],
    b"a,b\n1,2\n3,4\n": ["data.input=t_u", "data.target=t_c", "a, b"],
    b"t_u,b\n1,2\n3,4\n": ["data.target=t_c", "t_u, b"],
    b"t_u,t_u,t_c\n1,2,3\n2,3,4\n": ["t_u", "2 columns"],
    b"a;b\n1;2\n3;4\n": ["data.input=t_u", "a, b"],
    b"1,2\n3,4\n5,6\n": ["line 1 is numbers (1, 2)", "data.header=none"],
    b"t_u,t_c\n1,2\n3,abc\n": ["line 3, column t_c", "'abc'"],
    b"t_u,t_c\n1,2\n\n3,abc\n": ["line 4, column t_c", "'abc'"],
    b"t_u,t_c\n1,2\n,4\n": ["line 3, column t_u", "empty"],
    b"t_u,t_c\n1,2\n3\n": ["line 3, column t_c", "empty"],
    b"t_u,t_c\n1,nan\n2,3\n": ["line 2, column t_c", "nan is not a finite number"],
    b"t_u,t_c\n1,2\ninf,3\n": ["line 3, column t_u", "inf is not a finite number"],
    b"t_u,t_c\n1,2\n1e400,3\n": ["line 3, column t_u", "1e400"],
    b"t_u,t_c\n1,2\n1e39,3\n": ["line 3, column t_u", "1e39", "dtype=float64"],
    b't_u,t_c,note\n1,2,"a\nb"\n3,x,"c"\n': ["line 4, column t_c", "'x'"],
    b't_u,t_c\n1,"1,5"\n2.5,3\n': ["line 2, column t_c", "'1,5'"],
    b"t_u,t_c\nx,2\n3,y\n5,z\n": [
        "line 2, column t_u: 'x'", "line 3, column t_c: 'y' is not a number (so too line 4: 'z')",
    ],
    b"t_u,t_c\n" + b"x,y\n" * 50: [
        "line 2, column t_u: 'x' is not a number (so too line 3: 'x', line 4: 'x' and 47 more)",
        "line 2, column t_c: 'y' is not a number (so too line 3: 'y', line 4: 'y' and 47 more)",
    ],
    b"t_u,t_c\n1,2\n,3\n,4\n5,x\n": [
        "line 3, column t_u: empty, where a number is needed (so too line 4)", "line 5, column t_c: 'x'",
    ],
    b"t_u,t_c\n1,2,3\n4,5\n": ["line 2: 3 cells", "header names 2"],
    b't_u,t_c\n1,"2\n': ["line 2", "never closed", "data.quote=none"],
    b"\xff\xfet\x00_\x00u": ["not utf-16"],
    "t_u,t_c,Gerät\n1,2,x\n".encode("latin-1"): ["not UTF-8"],
    b"t_u,t_c\n1,2\0\n": ["line 2", "NUL bytes", "data.missing=drop"],
}  # fmt: skip


EXPERIMENTS = {
    # what stands in an experiment's file -> what the answer must name
    "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {lr: '1e-2,0.01'}}}": [
        "lr: 1e-2 and 0.01 are one value"
    ],
    "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {lr: [1e-2, 1e-3]}}}": [
        "lr=[0.01, 0.001] cannot be read", "several as -m lr=0.01,0.001"
    ],
    "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {lr: '1e-2,,1', epochs: '5,5'}}}": [
        "lr=1e-2,,1 cannot be read", "epochs: 5 and 5 are one value"
    ],
    "lr: 0.5": ["the file of +experiment=NAME begins with the line # @package _global_"],
    "# @package _global_\nnormalization: zscore": [
        "normalization=zscore is not allowed here: in a file give defaults: [override /normalization: zscore]"
    ],
    "# @package _global_\ndefaults: [normalization: zscore]": [
        "'experiment/normalization/zscore': write override /normalization: CHOICE"
    ],
    "# @package _global_\ndefaults: [override model: quadratic]": [
        "No match in the defaults list: write override /model: CHOICE"
    ],
    "# @package _global_\nlr: 0.1\n  epochs: 5": ["mine.yaml", "line 3"],
}  # fmt: skip


def assert_refused(code: int, folder: Path, output: Captured, named: list[str], most_lines: int = 2) -> None:
    assert code == 2
    assert output.out == ""
    assert 1 <= len(output.err.splitlines()) <= most_lines
    assert "Traceback" not in output.err
    for words in named:
        assert words in output.err
    assert {path.name for path in folder.iterdir()} <= {"data", "mine.csv"}, "something was recorded"


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_a_wrong_command_line(
    line: str,
    command: Callable[..., int],
    empty_folder: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = command(*line.split(" "))
    assert_refused(code, empty_folder, Captured(*capfd.readouterr()), COMMAND_LINES[line])


@pytest.mark.parametrize("content", EXPERIMENTS)
def test_a_wrong_experiment(
    content: str,
    command: Callable[..., int],
    empty_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
    capfd: pytest.CaptureFixture[str],
) -> None:
    configs = tmp_path_factory.mktemp("configs")
    (configs / "experiment").mkdir()
    (configs / "experiment" / "mine.yaml").write_text(content)
    code = command("--config-dir", str(configs), "+experiment=mine")
    assert_refused(code, empty_folder, Captured(*capfd.readouterr()), EXPERIMENTS[content])


@pytest.mark.parametrize("content", FILES, ids=repr)
def test_a_wrong_file(
    content: bytes,
    command: Callable[..., int],
    empty_folder: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (empty_folder / "mine.csv").write_bytes(content)
    code = command("data.path=mine.csv")
    assert_refused(code, empty_folder, Captured(*capfd.readouterr()), ["mine.csv", *FILES[content]])


def test_a_parabola_needs_three_distinct_inputs(
    command: Callable[..., int], empty_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (empty_folder / "mine.csv").write_text("t_u,t_c\n1,2\n1,3\n2,4\n2,5\n")
    code = command("data.path=mine.csv", "model=quadratic")
    assert_refused(code, empty_folder, Captured(*capfd.readouterr()), ["2 distinct values", "3 parameters"])


def test_readings_that_float32_cannot_spread(
    command: Callable[..., int], empty_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Some 1e-39 apart: what would bring them to 1 is beyond float32; with the advice it goes."""
    (empty_folder / "mine.csv").write_text("t_u,t_c\n1e-39,2\n2e-39,3\n3e-39,5\n")
    mine = ("data.path=mine.csv", "normalization=zscore", "lr=0.1", "epochs=5")
    code = command(*mine)
    assert_refused(code, empty_folder, Captured(*capfd.readouterr()), ["choose another, or dtype=float64"])
    assert command(*mine, "dtype=float64") == 0


@pytest.mark.parametrize("readings", [("1e-320", "2e-320", "3e-320"), ("-1.7e308", "1.7e308", "1e308")])
def test_readings_beyond_arithmetic(
    readings: tuple[str, ...],
    command: Callable[..., int],
    empty_folder: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (empty_folder / "mine.csv").write_text(
        "t_u,t_c\n" + "".join(f"{t_u},{n}\n" for n, t_u in enumerate(readings))
    )
    code = command("data.path=mine.csv", "dtype=float64")
    assert_refused(code, empty_folder, Captured(*capfd.readouterr()), ["mine.csv", "rescale"])


def test_a_database_server_that_is_not_there_is_told_at_once(
    command: Callable[..., int],
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """MLflow alone would try for minutes."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql+psycopg://me:secret@127.0.0.1:1/x")
    code = command("epochs=1")
    output = Captured(*capfd.readouterr())
    assert_refused(code, empty_folder, output, ["postgresql+psycopg://127.0.0.1:1/x", "MLFLOW_TRACKING_URI"])


@pytest.mark.parametrize("uri", ["sqlite:///data", "sqlite:////proc/nobody/writes/here.db"])
def test_a_file_that_cannot_be_a_database_is_told_at_once(
    uri: str,
    command: Callable[..., int],
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    code = command("epochs=1")
    named = [uri.rpartition("/")[-1], "make it and its folder writable"]
    assert_refused(code, empty_folder, Captured(*capfd.readouterr()), named)


def test_a_store_that_cannot_be_opened(
    command: Callable[..., int],
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nosuchscheme://x")
    code = command("epochs=1")
    assert_refused(
        code, empty_folder, Captured(*capfd.readouterr()), ["nosuchscheme://x", "MLFLOW_TRACKING_URI"]
    )


@pytest.mark.parametrize("scheme", ["nosuchscheme", "http", "postgresql+psycopg"])
@pytest.mark.parametrize("secret", ["me:s3cret@", "s3cret@", "me:s3c/ret@"])
def test_a_password_in_the_stores_address_is_not_shown(
    scheme: str,
    secret: str,
    command: Callable[..., int],
    empty_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"{scheme}://{secret}127.0.0.1:1/x")
    code = command("epochs=1")
    output = Captured(*capfd.readouterr())
    assert_refused(code, empty_folder, output, [f"{scheme}://127.0.0.1:1/x"])
    assert "s3c" not in output.err


LIGHT = """
import sys
sys.argv = ["src/train.py", "lr=abc"]
from src import train
assert train.command() == 2
heavy = {"torch", "mlflow", "pandas", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""


def test_a_wrong_setting_answers_before_anything_heavy_is_imported(empty_folder: Path) -> None:
    """torch and MLflow take two seconds each: that none is imported is what makes the answer quick."""
    subprocess.run([sys.executable, "-c", LIGHT], check=True, capture_output=True, cwd=empty_folder)


def test_every_wrong_point_of_a_sweep_is_named_on_a_line_of_its_own(
    command: Callable[..., int], empty_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = command("-m", "lr=abc,-1", "epochs=0,1.5")
    points = [f"(lr={lr} epochs={epochs})" for lr in ("abc", "-1") for epochs in ("0", "1.5")]
    assert_refused(code, empty_folder, Captured(*capfd.readouterr()), points, most_lines=5)


def test_the_same_mistake_in_every_point_is_told_once(
    command: Callable[..., int], empty_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code = command("-m", "lr=range(1,100)", "epochs=0")
    assert_refused(
        code, empty_folder, Captured(*capfd.readouterr()), ["99 of 99", "job 0 (lr=1 epochs=0) and 98 more"]
    )
