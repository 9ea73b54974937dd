"""Settings: every file under conf/ composes to valid ones; what makes two runs the same."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf, open_dict

from hydra_plugins.batch_launcher._deferred import Deferred
from src.config import ConfigError, Known, check
from src.fit.fingerprint import code_of, fingerprint
from src.models import MODELS
from src.normalization import NORMALIZATIONS
from src.settings import Settings
from src.spelling import Speller, overrides, run_name
from tests.conftest import ROOT

CONF = ROOT / "conf"
GROUPS = ("data", "model", "normalization", "tracking")


@pytest.fixture(autouse=True)
def _hydra() -> Iterator[None]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield
    HydraConfig.instance().cfg = None


def settings(*overrides: str) -> Settings:
    cfg = compose("config", list(overrides), return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        del cfg["hydra"]
    return check(cfg)


def print_of(these: Settings, data_digest: str) -> str:
    return fingerprint(Speller().spell(these), data_digest)


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("group", GROUPS)
def test_every_choice_of_every_group_composes_to_valid_settings(group: str) -> None:
    for choice in choices(group):
        assert getattr(settings(f"{group}={choice}"), group) is not None


def test_defaults_go_without_saying() -> None:
    """What conf/ gives is in no run's name and no override, but for what every run is told by."""
    assert run_name(settings()) == "lr=0.01 scale 5000"
    assert overrides(settings()) == {"lr": "0.01", "epochs": "5000", "normalization": "scale"}
    assert run_name(settings("model=quadratic")) == "lr=0.01 scale 5000 quadratic"
    assert (
        run_name(settings("normalization.factor=0.05", "model.start.w=2"))
        == "lr=0.01 scale ×0.05 5000 start w=2"
    )


@pytest.mark.parametrize(
    "given",
    [["data=norris", "dtype=float64"], ["model=quadratic", "model.start.w1=3"],
     ["normalization.factor=1e-7", "device=cuda:1"], ["normalization=none", "epochs=5e3"],
     [r"data.input='it\'s 4.50'", "data.target=450"], ["data.input='true'", "data.path='a b.csv'"]],
    ids=str,
)  # fmt: skip
def test_overrides_repeat_a_run(given: list[str]) -> None:
    """Its tag `overrides` composes to the same settings again."""
    first = settings(*given)
    again = settings(*(f"{key}={value}" for key, value in overrides(first).items()))
    assert overrides(again) == overrides(first)
    assert print_of(again, "") == print_of(first, "")


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_composes_to_valid_settings(experiment: str) -> None:
    settings(f"+experiment={experiment}")


def test_every_file_under_conf_says_how_to_call_it() -> None:
    for path in CONF.rglob("*.yaml"):
        head = path.read_text().splitlines()[:4]
        assert any(line.startswith("#") and not line.startswith("# @package") for line in head), path
        if path.parent.name in (*GROUPS, "experiment"):
            assert any("Call: " in line for line in head), path


def test_conf_offers_every_model_and_normalization_there_is() -> None:
    assert choices("model") == sorted(MODELS)
    assert choices("normalization") == sorted(NORMALIZATIONS)


def test_the_book_experiment_is_the_chapters_run_whatever_is_set_before() -> None:
    book = settings("+experiment=book")
    assert (book.lr, book.epochs, book.dtype) == (1e-2, 5000, "float32")
    assert (book.normalization.name, book.normalization.factor) == ("scale", 0.1)
    assert (book.model.name, book.model.start) == ("linear", {"w": 1.0, "b": 0.0})
    assert book.data.path == "data/thermometer.csv"


def test_epochs_may_be_written_as_5e3() -> None:
    assert settings("epochs=5e3").epochs == 5000


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as refusal:
        settings("lr=-1", "epochs=0", "dtype=float16", "model.start.w=x")
    for name in ("lr=-1", "epochs=0", "dtype=float16", "model.start.w=x"):
        assert name in str(refusal.value)


@pytest.mark.parametrize(
    "override",
    ["lr=2e-2", "epochs=5001", "normalization=none", "normalization.factor=0.2", "model=quadratic",
     "model.start.w=2", "dtype=float64", "data.input=t_c data.target=t_u"],
)  # fmt: skip
def test_whatever_decides_the_numbers_changes_the_fingerprint(override: str) -> None:
    assert print_of(settings(*override.split()), "digest") != print_of(settings(), "digest")


def test_other_data_change_the_fingerprint() -> None:
    assert print_of(settings(), "one") != print_of(settings(), "other")


def test_what_computes_a_run_is_on_record_in_parts() -> None:
    """So that what differs between two fingerprints can be named."""
    line, curve = code_of(settings()), code_of(settings("model=quadratic", "loss=mae"))
    assert [part for part in line if line[part] != curve[part]] == ["model", "loss"]
    assert set(line) == {"model", "loss", "normalization", "loop", "torch"}


def test_where_a_run_is_filed_or_its_data_lie_does_not_change_the_fingerprint() -> None:
    elsewhere = settings("tracking.experiment=other", "data.path=copy/of/it.csv")
    assert print_of(elsewhere, "digest") == print_of(settings(), "digest")


def test_paths_in_conf_exist() -> None:
    for choice in choices("data"):
        assert (ROOT / Path(settings(f"data={choice}").data.path)).is_file()


def test_settings_that_jobs_share_are_checked_once() -> None:
    """Of groups that are the same data; another job's mistake in its own is told all the same."""
    data = OmegaConf.to_container(OmegaConf.create(settings().model_dump(by_alias=True, exclude={"origin"})))
    assert isinstance(data, dict)
    wrong = data | {"data": data["data"] | {"target": data["data"]["input"]}}
    known: Known = {}

    def job(its: dict[Any, Any]) -> Settings:
        return check(Deferred(lambda: OmegaConf.create(its), lambda: its), known)

    one, other = job(data), job(data | {"lr": 0.5})
    assert (one.lr, other.lr) == (0.01, 0.5)
    assert (one.data, one.model) == (settings().data, settings().model)
    assert other.data is one.data
    with pytest.raises(ConfigError, match="are both"):
        job(wrong)
    with pytest.raises(ConfigError, match="lr=-1"):
        job(data | {"lr": -1})


def test_shared_spelling_is_each_runs_own() -> None:
    """A speller that has spelled others spells as one that has not: by identity, not value."""
    given = ["lr=0.5", "epochs=7", "normalization.factor=0.3", "model=quadratic", "dtype=float64"]
    speller, shared = Speller(), settings()
    several = [shared, *(settings(each) for each in given), shared.model_copy(update={"lr": -0.0})]
    several += [settings("model.start.w=0.0"), settings("model.start.w=-0.0")]
    for each in several * 2:
        spelled, alone = speller.spell(each), Speller().spell(each)
        assert (spelled.name, spelled.overrides) == (alone.name, alone.overrides)
        assert list(map(repr, spelled.rows)) == list(map(repr, alone.rows))
