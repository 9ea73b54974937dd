"""The quick loader composes what Hydra composes, only less often."""

from __future__ import annotations

import gc
import re
from copy import deepcopy
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, ListConfig, Node, OmegaConf, open_dict

from hydra_plugins.batch_launcher import plain_data

from .conftest import Sweep

KEYS = [
    *("lr", "epochs", "name", "nothing", "needed", "url", "env", "on", "layers", "unknown"),
    *("nested", "nested.deep", "nested.deep.a", "nested.deep.b", "nested.ref", "nested.ref.a"),
    *("nested.new", "layers.0", "typed", "typed.count", "typed.rate", "typed.color"),
    *("typed.either", "typed.size", "typed.words", "typed.table", "typed.table.x"),
    *("typed.table.y", "typed.unknown", "frozen.fixed", "db.user", "db.path", "store.user"),
    *("backup.user", "model.width", "hydra.job.name", "hydra.verbose"),
]
VALUES = [
    *("1", "-2", "0.5", "1e-3", "inf", "true", "null", "abc", "RED", "BLUE", "1_000", "a b", "''"),
    *("0", "-0", "-0.0", "007", "1e5", "1E-5", "5.", ".5", "+3", "1.5e+2", "nan", "-inf", "1e400"),
    *("'quoted, string'", '"it\'s"', "'${lr}'", "${lr}", "${nested.deep}", "${nowhere}", "???"),
    *("[]", "[1,2]", "[a,'b c']", "[${lr}]", "{}", "{a:5}", "{x:7,y:8}", "{driver:own}", "${"),
    *("${hydra:job.num}", "${oc.env:HOME}", "x-${name}", "a=b", "1,2", "range(3)", "int(3)"),
]
CHOICES = ["db=mysql", "db=sqlite", "db=none_such", "model=big", "model=small", "model/head=softmax"]
CHOICES += ["db@backup=sqlite", "+db@third=sqlite", "~db@backup", "+model=big", "db=[mysql,sqlite]"]
DELETIONS = [f"~{key}" for key in KEYS] + ["~lr=0.1", "~lr=3", "~db", "~db=mysql"]

value_override = st.builds(
    "{}{}={}".format,
    st.sampled_from(["", "", "", "+", "++"]),
    st.sampled_from(KEYS),
    st.sampled_from(VALUES),
)
# Sound ones more often than chance would have it: a list is no sounder than its worst member.
SOUND = [
    *("lr=3", "epochs=1e3", "name=${lr}", "nothing=4", "nested.deep.a=7", "nested.deep.b=x"),
    *("needed='x y'", "typed.count=5", "typed.color=BLUE", "typed.rate=null", "typed.words=[z]"),
    *("on=false", "layers=[4]", "lr=${hydra:job.num}", "+n=1", "++n=2", "db.user=me"),
    *("db=sqlite", "model=big"),
]
sound = st.sampled_from(SOUND)
override = sound | sound | value_override | st.sampled_from(CHOICES) | st.sampled_from(DELETIONS)


def portrait(node: Node) -> Any:
    """All that tells two nodes apart: values as written, types, flags and keys, to the leaves."""
    meta = node._metadata
    seen = (
        *(type(node), meta.ref_type, meta.object_type, meta.optional, meta.key, meta.flags),
        *(getattr(meta, "key_type", None), getattr(meta, "element_type", None)),
        {name: dict(cache) for name, cache in meta.resolver_cache.items()},
    )
    content = node.__dict__.get("_content")
    if isinstance(node, DictConfig) and isinstance(content, dict):
        assert all(child._get_parent() is node for child in content.values())
        return seen, {key: portrait(child) for key, child in content.items()}
    if isinstance(node, ListConfig) and isinstance(content, list):
        return seen, [portrait(child) for child in content]
    value = node._value()
    return seen, type(value), repr(value)  # 3 is not 3.0


def outcome(compose: Any, *args: Any) -> Any:
    """What comes of composing: the config to its last detail, or the error as the user reads it."""
    try:
        config = compose(*args)
    except Exception as error:
        return type(error), str(error), repr(error.__cause__)
    # Outside: a config that was handed out must not turn out wrong when it is looked at.
    assert config._get_root() is config
    return portrait(config)


thorough = settings(
    derandomize=True,
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.slow
@thorough
@example([["lr=3"], ["~lr", "lr=3"], ["~lr"]])
@example([["nested.deep.a=7"], ["nested=3", "nested.deep.a=7"], ["nested.deep.a=8"]])
@example([["nested.deep.a=7"], ["nested.deep='${nested.ref}'", "nested.deep.a=7"]])
@example([["typed.table.x=7"], ["typed.table='${nested}'", "typed.table.x=7"]])
@example([["nested.ref.a=7", "nested.deep={a:8,c:9}"], ["nested.deep={a:8}", "nested.ref.a=7"]])
@example([[f"lr={number}"] for number in ("0", "-0", "-0.0", "007", "1e5", "1E-5", "5.", ".5", "1e400")])
@example([["typed.count=5.0"], ["typed.rate=5"], ["typed.count=-0"], ["name=5"], ["name=5e0"]])
@example([["+n=1", "n=2", "~n=2"], ["n=2", "+n=1"], ["lr=1", "lr=2", "lr=1"]])
@example([["db=sqlite", "hydra.verbose=true", "db.path=x"], ["hydra.job.name=x", "lr=3"]])
@example([["db.user=me", "db={user:own}"], ["db={user:own}", "db.user=me"], ["db=sqlite"]])
@given(jobs=st.lists(st.lists(override, max_size=5), min_size=1, max_size=3))
def test_every_config_is_the_one_hydra_composes(sweep: Sweep, jobs: list[list[str]]) -> None:
    # Several jobs with one loader: none may leave a trace in the next one's config.
    quick = sweep.quick()
    first = [outcome(quick.load_sweep_config, sweep.master, job) for job in jobs]
    again = [outcome(quick.load_sweep_config, sweep.master, job) for job in jobs]
    expected = [outcome(sweep.stock.load_sweep_config, sweep.master, job) for job in jobs]
    assert first == expected
    assert again == expected


def stock_task(sweep: Sweep, overrides: list[str], number: int) -> DictConfig:
    """The task's config and HydraConfig as Hydra's run_job sets them up."""
    config = sweep.stock.load_sweep_config(sweep.master, overrides)
    with open_dict(config):
        config.hydra.job.id = config.hydra.job.num = number
        config.hydra.runtime.output_dir = f"/swept/{config.hydra.sweep.subdir}"
    HydraConfig.instance().set_config(config)
    task = deepcopy(config)
    with open_dict(task):
        del task["hydra"]
    return task


PLAIN = ["lr=2", "db=sqlite", "name='a, b'"]
OTHERS = [PLAIN, ["+extra=1", "lr=${epochs}"], ["hydra.job.config.override_dirname.kv_sep=-", "lr=3"]]


@pytest.mark.parametrize("overrides", OTHERS)
def test_hydra_answers_as_in_the_jobs_own_process(sweep: Sweep, overrides: list[str]) -> None:
    assert sweep.master.when  # once for the sweep: what jobs would resolve themselves, differs
    quick = sweep.quick()
    configs = [quick.job_config(overrides, number) for number in (3, 4)]
    for number, config in enumerate(configs, start=3):
        assert not HydraConfig.initialized()
        answers = OmegaConf.to_container(config, resolve=True)
        assert isinstance(answers, dict)
        try:
            expected = OmegaConf.to_container(stock_task(sweep, overrides, number), resolve=True)
        finally:
            HydraConfig.instance().cfg = None
        assert answers == expected
        assert answers["asked"]["num"] == number
        assert answers["asked"]["place"] == f"/swept/{number}"


def data_of(compose: Any, *args: Any) -> Any:
    """The data of a job's config, or that it has none."""
    try:
        data = OmegaConf.to_container(compose(*args), resolve=True, throw_on_missing=True)
    except Exception as error:
        return type(error)
    finally:
        HydraConfig.instance().cfg = None
    return repr(data)  # 3 is not 3.0


def plain_data_of(quick: Any, job: list[str]) -> Any:
    """What is known of a job's data without composing; None where it is not."""
    try:
        data = plain_data(quick.job_config(job, 7))
    except Exception:
        return None
    return None if data is None else repr(data)


@pytest.mark.slow
@thorough
@example([["lr=3"], ["nested.deep.a=7"], ["lr=4", "nested.deep.a=8"], ["lr=5"]])
@example([["lr=3"], ["lr=${epochs}"], ["lr=???"], ["lr=null"], ["lr='$'"], ["lr=4"]])
@example(
    [
        ["on=1"],
        ["on=abc"],
        ["job=3", "lr=3"],
        ["layers=[3]", "nested.ref.a=3"],
        ["typed.count=4"],
        ["typed.count='4'"],
        ["on=[1]"],
    ]
)
@given(jobs=st.lists(st.lists(override, max_size=5), min_size=1, max_size=3))
def test_plain_data_are_those_of_hydras_config(plain_sweep: Sweep, jobs: list[list[str]]) -> None:
    """Whatever is known of a job without composing is what its composed config resolves to."""
    quick = plain_sweep.quick()
    for job in [*jobs, *jobs]:
        known = plain_data_of(quick, job)
        assert known is None or known == data_of(stock_task, plain_sweep, job, 7)


def test_plain_values_need_no_composing(plain_sweep: Sweep) -> None:
    quick = plain_sweep.quick()
    for number in range(3):
        data = plain_data(quick.job_config([f"lr={number}.5", f"nested.deep.a={number}"], number))
        assert data is not None
        assert (data["lr"], data["nested"]["deep"]["a"]) == (number + 0.5, number)
        assert (data["job"], data["told"]) == (number, [f"lr={number}.5", f"nested.deep.a={number}"])
    looked_at = quick.job_config(["lr=1"], 0)
    assert looked_at.lr == 1
    assert plain_data(looked_at) is None  # whoever has it may have changed it
    assert plain_data(quick.job_config(["lr=${epochs}"], 0)) is None


def test_hydra_answers_where_the_output_would_lie(sweep: Sweep) -> None:
    overrides = ["~asked", "name=${hydra:runtime.output_dir}"]
    assert sweep.quick().job_config(overrides, 7).name == "/swept/7"


def test_a_job_shares_what_the_sweep_has_resolved_once(sweep: Sweep) -> None:
    OmegaConf.clear_cache(sweep.master)
    quick = sweep.quick()
    quick.job_config(["lr=1"], 0)
    when = sweep.master.when  # to the microsecond, and after the first job was composed
    assert quick.job_config(["lr=2"], 1).when == when
    assert quick.load_sweep_config(sweep.master, ["lr=2"]).when == when


def test_other_interpolations_stay_lazy(sweep: Sweep) -> None:
    config = sweep.quick().job_config(["name=${lr}", "nothing=${hydra:job.num}"], 7)
    config.lr = 5
    assert config.name == 5
    assert config.nothing == 7


def test_configs_of_two_jobs_share_nothing(sweep: Sweep) -> None:
    quick = sweep.quick()
    one, two = quick.job_config(["lr=1"], 0), quick.job_config(["lr=1"], 1)
    one.nested.deep.a = 99
    one.layers[0] = 99
    OmegaConf.set_readonly(one, True)
    assert two.nested.deep.a == 1
    assert two.layers[0] == 1
    assert quick.job_config(["lr=1"], 2).nested.deep.a == 1
    assert not OmegaConf.is_readonly(two)


def test_one_full_composition_per_choice_of_groups(sweep: Sweep) -> None:
    quick = sweep.quick()
    jobs = [
        [f"lr={lr}", f"epochs={epochs}", f"db={db}"]
        for lr in range(20)
        for epochs in range(5)
        for db in ("mysql", "sqlite")
    ]
    for job in jobs:  # as a sweeper validates
        quick.load_sweep_config(sweep.master, job)
    for number, job in enumerate(jobs):  # as the launcher composes
        quick.job_config(job, number)
    assert len(jobs) == 200
    assert quick.compositions == 2


def test_nothing_stays_of_a_number(plain_sweep: Sweep) -> None:
    """What a loader keeps does not grow with the values that a setting is swept over."""
    quick = plain_sweep.quick()

    def compose(numbers: range) -> int:
        for number in numbers:
            quick.load_sweep_config(plain_sweep.master, [f"lr={number}.5"])
            quick.job_config([f"lr={number}.5"], number)
        gc.collect()
        return sum(type(each) is Override for each in gc.get_objects())

    gc.freeze()  # what else this process holds takes the collector a second
    try:
        assert compose(range(30)) == compose(range(30, 60))
    finally:
        gc.unfreeze()


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["unknown=1"], "Could not override 'unknown'"),
        (["db=none_such"], "Could not find 'db/none_such'"),
        (["typed.count=many"], "Error merging override typed.count=many"),
        (["lr=1,2"], "Ambiguous value"),
    ],
)
def test_validation_refuses_with_hydras_message(sweep: Sweep, overrides: list[str], message: str) -> None:
    with pytest.raises(Exception, match=re.escape(message)):
        sweep.quick().load_sweep_config(sweep.master, overrides)
