"""What the fake plugin says of itself: Sahara's names, and the options that script it."""

from __future__ import annotations

from savanna_pluginkit import (
    CLUSTER,
    ENABLED,
    HIDDEN,
    About,
    AnyOption,
    BoolOption,
    ChoiceOption,
    IntOption,
    JobKind,
    TextOption,
    Version,
)
from savanna_pluginkit.sahara import GENERAL_OPTIONS

NAMENODE = "namenode"
JOBTRACKER = "jobtracker"

CONFIGURE, START, DECOMMISSION, JOB = "configure", "start", "decommission", "job"
PHASES = (CONFIGURE, START, DECOMMISSION, JOB)
NO_PHASE = "none"

DELAYS = {
    phase: IntOption(
        name=f"fake.delay.{phase}",
        default=0,
        least=0,
        description=f"Milliseconds that {phase} takes on each node.",
    )
    for phase in PHASES
}
FAIL_PHASE = ChoiceOption(
    name="fake.fail.phase",
    default=NO_PHASE,
    choices=(NO_PHASE, *PHASES),
    description="Phase that fails.",
)
FAIL_INSTANCES = TextOption(
    name="fake.fail.instances",
    default="*",
    description="Names of the instances that fail; * stands for any text.",
)
FAIL_EXIT_CODE = IntOption(
    name="fake.fail.exit_code",
    default=1,
    least=1,
    most=255,
    description="Exit code of the failing script; 75 means not yet.",
)
FAIL_MESSAGE = TextOption(
    name="fake.fail.message",
    default="scripted failure",
    description="Last line of the failing script; letters, digits, blanks and .,:_/- only.",
)
TIMEOUT = IntOption(
    name="fake.timeout",
    default=600,
    least=1,
    description="Seconds that one try of a script may take.",
)
PATIENCE = IntOption(
    name="fake.patience",
    default=3600,
    least=1,
    description="Seconds that a script may answer not yet in all.",
)
TRIES = IntOption(
    name="fake.tries", default=3, least=1, description="Tries that a script has in all."
)

SCRIPTING: tuple[AnyOption, ...] = (
    *DELAYS.values(),
    FAIL_PHASE,
    FAIL_INSTANCES,
    FAIL_EXIT_CODE,
    FAIL_MESSAGE,
    TIMEOUT,
    PATIENCE,
    TRIES,
)

JOB_DELAY = IntOption(
    name="fake.job.delay", default=0, least=0, description="Milliseconds that the job runs."
)
JOB_EXIT_CODE = IntOption(
    name="fake.job.exit_code", default=0, least=0, most=255, description="Its exit code."
)
JOB_MESSAGE = TextOption(name="fake.job.message", default="", description="A line that it prints.")
JOB_OPTIONS: tuple[AnyOption, ...] = (JOB_DELAY, JOB_EXIT_CODE, JOB_MESSAGE)

_KERBEROS: tuple[AnyOption, ...] = (
    BoolOption(
        name="Enable Kerberos Security", target="Kerberos", default=False, scope=CLUSTER, priority=1
    ),
    BoolOption(name="Existing KDC", target="Kerberos", default=False, scope=CLUSTER),
    TextOption(name="Server IP of KDC", target="Kerberos", default="192.168.0.1", scope=CLUSTER),
    TextOption(name="Realm Name", target="Kerberos", default="SAHARA-KDC", scope=CLUSTER),
    TextOption(name="Admin principal", target="Kerberos", default="sahara/admin", scope=CLUSTER),
    TextOption(name="Admin password", target="Kerberos", default="", scope=CLUSTER),
    TextOption(name="JCE libraries", target="Kerberos", default="", scope=CLUSTER),
)

_JOB_TYPES = (
    "Hive",
    "Java",
    "MapReduce",
    "MapReduce.Streaming",
    "Pig",
    "Shell",
    "Spark",
    "PySpark",
    "Storm",
    "Storm.Pyleus",
)
_WITHOUT_MAIN = ("Java", "MapReduce", "MapReduce.Streaming")

VERSION = Version(
    version="0.1",
    services={
        "HDFS": (NAMENODE, "datanode"),
        "MapReduce": ("tasktracker", JOBTRACKER),
        "Kerberos": (),
    },
    options=(*GENERAL_OPTIONS, *_KERBEROS, *SCRIPTING),
    image_tags=("fake", "0.1"),
    job_kinds=tuple(
        JobKind(name, needs_main=name not in _WITHOUT_MAIN, hints=JOB_OPTIONS)
        for name in _JOB_TYPES
    ),
    labels={"enabled": ENABLED},
)

ABOUT = About(
    name="fake",
    title="Fake Plugin",
    description=(
        "It's a fake plugin that aims to work on any images without anything of a distribution. "
        "Its options script how long phases take and which nodes fail; it is used for tests and "
        "for trying Savanna out."
    ),
    versions=(VERSION,),
    labels={"enabled": ENABLED, "hidden": HIDDEN},
)
