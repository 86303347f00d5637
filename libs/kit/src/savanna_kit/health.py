"""The command ``savanna-health``: does the service of this environment serve?

For whoever starts services and can not show a certificate itself: probes of Kubernetes, health
checks of containers. It reads where the service listens and who it is from the service's own
settings, and imports nothing of the service, so that it may be asked every few seconds.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from savanna_kit import commands
from savanna_kit.channels import Peer, connect_blocking
from savanna_kit.settings import ServiceSettings, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

_ANSWER_SECONDS = 3.0
_USAGE = """\
usage: savanna-health SERVICE            ask whether a service of this machine serves
       savanna-health --alive SERVICE    ask whether its process answers at all
       savanna-health --version          say which version this is

SERVICE is what its settings are named after: api, conductor, scheduler, engine, plugin-spark, ...
It reads SAVANNA_<SERVICE>_LISTEN and SAVANNA_<SERVICE>_TLS_*, and ends with 0 if the service
serves, with 1 if it drains, can not work now (a conductor whose database does not answer) or does
not answer, with 2 if it can not be asked. With --alive it ends with 0 for any answer: to start a
service anew does not mend its database.
"""


def main(words: Sequence[str] | None = None) -> None:
    """Run the command, with the words of its command line or with those given."""
    words = sys.argv[1:] if words is None else words
    commands.answer(words, command="savanna-health", usage=_USAGE)
    only_alive, service = list(words[:-1]) == ["--alive"], "".join(words[-1:])
    if len(words) != 1 + only_alive or service.startswith("-"):
        commands.refuse(_USAGE)
    try:
        given = _settings(service)
        state = ask(given, role=service.partition("-")[0])
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    sys.stdout.write(f"{service} at {given.listen}: {state}\n")
    good = ("SERVING", "NOT_SERVING") if only_alive else ("SERVING",)
    sys.exit(0 if state in good else 1)


def ask(given: ServiceSettings, *, role: str, timeout: float = _ANSWER_SECONDS) -> str:
    """Ask the service that was started with these settings: SERVING, NOT_SERVING while it drains
    or can not work, or why there is no answer within ``timeout`` seconds.

    Raises ``SettingsError`` for settings that do not say where it is.
    """
    identity = given.identity()
    address = _reached_at(given.listen)
    peer = None if identity is None else Peer(identity, role)
    with connect_blocking(address, peer=peer) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=timeout
            )
        except grpc.RpcError as error:
            return f"no answer ({error.details()})"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def _settings(service: str) -> ServiceSettings:
    prefix = f"SAVANNA_{service.replace('-', '_').upper()}_"

    class Asked(ServiceSettings):
        # What else the service is told is not looked at here.
        model_config = SettingsConfigDict(env_prefix=prefix, extra="ignore", frozen=True)

    try:
        given = Asked()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])).upper()
        raise SettingsError(f"{prefix}{name}: {first['msg']}") from error
    if given.listen.endswith(":0"):
        raise SettingsError(f"{prefix}LISTEN is not set: it must say where the service is")
    return given


def _reached_at(listen: str) -> str:
    """Give an address of this machine for one that means all of them."""
    host, colon, port = listen.rpartition(":")
    if listen.startswith("unix:") or not colon:
        return listen
    return {"0.0.0.0": f"127.0.0.1:{port}", "[::]": f"[::1]:{port}"}.get(host, listen)
