"""Jobs: which program, with which options, as one script on the master's node."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from savanna_plugin_spark import options, scripts
from savanna_plugin_spark.conf import given_properties
from savanna_plugin_spark.properties import CORES_MAX
from savanna_pluginkit import InvalidArgument, address_of, binary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from savanna.job.v1.job_pb2 import JobBinary
    from savanna.plugin.v1.plugin_service_pb2 import File
    from savanna_pluginkit import ClusterView, InstanceView, JobView, Problems, Steps

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_PYTHON_LIBRARIES = (".py", ".zip", ".egg", ".whl")


def validate(job: JobView, problems: Problems) -> None:
    """Note what is wrong with a job."""
    if not job.mains:
        problems.add("job_template_id", f"A {job.type} job needs a main program; name one.")
        return
    if job.type == options.SPARK and not _is_python(job) and not job.get(options.MAIN_CLASS):
        problems.add(
            f"configs.configs.{options.MAIN_CLASS.name}",
            f"Spark job must specify {options.MAIN_CLASS.name}, the class whose main method is "
            "run; only programs that end in .py need none.",
        )
    if job.type == options.SHELL:
        for name in job.params:
            if not _VARIABLE.fullmatch(name):
                problems.add(
                    f"configs.params.{name}",
                    "Parameters become variables of the environment: use letters, digits and _.",
                )


def plan(cluster: ClusterView, job: JobView, steps: Steps) -> None:
    """Add the one step that runs a job."""
    masters = [each for each in cluster.running(options.MASTER) if not each.needs_starting]
    if not masters:
        raise InvalidArgument(f"the cluster {cluster.name} has no running master to run a job on")
    if not job.mains:
        raise InvalidArgument(f"the job template {job.name} names no main program")
    if job.type == options.SHELL:
        _plan_shell(masters[0], job, steps)
    else:
        _plan_program(cluster, masters[0], job, steps)


def _plan_program(cluster: ClusterView, master: InstanceView, job: JobView, steps: Steps) -> None:
    main, *others = job.mains
    is_python = _is_python(job)
    name = _file_name(main, ".py" if is_python else ".jar")
    libraries = [_file_name(each) for each in (*others, *job.libs)]
    words = ["--name", job.name or job.id]
    if not is_python:
        words += ["--class", job.get(options.MAIN_CLASS)]
    words += _library_options(libraries, is_python=is_python)
    if class_path := job.get(options.DRIVER_CLASS_PATH):
        words += ["--driver-class-path", class_path]
    for key, value in sorted(_properties(cluster, master, job).items()):
        words += ["--conf", f"{key}={value}"]
    words += [name, *job.args]
    steps.run_job(
        "run",
        on=master,
        title=f"Run the {job.type} job",
        text=f"{scripts.read('spark-job')}submit {shlex.join(words)}\n",
        environment={
            "MASTER_ADDRESS": address_of(master),
            "MASTER_PORT": str(cluster.get(options.MASTER_PORT)),
        },
        files=_files(name, main, zip(libraries, (*others, *job.libs), strict=True)),
    )


def _plan_shell(master: InstanceView, job: JobView, steps: Steps) -> None:
    main, *others = job.mains
    name = _file_name(main)
    libraries = [(_file_name(each), each) for each in (*others, *job.libs)]
    params = {key: value for key, value in job.params.items() if _VARIABLE.fullmatch(key)}
    steps.run_job(
        "run",
        on=master,
        title="Run the Shell job",
        text=f"{scripts.read('shell-job')}run {shlex.join(job.args)}\n",
        environment={
            **params,
            "MAIN": name,
            "MASTER_ADDRESS": address_of(master),
            "MASTER_PORT": str(master.group.cluster.get(options.MASTER_PORT)),
        },
        files=_files(name, main, libraries),
    )


def _properties(cluster: ClusterView, master: InstanceView, job: JobView) -> dict[str, str]:
    """Give the properties of a run: its own, and a share of the cluster unless users chose one."""
    own = {name: value for name, value in job.configs.items() if not name.startswith("edp.")}
    if CORES_MAX.name not in {**given_properties(master.group), **own}:
        workers = len(cluster.running(options.WORKER))
        own[CORES_MAX.name] = str(max(1, workers))
    return own


def _library_options(names: Sequence[str], *, is_python: bool) -> list[str]:
    """Sort libraries by what Spark does with them."""
    python = [each for each in names if is_python and each.endswith(_PYTHON_LIBRARIES)]
    jars = [each for each in names if each not in python and (not is_python or _is_jar(each))]
    files = [each for each in names if each not in python and each not in jars]
    sorted_out = (("--py-files", python), ("--jars", jars), ("--files", files))
    return [word for option, found in sorted_out if found for word in (option, ",".join(found))]


def _files(name: str, main: JobBinary, libraries: Iterable[tuple[str, JobBinary]]) -> list[File]:
    found = [binary(f"program/{name}", main.id, mode=0o755)]
    return found + [binary(f"program/{each}", library.id) for each, library in libraries]


def _is_python(job: JobView) -> bool:
    return job.type == options.PYSPARK or any(each.name.endswith(".py") for each in job.mains[:1])


def _is_jar(name: str) -> bool:
    return name.endswith(".jar")


def _file_name(each: JobBinary, ending: str = "") -> str:
    """Give a file name that neither a shell nor Spark's lists can take apart."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", each.name).lstrip(".-") or each.id
    return name if name.endswith(ending) else f"{name}{ending}"
