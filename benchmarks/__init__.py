"""How fast a sweep is, as ratios measured side by side: see README.md in this folder."""

# MLflow's tables that a sweep writes to, in an order in which rows can refer to earlier ones.
TABLES = ("datasets", "runs", "tags", "params", "metrics", "latest_metrics", "inputs", "input_tags")
