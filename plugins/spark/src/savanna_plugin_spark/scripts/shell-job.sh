# Runs a shell script; its exit code is the script's. MAIN: its file name. It finds Spark on its PATH.
# MASTER_ADDRESS, MASTER_PORT: where the master listens. The arguments follow in the last line.
. "$HOME/spark/conf/spark-env.sh"
export PATH="$SPARK_HOME/bin:$PATH" MASTER="spark://$MASTER_ADDRESS:$MASTER_PORT"
cd program
run() {
    # A file that names its interpreter is run by it.
    case $(head -c 2 "$MAIN" | tr -d '\0') in
    '#!') exec "./$MAIN" "$@" ;;
    *) exec /bin/sh "$MAIN" "$@" ;;
    esac
}
