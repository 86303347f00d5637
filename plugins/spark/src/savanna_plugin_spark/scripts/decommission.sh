# Lets the worker of this node hand over its work, then ends it. Exit code 75: executors still work.
base=$HOME/spark
pid_file=$base/pids/worker
told=$base/pids/worker.leaves

is_up() {
    [ -s "$pid_file" ] && read -r pid <"$pid_file" || return 1
    { tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null |
        grep -q -x -F -e org.apache.spark.deploy.worker.Worker
}

# A child that has ended, and that the worker has not waited for, does no work.
executors() {
    count=0
    for child in $(cat "/proc/$pid/task/"*/children 2>/dev/null); do
        case $(sed 's/.*) //' "/proc/$child/stat" 2>/dev/null) in
        '' | Z*) ;;
        *) count=$((count + 1)) ;;
        esac
    done
    echo "$count"
}

if ! is_up; then
    echo "No worker runs here."
    exit 0
fi
if ! [ -e "$told" ]; then
    # Spark's own signal: no new executors, blocks move to other workers, tasks come to their end.
    kill -s PWR "$pid"
    : >"$told"
    sleep 0.5
fi
looks=0
while is_up && [ "$(executors)" -gt 0 ]; do
    looks=$((looks + 1))
    if [ "$looks" -ge 30 ]; then
        echo "$(executors) executors still work."
        exit 75
    fi
    sleep 0.1
done
if is_up; then
    kill -s TERM "$pid"
    while is_up; do sleep 0.1; done
fi
echo "The worker has handed over its work and ended."
