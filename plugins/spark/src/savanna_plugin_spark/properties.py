"""Properties of Spark that users may set on clusters and node groups, with the defaults here."""

from __future__ import annotations

from savanna_plugin_spark.options import SERVICE, SIZE, SIZE_IN_WORDS
from savanna_pluginkit import AnyOption, BoolOption, ChoiceOption, IntOption, TextOption


def _size(name: str, default: str, description: str, *, priority: int = 2) -> TextOption:
    return TextOption(
        name=name,
        target=SERVICE,
        default=default,
        pattern=SIZE,
        expected=SIZE_IN_WORDS,
        description=description,
        priority=priority,
    )


def _text(name: str, default: str, description: str) -> TextOption:
    return TextOption(name=name, target=SERVICE, default=default, description=description)


def _number(
    name: str, default: int, description: str, *, least: int = 0, priority: int = 2
) -> IntOption:
    return IntOption(
        name=name,
        target=SERVICE,
        default=default,
        least=least,
        description=description,
        priority=priority,
    )


def _truth(name: str, default: bool, description: str) -> BoolOption:
    return BoolOption(name=name, target=SERVICE, default=default, description=description)


CORES_MAX = _number(
    "spark.cores.max",
    0,
    "Cores of one application; 0 means one for each worker, so that several run side by side.",
    priority=1,
)

OURS: tuple[AnyOption, ...] = (
    _size("spark.executor.memory", "512m", "Heap of each executor.", priority=1),
    _number("spark.executor.cores", 1, "Cores of each executor.", least=1, priority=1),
    _size("spark.driver.memory", "512m", "Heap of the driver.", priority=1),
    _truth("spark.eventLog.enabled", True, "Whether the history server sees applications."),
    _truth("spark.eventLog.compress", False, "Whether what it reads is compressed."),
    _truth("spark.decommission.enabled", True, "Whether workers hand over before they leave."),
    _truth("spark.storage.decommission.enabled", True, "Whether blocks are handed over."),
    _truth(
        "spark.storage.decommission.rddBlocks.enabled", True, "Whether cached data is handed over."
    ),
    _truth(
        "spark.storage.decommission.shuffleBlocks.enabled",
        True,
        "Whether shuffle data is handed over.",
    ),
    _text(
        "spark.storage.decommission.replicationReattemptInterval",
        "1s",
        "How often a leaving worker looks whether all is handed over.",
    ),
    _truth("spark.master.rest.enabled", False, "Whether programs may be sent to port 6066."),
    _text("spark.history.fs.update.interval", "2s", "How often the history server looks."),
    _truth("spark.history.fs.cleaner.enabled", True, "Whether old histories are removed."),
    _truth("spark.ui.showConsoleProgress", False, "Whether progress bars are in the log."),
)
"""Options whose default here is written to spark-defaults.conf also when users say nothing."""

THEIRS: tuple[AnyOption, ...] = (
    _number("spark.default.parallelism", 0, "Partitions of data without a parent."),
    _number("spark.sql.shuffle.partitions", 200, "Partitions of shuffles in SQL.", least=1),
    _truth("spark.sql.adaptive.enabled", True, "Whether SQL plans are adapted while they run."),
    _text("spark.sql.warehouse.dir", "", "Folder of tables."),
    _text("spark.sql.session.timeZone", "", "Time zone of SQL sessions."),
    _size("spark.sql.files.maxPartitionBytes", "128m", "Largest piece of a file read at once."),
    _text("spark.sql.extensions", "", "Classes that extend SQL."),
    _size("spark.driver.maxResultSize", "1g", "Most that an action may give to the driver."),
    _size("spark.driver.memoryOverhead", "384m", "Memory of the driver beside its heap."),
    _number("spark.driver.cores", 1, "Cores of the driver.", least=1),
    _text("spark.driver.extraJavaOptions", "", "Options of the driver's JVM."),
    _text("spark.driver.extraClassPath", "", "Class path put before the driver's."),
    _text("spark.executor.extraJavaOptions", "", "Options of the executors' JVMs."),
    _text("spark.executor.extraClassPath", "", "Class path put before the executors'."),
    _size("spark.executor.memoryOverhead", "384m", "Memory of an executor beside its heap."),
    _size("spark.executor.pyspark.memory", "512m", "Most memory of Python in an executor."),
    _text("spark.executor.heartbeatInterval", "10s", "How often executors tell that they live."),
    _text("spark.network.timeout", "120s", "When a silent peer counts as lost."),
    _truth("spark.dynamicAllocation.enabled", False, "Whether executors come and go by need."),
    _number("spark.dynamicAllocation.minExecutors", 0, "Fewest executors of an application."),
    _number("spark.dynamicAllocation.maxExecutors", 1000, "Most executors of an application."),
    _truth(
        "spark.dynamicAllocation.shuffleTracking.enabled",
        True,
        "Whether executors with shuffle data are kept.",
    ),
    _truth("spark.shuffle.service.enabled", False, "Whether workers serve shuffle data."),
    _truth("spark.shuffle.compress", True, "Whether shuffle data is compressed."),
    _text("spark.memory.fraction", "0.6", "Share of the heap for execution and storage."),
    _text("spark.memory.storageFraction", "0.5", "Share of that kept for storage."),
    _truth("spark.memory.offHeap.enabled", False, "Whether memory outside the heap is used."),
    _size("spark.memory.offHeap.size", "512m", "Memory used outside the heap."),
    _text("spark.serializer", "", "Class that serialises objects."),
    _size("spark.kryoserializer.buffer.max", "64m", "Largest buffer of Kryo."),
    _truth("spark.rdd.compress", False, "Whether serialised cached data is compressed."),
    _text("spark.io.compression.codec", "", "Codec of internal data: lz4, lzf, snappy, zstd."),
    _text("spark.locality.wait", "3s", "How long a task waits for a node near its data."),
    ChoiceOption(
        name="spark.scheduler.mode",
        target=SERVICE,
        default="FIFO",
        choices=("FIFO", "FAIR"),
        description="Order of the jobs inside one application.",
    ),
    _truth("spark.speculation", False, "Whether slow tasks are started a second time."),
    _number("spark.task.cpus", 1, "Cores of each task.", least=1),
    _number("spark.task.maxFailures", 4, "Failures of a task that end its job.", least=1),
    _text("spark.jars", "", "Jars of every application."),
    _text("spark.jars.packages", "", "Maven coordinates of jars of every application."),
    _text("spark.jars.repositories", "", "Further repositories of these."),
    _text("spark.files", "", "Files put beside every executor."),
    _text("spark.submit.pyFiles", "", "Python files of every application."),
    _text("spark.pyspark.python", "", "Python of executors."),
    _text("spark.local.dir", "", "Folders for scratch data."),
    _text("spark.log.level", "", "Least level of the log."),
    _text("spark.hadoop.fs.s3a.endpoint", "", "Address of an S3 service."),
    _truth("spark.hadoop.fs.s3a.path.style.access", False, "Whether buckets are in the path."),
    _truth("spark.worker.cleanup.enabled", True, "Whether workers remove old applications."),
    _number("spark.worker.cleanup.interval", 1800, "Seconds between these removals.", least=1),
    _number(
        "spark.worker.cleanup.appDataTtl", 604800, "Seconds that applications are kept.", least=1
    ),
    _number("spark.worker.timeout", 60, "Seconds until a silent worker counts as lost.", least=1),
    _number("spark.deploy.retainedApplications", 200, "Ended applications on the web page."),
    _truth("spark.deploy.spreadOutApps", True, "Whether applications use all workers."),
    _text("spark.history.fs.cleaner.maxAge", "7d", "Age at which histories are removed."),
    _number("spark.history.retainedApplications", 50, "Histories kept in memory.", least=1),
)
"""Options written to spark-defaults.conf when users give them; Spark has the defaults."""

PROPERTIES: tuple[AnyOption, ...] = (CORES_MAX, *OURS, *THEIRS)
