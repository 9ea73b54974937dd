"""Open the tracking store safely: MLflow's default, or what MLFLOW_TRACKING_URI names.

Where it lies is settled as it is opened: an address that holds wherever the process goes.
"""

from __future__ import annotations

import logging
import shlex
import sqlite3
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote, urlencode

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.uri import resolve_uri_if_local
from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from ..config import ConfigError, without_passwords
from ..package import command
from . import sqlite
from .experiment import DESCRIPTION
from .limits import LONGEST_TAG, cut
from .patience import Patience, away, patience_with, patient
from .record import NOTE

# They would print a traceback of a page, or a warning, besides what is told in a line
for name in ("mlflow.store.db.utils", "psycopg"):
    logging.getLogger(name).setLevel(logging.CRITICAL)

OPENINGS = 4  # tries on a fresh PostgreSQL, where concurrent migrations fail but recover
DATABASES = ("postgresql", "mysql")
UI_ADDRESS = "http://127.0.0.1:5000/"  # where `mlflow ui` without options serves

BY_GAP = {"orderByKey": "metrics.`loss_gap`", "orderByAsc": "true"}  # by a metric the children stand flat
MODE = {"workflowType": "machine_learning"}  # without it a page opens in MLflow's other mode, of traces

A = TypeVar("A")


@dataclass(frozen=True)
class Store:
    """An open store and the experiment that runs are filed under; an empty id stands for them all."""

    uri: str
    client: MlflowClient
    experiment_id: str

    def experiment_of(self, experiment_id: str) -> str:
        """What an experiment is called."""
        return str(self.client.get_experiment(experiment_id).name)

    @property
    def experiment_ids(self) -> list[str]:
        """The experiments to look for runs in."""
        if self.experiment_id:
            return [self.experiment_id]
        return [experiment.experiment_id for experiment in self.client.search_experiments()]

    @property
    def backend(self) -> object:
        """MLflow's own store behind the client; what it is decides how runs are written."""
        return self.client._tracking_client.store

    @property
    def patience(self) -> Patience:
        """That with which it is asked; what the client creates is to be asked for through it."""
        return patience_with(self.uri)

    @property
    def patience_of_registry(self) -> Patience:
        """That with which its model registry is asked, which may be elsewhere."""
        return patience_with(_registry() or self.uri)

    @property
    def file(self) -> Path | None:
        """Where a sqlite store lies."""
        return _file(self.uri) if self.uri.startswith("sqlite") else None

    @property
    def is_server(self) -> bool:
        """Whether a server stands between this process and the database."""
        return self.uri.startswith(("http://", "https://"))

    @property
    def is_for_all(self) -> bool:
        """Whether other machines can reach it, for all that its address tells."""
        return self.is_server or self.uri.startswith(DATABASES)

    def run_page(self, run_id: str, file: str = "") -> str:
        """The address of a run's page, or of one of its files there."""
        return self._page(f"{self._runs}/{run_id}{f'/artifacts/{quote(file)}' if file else ''}")

    def keep_files(self, run_id: str, folder: Path) -> None:
        """Log a run's files, if any, and link them below its description, for any server of this store."""
        files = sorted(folder.iterdir(), key=lambda path: (path.suffix, path.name))
        if not files:
            return
        self.client.log_artifacts(run_id, str(folder))
        told = self.client.get_run(run_id).data.tags.get(NOTE, "")
        links = " · ".join(
            f"[{path.stem.replace('_', ' ')}]({self.run_page(run_id, path.name).removeprefix(self.root)})"
            for path in files
        )
        self.client.set_tag(run_id, NOTE, cut(f"{told}\n\n{links}", LONGEST_TAG))

    def model_page(self, model_id: str) -> str:
        """The address of a logged model's page."""
        return self._page(f"/experiments/{self.experiment_id}/models/{model_id}")

    def sweep_page(self, sweep: str) -> str:
        """The address of the plain table of a sweep's runs, best first."""
        return self.runs_page({"searchFilter": f"tags.sweep = '{sweep}'", **BY_GAP})

    def runs_page(self, view: dict[str, str]) -> str:
        """The address of the experiment's table of runs, with a choice of what it shows."""
        return self._page(self._runs, view)

    @property
    def _runs(self) -> str:
        return f"/experiments/{self.experiment_id}/runs"

    def _page(self, path: str, query: Mapping[str, str] = MODE) -> str:
        return f"{self.root}#{path}?{urlencode({**MODE, **query}, quote_via=quote)}"

    @property
    def root(self) -> str:
        """Where all these addresses begin; the rest of each holds on any server of this store."""
        return f"{without_passwords(self.uri).rstrip('/')}/" if self.is_server else UI_ADDRESS

    @property
    def how_to_serve(self) -> str:
        """The command by which these addresses answer, from any folder; empty for a server."""
        if self.is_server:
            return ""
        # Of an address that holds a password the variable's name, not its value.
        is_shown = without_passwords(self.uri) == self.uri
        address = shlex.quote(self.uri) if is_shown else '"$MLFLOW_TRACKING_URI"'
        return f"mlflow ui --backend-store-uri {address}"


def open_store(experiment: str, uri: str | None = None) -> Store:
    """Open the store to write to it, creating it and the experiment where they do not exist.

    `uri`: of another than MLflow would open. Raises ConfigError for a store that cannot be opened or written,
    and for an experiment that was deleted.
    """
    return _open(sqlite.make_ready, lambda client: _experiment_id(client, experiment), uri)


def file_in_use() -> Path | None:
    """Where the store lies that would be opened, None where that is no file of this machine."""
    uri = mlflow.get_tracking_uri()
    return _file(uri) if uri.startswith("sqlite") else None


def existing(experiment: str | None = None) -> Store:
    """Open a store to read from it, all experiments or one; nothing is created.

    Raises ConfigError where there is no store, or no such experiment in it.
    """
    return _open(_require_store, lambda client: _known_experiment_id(client, experiment))


def _require_store(path: Path) -> None:
    if not sqlite.is_there(path):
        raise ConfigError(
            f"there are no runs here: {path} is not there, or empty; train some with {command('train')}, "
            "change to the folder they are in, or name their store in MLFLOW_TRACKING_URI"
        )


def _open(
    prepare: Callable[[Path], None], experiment_id: Callable[[MlflowClient], str], uri: str | None = None
) -> Store:
    """`prepare` is given a sqlite store's file before MLflow touches it."""
    uri = uri or mlflow.get_tracking_uri()
    for attempt in range(1, OPENINGS + 1):
        try:
            uri = _settled(uri)
            if uri.startswith("sqlite"):
                prepare(_file(uri))
            elif uri.startswith(DATABASES):
                _knock(uri)
            client = _client(uri)
            return Store(uri, client, experiment_id(client))
        except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ModuleNotFoundError) as error:
            is_race = uri.startswith("postgresql") and not isinstance(error, OperationalError)
            if attempt == OPENINGS or not is_race:
                why = away(error) or sqlite.brief(error)
                what = without_passwords(f"the tracking store {uri} cannot be opened: {why}")
                raise ConfigError(f"{what}; {_remedy(uri)}") from error
            time.sleep(attempt)
    raise AssertionError("unreachable")


def _remedy(uri: str) -> str:
    if uri.startswith("sqlite"):
        return "make it and its folder writable, or name another in MLFLOW_TRACKING_URI"
    return "check MLFLOW_TRACKING_URI, or unset it to use ./mlflow.db"


def _settled(uri: str) -> str:
    """The address as it reads from any folder."""
    if uri.startswith("sqlite"):
        return make_url(uri).set(database=str(_file(uri))).render_as_string(hide_password=False)
    return str(resolve_uri_if_local(uri))  # type: ignore[no-untyped-call]


def _client(uri: str) -> MlflowClient:
    registry = _registry()

    def ask_registry(step: Callable[[], A]) -> A:
        try:
            if registry and registry.startswith(DATABASES):
                _knock(registry)
            return patience_with(registry or uri)(step)
        except (MlflowException, SQLAlchemyError) as error:
            why = away(error) or ("" if isinstance(error, MlflowException) else sqlite.brief(error))
            if not why or not registry:
                raise
            what = without_passwords(f"the model registry {registry} cannot be opened: {why}")
            raise ConfigError(f"{what}; check MLFLOW_REGISTRY_URI, or unset it to use the store's") from error

    return patient(MlflowClient(uri, registry), patience_with(uri), ask_registry)


def _registry() -> str | None:
    """The address of a model registry that is not the store, as it reads from any folder."""
    uri = mlflow.get_registry_uri()
    return None if uri == mlflow.get_tracking_uri() else _settled(uri)


def _file(uri: str) -> Path:
    """Where a sqlite store lies; raises ConfigError for one that is in no file."""
    name = make_url(uri).database
    if not name or name.startswith((":", "file:")):
        raise ConfigError(f"{uri} names no file: give it as in sqlite:///runs.db")
    return Path(name).absolute()


def _knock(uri: str) -> None:
    """MLflow itself would try for minutes before it says that a database cannot be opened."""
    engine = create_engine(uri, connect_args={"connect_timeout": 5})
    with engine.connect():
        pass
    engine.dispose()


def _experiment_id(client: MlflowClient, name: str) -> str:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        try:
            return str(client.create_experiment(name, tags={NOTE: DESCRIPTION}))
        except MlflowException:  # another process was first
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        raise ConfigError(
            f"tracking.experiment={name} was deleted: restore it with "
            f"`mlflow experiments restore -x {experiment.experiment_id}`, or give another name"
        )
    return str(experiment.experiment_id)


def _known_experiment_id(client: MlflowClient, name: str | None) -> str:
    if name is None:
        client.search_experiments(max_results=1)  # a knock: a server may not be there
        return ""
    experiment = client.get_experiment_by_name(name)
    if experiment is None or experiment.lifecycle_stage == "deleted":
        names = ", ".join(each.name for each in client.search_experiments())
        raise ConfigError(f"there is no experiment {name}: the store has {names or 'none'}")
    return str(experiment.experiment_id)
