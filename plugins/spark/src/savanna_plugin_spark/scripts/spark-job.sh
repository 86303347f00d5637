# Runs a program on the cluster; its exit code is the program's.
# MASTER_ADDRESS, MASTER_PORT: where the master listens. The arguments follow in the last line.
. "$HOME/spark/conf/spark-env.sh"
cd program
submit() {
    exec "$SPARK_HOME/bin/spark-submit" --master "spark://$MASTER_ADDRESS:$MASTER_PORT" \
        --deploy-mode client "$@"
}
