"""What is on record, read back through MLflow's own client."""

from mlflow import MlflowClient
from mlflow.entities import Run


def recorded(client: MlflowClient, filter_string: str = "") -> list[Run]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, filter_string))


def is_parent(run: Run) -> bool:
    """Whether it stands for a sweep, with the params and metrics of the sweep's best."""
    return "mlflow.parentRunId" not in run.data.tags and "sweep" in run.data.tags


def curve(client: MlflowClient, run: Run) -> dict[int, float]:
    return {point.step: point.value for point in client.get_metric_history(run.info.run_id, "loss")}
