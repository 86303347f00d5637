"""What the Spark plugin says of itself."""

from __future__ import annotations

from savanna_plugin_spark import options
from savanna_plugin_spark.properties import PROPERTIES
from savanna_pluginkit import ENABLED, STABLE, About, JobKind, Version
from savanna_pluginkit.sahara import GENERAL_OPTIONS

VERSIONS = ("4.3",)
"""A new release of Spark 4 is added here; nothing else depends on it."""


def _version(version: str) -> Version:
    of_programs = (options.DRIVER_CLASS_PATH, options.ADAPT_FOR_SWIFT)
    return Version(
        version=version,
        services={
            options.SERVICE: (options.MASTER, options.WORKER, options.HISTORY_SERVER),
        },
        options=(*GENERAL_OPTIONS, *options.OPTIONS, *PROPERTIES),
        image_tags=("spark", version),
        job_kinds=(
            JobKind(options.SPARK, hints=(options.MAIN_CLASS, *of_programs)),
            JobKind(options.PYSPARK, hints=of_programs),
            JobKind(options.SHELL),
        ),
        labels={"enabled": ENABLED, "stable": STABLE},
    )


ABOUT = About(
    name="spark",
    title="Apache Spark",
    description=(
        "This plugin provides an ability to launch Spark 4 clusters in standalone mode: a master, "
        "any number of workers and a history server. Programs in Python, Java and Scala and shell "
        "scripts run on the master's node."
    ),
    versions=tuple(_version(each) for each in VERSIONS),
    labels={"enabled": ENABLED},
)
