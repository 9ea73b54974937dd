"""Hydra's own suites for launchers, run without a function: the launcher then is the stock one."""

import pytest
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)

# The suites look for each job's output in its working directory.
CHDIR = "hydra.job.chdir=True"


@pytest.mark.parametrize(("launcher_name", "overrides"), [("batch", [CHDIR])])
class TestLauncher(LauncherTestSuite):
    pass


@pytest.mark.parametrize(
    ("launcher_name", "overrides"), [("batch", ["hydra.sweeper.max_batch_size=2", CHDIR])]
)
class TestBatchedSweeper(BatchedSweeperTestSuite):
    pass


@pytest.mark.slow
@pytest.mark.parametrize(("task_launcher_cfg", "extra_flags"), [({}, ["-m", "hydra/launcher=batch"])])
class TestIntegration(IntegrationTestSuite):
    pass
