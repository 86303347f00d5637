# Puts the configuration of Spark in place.
# OWN_ADDRESS: address of this node. Files beside this script: spark-defaults.conf, spark-env.sh.
base=$HOME/spark
spark_home=${SAVANNA_SPARK_HOME:-/opt/spark}
if ! [ -x "$spark_home/bin/spark-class" ]; then
    echo "There is no Spark in $spark_home: choose an image that has it." >&2
    exit 1
fi
for each in conf events local logs pids tmp work; do mkdir -p "$base/$each"; done

{
    cat <<PLACES
export SPARK_HOME="$spark_home"
export SPARK_CONF_DIR="$base/conf"
export SPARK_LOCAL_IP="$OWN_ADDRESS"
export SPARK_PUBLIC_DNS="$OWN_ADDRESS"
export SPARK_LOG_DIR="$base/logs"
export SPARK_PID_DIR="$base/pids"
export SPARK_WORKER_DIR="$base/work"
export SPARK_LOCAL_DIRS="$base/local"
export TMPDIR="$base/tmp"
# A killed JVM leaves nothing outside this folder.
export SPARK_SUBMIT_OPTS="-XX:-UsePerfData -Djava.io.tmpdir=$base/tmp"
PLACES
    # Two applications shall run side by side, also where a node has a single core.
    cores=$(getconf _NPROCESSORS_ONLN)
    [ "$cores" -ge 2 ] || cores=2
    echo "export SPARK_WORKER_CORES=$cores"
    cat spark-env.sh
} >"$base/conf/spark-env.sh.new"
mv "$base/conf/spark-env.sh.new" "$base/conf/spark-env.sh"

# The last value of a property counts: what users gave comes after the places of this node.
{
    echo "spark.eventLog.dir file:$base/events"
    echo "spark.history.fs.logDirectory file:$base/events"
    cat spark-defaults.conf
} >"$base/conf/spark-defaults.conf.new"
mv "$base/conf/spark-defaults.conf.new" "$base/conf/spark-defaults.conf"
