"""Programs that tests run on clusters."""

from __future__ import annotations

COUNT_WORDS = """
import re, sys
from operator import add
from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
lines = spark.sparkContext.textFile(sys.argv[1], 4)
words = lines.flatMap(lambda line: re.findall("[a-z]+", line.lower()))
for word, count in sorted(words.map(lambda word: (word, 1)).reduceByKey(add).collect()):
    print(word, count)
spark.stop()
"""
"""Prints each word of a text with its number."""

SUM = """
from pyspark import SparkContext

spark = SparkContext()
print("sum", spark.parallelize(range(1000), 4).sum())
spark.stop()
"""
"""Adds the numbers below a thousand."""

MEET = """
import os, sys, time
from pyspark import SparkContext

def meet(number):
    folder, name, *others = sys_argv
    open(os.path.join(folder, name), "w").close()
    deadline = time.monotonic() + 60
    while not all(os.path.exists(os.path.join(folder, each)) for each in others):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} waits for {others}")
        time.sleep(0.02)
    return number * number

sys_argv = sys.argv[1:]
spark = SparkContext()
print("sum", spark.parallelize(range(10), 1).map(meet).sum())
spark.stop()
"""
"""Leaves its name in a folder and waits for others there, on an executor, then computes."""

HOLD = """
import os, sys, time
from pyspark import SparkContext

def hold(pair):
    while not os.path.exists(go):
        time.sleep(0.05)
    return pair

go = sys.argv[1]
spark = SparkContext()
numbers = spark.parallelize(range(1000), 8)
pairs = numbers.map(lambda number: (number % 10, number)).reduceByKey(lambda a, b: a + b, 8)
pairs.count()
print("holding", flush=True)
print(sorted(pairs.map(hold).collect()), flush=True)
spark.stop()
"""
"""Shuffles data over all executors, and then waits inside its tasks until a file is there."""

SLEEP = """
import time
from pyspark import SparkContext

spark = SparkContext()
print("sum", spark.parallelize(range(10), 2).sum(), flush=True)
spark.parallelize(range(2), 2).foreach(lambda each: time.sleep(600))
"""
"""Computes something, and then sleeps inside its tasks."""

FAIL = """
import sys

print("all went well until", 1 / 7)
print("there was no more", file=sys.stderr)
sys.exit(7)
"""

SHELL = """
set -eu
echo "$1 and $2 meet $GREETING"
cat data.txt
echo "this goes to the other stream" >&2
command -v spark-submit
echo "$MASTER"
seq 1 60000
"""
"""Says what it was given, and then much."""

MUCH = """
head -c 22000000 /dev/zero | tr '\\0' x
echo "all is written" >&2
"""
"""Writes five megabytes more than are kept of a stream."""
