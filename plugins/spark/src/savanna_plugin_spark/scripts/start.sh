# Starts one process of Spark and waits until it serves; one that runs already is left as it is.
# NAME: master, worker or history-server. CLASS: its class. READY: what it logs when it serves.
# MASTER_ADDRESS, MASTER_PORT, PORT, UI_PORT: where it listens, and where its master does.
base=$HOME/spark
. "$base/conf/spark-env.sh"
# Also executors inherit this: a killed JVM leaves nothing outside the folder of Spark.
export JDK_JAVA_OPTIONS="-XX:-UsePerfData -Djava.io.tmpdir=$TMPDIR ${JDK_JAVA_OPTIONS:-}"
pid_file=$base/pids/$NAME
log=$base/logs/$NAME.log

is_up() {
    [ -s "$pid_file" ] && read -r pid <"$pid_file" || return 1
    { tr '\0' '\n' <"/proc/$pid/cmdline"; } 2>/dev/null | grep -q -x -F -e "$CLASS"
}

# Asked often, so without a process of its own; one that ended and was not waited for has no words.
lives() {
    words=
    { IFS= read -r words <"/proc/$pid/cmdline"; } 2>/dev/null || :
    [ -n "$words" ]
}

case $NAME in
master)
    set -- --host "$SPARK_LOCAL_IP" --port "$PORT" --webui-port "$UI_PORT"
    ;;
worker)
    set -- --host "$SPARK_LOCAL_IP" --port "$PORT" --webui-port "$UI_PORT" \
        "spark://$MASTER_ADDRESS:$MASTER_PORT"
    ;;
history-server)
    export SPARK_HISTORY_OPTS="-Dspark.history.ui.port=$UI_PORT ${SPARK_HISTORY_OPTS:-}"
    set --
    ;;
esac

if ! is_up; then
    if [ -e "$log" ]; then mv "$log" "$log.1"; fi
    # The process writes its own number before it becomes Spark: nothing runs that no file names.
    setsid /bin/sh -c 'echo $$ >"$0"; exec "$@"' "$pid_file" \
        "$SPARK_HOME/bin/spark-class" "$CLASS" "$@" </dev/null >"$log" 2>&1 &
    started=$!
    until is_up || ! kill -0 "$started" 2>/dev/null; do sleep 0.05; done
    pid=$started
fi

until grep -q -F -e "$READY" "$log"; do
    if ! lives; then
        echo "The $NAME has ended; its log says:" >&2
        tail -n 40 "$log" >&2
        exit 1
    fi
    sleep 0.1
done
echo "The $NAME serves."
