"""What the Spark plugin plans, refuses and tells."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from savanna.cluster.v1.cluster_pb2 import Instance
from savanna.operation.v1.operation_pb2 import Operation
from savanna.plugin.v1 import plugin_service_pb2 as pb
from savanna_kit.errors import InvalidArgument
from savanna_plugin_spark.plugin import SparkPlugin
from savanna_pluginkit.conformance import cluster, job, set_config
from savanna_pluginkit.conformance.driving import declared, instances, reach
from savanna_pluginkit.servicer import plan, requirements, validate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from savanna.cluster.v1.cluster_pb2 import Cluster
    from savanna_pluginkit.conformance import JobExample

GROUPS = {"master": (1, ["master", "history server"]), "worker": (2, ["worker"])}


def new(groups: Mapping[str, tuple[int, list[str]]] | None = None) -> Cluster:
    return declared(cluster("spark", "4.3", groups or GROUPS))


def ready() -> Cluster:
    made = new()
    for each in instances(made):
        reach(each, Instance.STATE_READY)
    return made


def launch(made: Cluster) -> pb.PlanResponse:
    return plan(SparkPlugin(), pb.PlanRequest(goal=Operation.GOAL_LAUNCH, cluster=made))


def steps(made: Cluster) -> Mapping[str, pb.Step]:
    return {each.key: each for each in launch(made).steps}


def conf(made: Cluster, node: str, name: str) -> list[str]:
    files = steps(made)[f"configure/{node}"].run_script.files
    return next(each.content for each in files if each.path == name).decode().splitlines()


def run(made: Cluster, example: JobExample) -> pb.Step:
    request = pb.PlanRequest(
        goal=Operation.GOAL_RUN_JOB,
        cluster=made,
        job=example.job,
        job_template=example.template,
        job_binaries=example.binaries,
    )
    (step,) = plan(SparkPlugin(), request).steps
    return step


def words(step: pb.Step) -> list[str]:
    return shlex.split(step.run_job.text.splitlines()[-1])


def problems(made: Cluster, current: Cluster | None = None) -> dict[str, str]:
    request = pb.ValidateRequest(cluster=made, current=current)
    return {each.field: each.reason for each in validate(SparkPlugin(), request).violations}


def test_workers_start_once_the_master_serves_and_do_not_wait_for_the_history_server() -> None:
    found = steps(new())
    worker = found["start/worker/c1-worker-0"]
    assert list(worker.needs) == ["configure/c1-worker-0", "start/master/c1-master-0"]
    assert worker.reaches == Instance.STATE_READY
    assert worker.run_script.environment["MASTER_ADDRESS"].address_of == "c1-master-0"
    assert found["start/master/c1-master-0"].reaches == Instance.STATE_UNSPECIFIED
    history = found["start/history-server/c1-master-0"]
    assert "start/master/c1-master-0" in history.needs
    assert history.reaches == Instance.STATE_READY


def test_a_worker_on_the_masters_node_is_ready_with_the_last_of_its_processes() -> None:
    found = steps(new({"all": (1, ["master", "worker", "history server"])}))
    reached = [each.key for each in found.values() if each.reaches == Instance.STATE_READY]
    assert reached == ["start/history-server/c1-all-0"]
    assert set(found[reached[0]].needs) == {
        "configure/c1-all-0",
        "start/master/c1-all-0",
        "start/worker/c1-all-0",
    }


def test_workers_may_be_in_any_number_of_groups() -> None:
    groups = {**GROUPS, "big": (1, ["worker"]), "bigger": (1, ["worker"])}
    assert problems(new(groups)) == {}
    assert {"start/worker/c1-big-0", "start/worker/c1-bigger-0"} <= set(steps(new(groups)))


def test_a_new_worker_needs_nothing_of_a_master_that_runs() -> None:
    made = ready()
    made.node_groups[1].instances[1].state = Instance.STATE_PLANNED
    found = steps(made)
    assert list(found) == ["configure/c1-worker-1", "start/worker/c1-worker-1"]
    assert list(found["start/worker/c1-worker-1"].needs) == ["configure/c1-worker-1"]


def test_a_worker_that_leaves_is_decommissioned_with_the_patience_that_users_give() -> None:
    made = ready()
    made.node_groups[1].instances[1].state = Instance.STATE_LEAVING
    set_config(made.cluster_configs, "Spark", "Decommission timeout", 120)
    (step,) = steps(made).values()
    assert (step.key, step.patience.seconds) == ("decommission/c1-worker-1", 120)


def test_configuration_reaches_the_files_and_that_of_a_group_wins() -> None:
    made = new()
    set_config(made.cluster_configs, "Spark", "spark.executor.memory", "1g")
    set_config(made.cluster_configs, "Spark", "Worker memory", "3g")
    set_config(made.cluster_configs, "Spark", "spark-defaults.conf", "spark.a=1; spark.b=x y")
    group = made.node_groups[1].spec.node_configs
    set_config(group, "Spark", "Worker memory", "2g")
    set_config(group, "Spark", "spark-env.sh", "WORD=it's")
    defaults = conf(made, "c1-master-0", "spark-defaults.conf")
    assert {"spark.executor.memory 1g", "spark.a 1", "spark.b x y"} <= set(defaults)
    assert "export SPARK_WORKER_MEMORY=3g" in conf(made, "c1-master-0", "spark-env.sh")
    environment = conf(made, "c1-worker-0", "spark-env.sh")
    assert "export SPARK_WORKER_MEMORY=2g" in environment
    assert shlex.split(environment[-1]) == ["export", "WORD=it's"]


def test_users_options_for_the_jvm_take_the_place_of_the_plugins() -> None:
    made = new()
    set_config(made.cluster_configs, "Spark", "spark.executor.extraJavaOptions", "-Xss4m")
    defaults = conf(made, "c1-master-0", "spark-defaults.conf")
    assert "spark.executor.extraJavaOptions -Xss4m" in defaults
    set_config(made.cluster_configs, "Spark", "spark.driver.memory", "8g")
    (line,) = [
        each
        for each in conf(made, "c1-master-0", "spark-defaults.conf")
        if each.startswith("spark.driver.extraJavaOptions")
    ]
    assert "SerialGC" not in line


def test_ports_that_users_choose_are_opened_and_told() -> None:
    made = ready()
    set_config(made.cluster_configs, "Spark", "Master webui port", 9090)
    request = pb.GetRequirementsRequest(cluster=made)
    groups = requirements(SparkPlugin(), request).groups
    assert [(each.node_group, list(each.ports)) for each in groups] == [
        ("master", [4040, 7077, 9090, 18080]),
        ("worker", [7078, 8081]),
    ]
    address = made.node_groups[0].instances[0].internal_ip
    told = launch(made).info.sections["Spark"].values
    assert dict(told) == {
        "Web UI": f"http://{address}:9090",
        "Master": f"spark://{address}:7077",
        "Spark History Server UI": f"http://{address}:18080",
    }


def test_nothing_is_told_before_addresses_are_known() -> None:
    assert not launch(new()).HasField("info")


@pytest.mark.parametrize(
    ("groups", "field", "reason"),
    [
        ({"w": (1, ["worker"])}, "node_groups", "INVALID_COMPONENT_COUNT"),
        (
            {"m": (2, ["master"]), "w": (1, ["worker"])},
            "node_groups[0].count",
            "INVALID_COMPONENT_COUNT",
        ),
        (
            {"m": (1, ["master"]), "n": (1, ["master"]), "w": (1, ["worker"])},
            "node_groups[1].count",
            "INVALID_COMPONENT_COUNT",
        ),
        ({"m": (1, ["master"])}, "node_groups", "INVALID_COMPONENT_COUNT"),
        (
            {"m": (1, ["master"]), "w": (1, ["worker", "history server"])},
            "node_groups[1].node_processes",
            "INVALID_TOPOLOGY",
        ),
    ],
)
def test_a_cluster_that_can_not_work_is_refused(
    groups: dict[str, tuple[int, list[str]]], field: str, reason: str
) -> None:
    assert problems(new(groups)) == {field: reason}


def test_the_master_can_not_be_scaled_and_workers_can_but_not_to_none() -> None:
    current = ready()
    wanted = ready()
    wanted.node_groups[1].count = 5
    assert problems(wanted, current) == {}
    wanted.node_groups[0].count = 2
    assert problems(wanted, current) == {"node_groups[0].count": "NODE_GROUP_CANNOT_BE_SCALED"}
    wanted = ready()
    wanted.node_groups[1].count = 0
    assert problems(wanted, current) == {"node_groups": "INVALID_COMPONENT_COUNT"}


def test_an_application_gets_a_core_of_each_worker_unless_users_say_otherwise() -> None:
    made = ready()
    example = job("PySpark", mains=["a.py"])
    assert "spark.cores.max=2" in words(run(made, example))
    own = job("PySpark", mains=["a.py"], configs={"spark.cores.max": 7})
    assert "spark.cores.max=7" in words(run(made, own))
    set_config(made.cluster_configs, "Spark", "spark.cores.max", 4)
    assert not [each for each in words(run(made, example)) if "cores.max" in each]


def test_a_jar_is_run_with_its_class_and_its_libraries() -> None:
    example = job(
        "Spark",
        mains=["app.jar", "second.jar"],
        libs=["lib.jar"],
        configs={"edp.java.main_class": "org.App", "edp.spark.driver.classpath": "/x"},
        args=["it's $HOME", "-v"],
    )
    step = run(ready(), example)
    line = words(step)
    assert line[:5] == ["submit", "--name", "example", "--class", "org.App"]
    assert line[line.index("--jars") + 1] == "second.jar,lib.jar"
    assert line[line.index("--driver-class-path") + 1] == "/x"
    assert line[-3:] == ["app.jar", "it's $HOME", "-v"]
    assert {each.path: each.job_binary_id for each in step.run_job.files} == {
        "program/app.jar": "id-of-app.jar",
        "program/second.jar": "id-of-second.jar",
        "program/lib.jar": "id-of-lib.jar",
    }
    assert step.instance == "c1-master-0"


def test_a_python_program_is_known_by_its_type_or_its_name() -> None:
    by_name = words(run(ready(), job("Spark", mains=["a.py"], libs=["b.py", "c.jar", "d.csv"])))
    assert "--class" not in by_name
    options = ("--py-files", "--jars", "--files")
    assert [by_name[by_name.index(each) + 1] for each in options] == ["b.py", "c.jar", "d.csv"]
    assert words(run(ready(), job("PySpark", mains=["count"])))[-1] == "count.py"


def test_a_name_of_a_binary_can_not_leave_its_folder() -> None:
    step = run(ready(), job("PySpark", mains=["../../evil, name.py"]))
    assert [each.path for each in step.run_job.files] == ["program/_.._evil__name.py"]


def test_parameters_of_a_shell_job_are_its_environment() -> None:
    step = run(ready(), job("Shell", mains=["main.sh"], params={"WHO": "a b"}, args=["x y"]))
    assert step.run_job.environment["WHO"].literal == "a b"
    assert step.run_job.environment["MAIN"].literal == "main.sh"
    assert words(step) == ["run", "x y"]


def test_a_job_is_refused_while_there_is_no_running_master() -> None:
    with pytest.raises(InvalidArgument, match="no running master"):
        run(new(), job("PySpark", mains=["a.py"]))
