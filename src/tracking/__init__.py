"""The only room that knows MLflow: opens the store, writes complete runs, reads them back."""

import logging
import os
from pathlib import Path

from ..config import ConfigError

# Before MLflow is imported anywhere: it reads these once.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # we print our own
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # 7 would hang for minutes

# The migrations of a fresh store report some fifty lines; only their failures matter.
for _name in ("alembic", "mlflow.store.db.utils"):
    logging.getLogger(_name).setLevel(logging.WARNING)

try:
    Path.home()
except RuntimeError:  # MLflow, too, looks for it as it is imported, and would say less
    raise ConfigError("this user has no home folder, and MLflow needs one: name any in HOME") from None
