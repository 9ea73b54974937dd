"""The project as a wheel, in an environment of its own and run from folders that know nothing of it."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Callable, Collection, Iterable
from functools import cache
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from packaging.requirements import Requirement

from tests.conftest import ROOT

pytestmark = pytest.mark.slow

Done = subprocess.CompletedProcess[str]
Calibrate = Callable[..., Done]

COMMANDS = ("train", "compare", "predict", "export")

# 10 * volt and residuals 1, -1, -1, 1, which both columns of least squares are orthogonal to
MINE = "volt,celsius\n1,11\n2,19\n3,29\n4,41\n"
OWN = ("data.path=mine.csv", "data.input=volt", "data.target=celsius", "normalization=zscore")


def run(*command: str | Path, cwd: Path) -> Done:
    """Run as a user does, to whom the checkout and its tests are nothing."""
    unset = ("PYTHONPATH", "MLFLOW_TRACKING_URI", "HYDRA_FULL_ERROR")
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=1800)


def succeed(*command: str | Path, cwd: Path) -> str:
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def uv(*command: str | Path, cwd: Path) -> None:
    succeed(sys.executable, "-m", "uv", *command, "-q", cwd=cwd)


def environment_in(folder: Path) -> Path:
    """A fresh environment; where its commands are."""
    venv.create(folder, symlinks=os.name != "nt")
    return folder / ("Scripts" if os.name == "nt" else "bin")


def asked_for(requirements: Iterable[str], extras: Collection[str] = ()) -> dict[str, Distribution]:
    """What requirements ask for, and what that asks for: as the environment of the tests has it."""
    found: dict[str, Distribution] = {}
    for each in map(Requirement, requirements):
        if each.marker and not any(each.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            continue
        one = distribution(each.name)
        assert each.specifier.contains(one.version, prereleases=True), each
        found[each.name] = one
        found |= _asked_for_by(each.name, frozenset(each.extras))
    return found


@cache
def _asked_for_by(name: str, extras: frozenset[str]) -> dict[str, Distribution]:
    return asked_for(distribution(name).requires or (), extras)


def borrow(distributions: Iterable[Distribution], packages: Path) -> None:
    """Link them into a folder: they were installed once, from the registry, for the tests."""
    for one in distributions:
        for name in {file.parts[0] for file in one.files or ()} - {"..", "__pycache__"}:
            if not (packages / name).is_symlink():
                (packages / name).symlink_to(one.locate_file(name))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what is the project's own, without what work in the checkout has left."""
    copy = tmp_path_factory.mktemp("source") / "project"
    names = ["pyproject.toml", "README.md", "LICENSE", ".gitignore"]
    names += ["src", "calibrate", "conf", "data", "hydra_plugins", "tests", "benchmarks", "docs"]
    copy.mkdir()
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    uv("build", "--wheel", "-o", folder, source, cwd=folder)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def binaries(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of an environment that holds the wheel and what it asks for, no more."""
    folder = tmp_path_factory.mktemp("installed")
    found = environment_in(folder / "venv")
    uv("pip", "install", "--python", found / "python", "--no-deps", wheel, cwd=folder)
    [packages] = folder.glob("venv/**/site-packages")
    [itself] = distributions(path=[str(wheel)])
    borrow(asked_for(itself.requires or ()).values(), packages)
    return found


@pytest.fixture
def calibrate(binaries: Path, tmp_path: Path) -> Calibrate:
    """`calibrate ARGS` in the test's own, empty folder."""
    return lambda *arguments: run(binaries / "calibrate", *arguments, cwd=tmp_path)


def test_the_wheel_holds_the_package_and_its_files(wheel: Path, source: Path) -> None:
    """Every file of four folders, under the names that they have in the wheel, and nothing else."""
    homes = {"src": "calibrate", "conf": "calibrate/conf", "data": "calibrate/data"}
    homes["hydra_plugins"] = "hydra_plugins"
    expected = {
        f"{home}/{path.relative_to(source / folder).as_posix()}"
        for folder, home in homes.items()
        for path in (source / folder).rglob("*")
        if path.is_file()
    }
    assert {
        "calibrate/__main__.py",
        "calibrate/conf/config.yaml",
        "calibrate/data/thermometer.csv",
        "calibrate/report/sweep.html",
        "calibrate/report/tabulator/LICENSE",
        "hydra_plugins/batch_launcher/conf/hydra/launcher/batch.yaml",
    } <= expected
    assert "hydra_plugins/__init__.py" not in expected
    names = zipfile.ZipFile(wheel).namelist()
    assert sorted(name for name in names if ".dist-info/" not in name) == sorted(expected)


def test_nothing_of_the_checkout_is_installed(binaries: Path, tmp_path: Path) -> None:
    for name in ("src", "conf"):
        done = run(binaries / "python", "-c", f"import {name}", cwd=tmp_path)
        assert f"ModuleNotFoundError: No module named '{name}'" in done.stderr
    home = Path(
        succeed(binaries / "python", "-c", "import calibrate; print(calibrate.__file__)", cwd=tmp_path)
    )
    assert home.is_relative_to(binaries.parent)


def test_the_default_run_is_the_chapters(calibrate: Calibrate) -> None:
    """Source: the chapter's listing. The thermometer's readings come with the wheel."""
    done = calibrate("train")
    assert done.returncode == 0, done.stderr
    data, *lines = done.stdout.splitlines()
    assert data == "data         data/thermometer.csv: 11 observations"
    assert lines[0] == "Epoch 500, Loss 7.860115"
    assert lines[9] == "Epoch 5000, Loss 2.927647"
    assert "(calibrate predict models:/" in done.stdout


def test_a_sweep_on_ones_own_data_is_compared_and_predicts(calibrate: Calibrate, tmp_path: Path) -> None:
    """Source: 10 * volt is the least-squares line of `MINE`, by hand."""
    (tmp_path / "mine.csv").write_text(MINE)
    sweep, compared = calibrate("train", "-m", "lr=0.1,0.01", *OWN), calibrate("compare")
    for done in (sweep, compared):
        assert done.returncode == 0, done.stderr
        rows = [line for line in done.stdout.splitlines() if line.endswith("converged")]
        assert len(rows) == 2
        assert "src." not in done.stdout  # the commands it names are those that there are
    predicted = calibrate("predict", "best", "1.5")
    assert predicted.returncode == 0, predicted.stderr
    header, row = predicted.stdout.splitlines()
    assert header == "volt,celsius,uncertainty,lower,upper,in_range,remark"
    volt, celsius, *_, in_range, _ = row.split(",")
    assert (volt, in_range) == ("1.5", "true")
    assert float(celsius) == pytest.approx(15, abs=1e-3)


def test_a_model_of_ones_own(calibrate: Calibrate, tmp_path: Path) -> None:
    """From the current folder, which an installed command does not import from by itself."""
    (tmp_path / "mine.csv").write_text(MINE)
    (tmp_path / "mine.py").write_text("def through_zero(volt, w):\n    return w * volt\n")
    own = ["model.function=mine.through_zero", "model.start.w=1", "lr=auto", "epochs=200", "dtype=float64"]
    done = calibrate("train", *OWN[:3], *own, "normalization=none")
    assert done.returncode == 0, done.stderr
    assert "celsius = mine.through_zero(volt, w=10" in done.stdout
    predicted = calibrate("predict", "best", "--inverse", "15")
    assert float(predicted.stdout.splitlines()[1].split(",")[1]) == pytest.approx(1.5, rel=1e-2)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train", "lr=abc"], "error: lr=abc is not allowed: "),
        (["compare", "--top", "0"], "error: --top 0 is not allowed: "),
        (["tran"], "error: there is no command tran: give train, compare, predict or export"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], told: str, calibrate: Calibrate, tmp_path: Path) -> None:
    done = calibrate(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    [line] = done.stderr.splitlines()
    assert line.startswith(told)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_the_help_lists_the_commands(arguments: list[str], calibrate: Calibrate) -> None:
    done = calibrate(*arguments)
    assert done.returncode == 0, done.stderr
    listed = [line.split()[:2] for line in done.stdout.splitlines() if line.startswith("  calibrate ")]
    assert listed == [["calibrate", name] for name in COMMANDS]


def test_the_version_is_that_of_the_wheel(calibrate: Calibrate, source: Path) -> None:
    declared = tomllib.loads((source / "pyproject.toml").read_text())["project"]["version"]
    assert calibrate("--version").stdout == f"calibrate {declared}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_help_calls_it_as_it_is_called(name: str, calibrate: Calibrate) -> None:
    done = calibrate(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"calibrate {name} " in done.stdout
    assert "src." not in done.stdout


def test_the_notebook_runs_from_the_wheel(
    binaries: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every assertion holds, in two minutes, and no warning is shown; Jupyter's packages lie apart."""
    jupyter, work = tmp_path / "jupyter", tmp_path / "work"
    packages, kernel = jupyter / "packages", jupyter / "kernels" / "wheel" / "kernel.json"
    for folder in (work, packages, kernel.parent):
        folder.mkdir(parents=True)
    borrow(asked_for(["ipykernel"]).values(), packages)
    argv = [str(binaries / "python"), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    paths = {"PYTHONPATH": str(packages)}
    kernel.write_text(json.dumps({"argv": argv, "env": paths, "display_name": "wheel", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(jupyter))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    notebook = nbformat.read(ROOT / "docs" / "chapter.ipynb", as_version=4)
    place = {"metadata": {"path": str(work)}}
    executed = NotebookClient(notebook, timeout=120, kernel_name="wheel", resources=place).execute()
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    assert len(outputs) > 30
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    assert list(work.iterdir()) == []  # the record went to a folder of its own


def test_an_editable_install_works_from_any_folder(source: Path, tmp_path: Path) -> None:
    """Under both names, and Hydra finds the launcher: without it the config cannot be composed.

    What the project asks for is borrowed from the environment of the tests, whose own editable install
    a path file does not bring along.
    """
    found = environment_in(tmp_path / "venv")
    uv("pip", "install", "--python", found / "python", "--no-deps", "-e", source, cwd=tmp_path)
    site = succeed(
        found / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path
    )
    (Path(site.strip()) / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "src").mkdir(parents=True)  # another project's
    (elsewhere / "src" / "__init__.py").touch()
    code = "import calibrate.loop; print(calibrate.loop.__name__, calibrate.loop.__file__)"
    name, file = succeed(found / "python", "-c", code, cwd=elsewhere).split()
    assert (name, Path(file)) == ("calibrate.loop", source / "src" / "loop.py")
    commands: list[list[str | Path]] = [
        [found / "calibrate", "train"],
        [found / "python", "-m", "calibrate.train"],
    ]
    for command in commands:
        shown = succeed(*command, "--cfg", "hydra", cwd=elsewhere)
        assert "hydra_plugins.batch_launcher.batch_launcher.BatchLauncher" in shown
