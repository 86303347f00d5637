"""Apache Spark 4 in standalone mode."""
