"""Count the words of a text with Spark and print the ten that come most often."""

import re
import sys
from operator import add

from pyspark.sql import SparkSession

spark = SparkSession.builder.appName("word count").getOrCreate()
lines = spark.sparkContext.textFile(sys.argv[1], 4)
words = lines.flatMap(lambda line: re.findall(r"[a-z]+", line.lower()))
counts = words.map(lambda word: (word, 1)).reduceByKey(add)
for word, count in counts.takeOrdered(10, key=lambda pair: (-pair[1], pair[0])):
    print(f"{count:>8}  {word}")
spark.stop()
