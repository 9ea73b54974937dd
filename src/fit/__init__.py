"""From settings and pairs to results: what trains together, the exact yardsticks, what came of each run."""
