"""Words and options of the Spark plugin that are not properties of Spark itself."""

from __future__ import annotations

from savanna_pluginkit import CLUSTER, AnyOption, IntOption, TextOption

SERVICE = "Spark"
MASTER, WORKER, HISTORY_SERVER = "master", "worker", "history server"

SPARK, PYSPARK, SHELL = "Spark", "PySpark", "Shell"

SIZE = r"[1-9][0-9]*[kKmMgGtT][bB]?"
SIZE_IN_WORDS = "a size with its unit, such as 512m or 4g"
PAIRS = r"\s*([A-Za-z_][A-Za-z0-9_.-]*=[^;]*(;\s*|$))*"


def _port(name: str, default: int, what: str) -> IntOption:
    return IntOption(
        name=name,
        target=SERVICE,
        scope=CLUSTER,
        default=default,
        least=1024,
        most=65535,
        description=what,
    )


MASTER_PORT = _port("Master port", 7077, "Port of the master.")
MASTER_UI_PORT = _port("Master webui port", 8080, "Port of the master's web pages.")
WORKER_PORT = _port("Worker port", 7078, "Port of each worker.")
WORKER_UI_PORT = _port("Worker webui port", 8081, "Port of the web pages of each worker.")
HISTORY_UI_PORT = _port(
    "History server webui port", 18080, "Port of the history server's web pages."
)
WORKER_CORES = IntOption(
    name="Worker cores",
    target=SERVICE,
    default=0,
    least=0,
    priority=1,
    description="Cores that a worker offers; 0 means those of its host, but at least two.",
)
WORKER_MEMORY = TextOption(
    name="Worker memory",
    target=SERVICE,
    default="",
    pattern=f"({SIZE})?",
    expected=SIZE_IN_WORDS,
    priority=1,
    description="Memory that a worker offers to executors; empty means its host's without 1 GiB.",
)
DAEMON_MEMORY = TextOption(
    name="Daemon memory",
    target=SERVICE,
    default="",
    pattern=f"({SIZE})?",
    expected=SIZE_IN_WORDS,
    description="Heap of master, worker and history server; empty means 512m, and 256m where "
    "only a worker runs.",
)
DECOMMISSION_TIMEOUT = IntOption(
    name="Decommission timeout",
    target=SERVICE,
    default=3600,
    least=1,
    scope=CLUSTER,
    description="Seconds that a worker which leaves gets to end its tasks and hand over its "
    "blocks; then it is removed all the same.",
)
MORE_PROPERTIES = TextOption(
    name="spark-defaults.conf",
    target=SERVICE,
    default="",
    pattern=PAIRS,
    expected="pairs such as spark.a=1; spark.b=2",
    description="Further properties for spark-defaults.conf, as spark.a=1; spark.b=2.",
)
MORE_ENVIRONMENT = TextOption(
    name="spark-env.sh",
    target=SERVICE,
    default="",
    pattern=PAIRS,
    expected="pairs such as A=1; B=2",
    description="Further variables for spark-env.sh, as A=1; B=2.",
)

OPTIONS: tuple[AnyOption, ...] = (
    MASTER_PORT,
    MASTER_UI_PORT,
    WORKER_PORT,
    WORKER_UI_PORT,
    HISTORY_UI_PORT,
    WORKER_CORES,
    WORKER_MEMORY,
    DAEMON_MEMORY,
    DECOMMISSION_TIMEOUT,
    MORE_PROPERTIES,
    MORE_ENVIRONMENT,
)

MAIN_CLASS = TextOption(
    name="edp.java.main_class",
    default="",
    description="Class whose main method is run; needed for programs in Java or Scala.",
    priority=1,
)
DRIVER_CLASS_PATH = TextOption(
    name="edp.spark.driver.classpath", default="", description="Class path of the driver."
)
ADAPT_FOR_SWIFT = TextOption(
    name="edp.spark.adapt_for_swift",
    default="false",
    pattern="(?i)false",
    expected="false: programs are run as they are, without a wrapper for Swift",
    description="Accepted for templates written for Sahara.",
)
