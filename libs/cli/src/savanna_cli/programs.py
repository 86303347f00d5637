"""Bringing a program to Savanna: its bytes as job binaries, and a job template that names them.

Names come from the bytes, so that running the same file again sends and stores nothing twice, and
running a changed one never changes a job that was sent before. Libraries keep their file names,
because programs import them by these.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from savanna.api.v1 import job_service_pb2 as pb
from savanna.job.v1.job_pb2 import JobBinary, JobTemplate
from savanna_cli.failures import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from savanna_client import Client

_TYPES = {".py": "PySpark", ".jar": "Spark", ".sh": "Shell"}
_LONGEST = 50
_DIGITS = 8


@dataclass(frozen=True)
class Program:
    """What is to be run: files of this machine, and the type of job."""

    main: Path
    libs: Sequence[Path]
    type: str


def type_of(main: Path) -> str:
    """Guess the type of job from the name of its main file.

    Raises ``Refusal``.
    """
    if main.suffix not in _TYPES:
        known = ", ".join(f"{suffix} is {name}" for suffix, name in _TYPES.items())
        raise Refusal(f"{main}: its name does not tell the type of job ({known}): add --type")
    return _TYPES[main.suffix]


async def bring(client: Client, program: Program, say: Callable[[str], None]) -> JobTemplate:
    """Make sure that Savanna has the program, and give the job template that runs it.

    Raises ``Refusal`` for a file that can not be read.
    """
    listed = await client.whole(client.jobs.ListJobBinaries, pb.ListJobBinariesRequest())
    present = {each.name: each for each in listed.job_binaries}
    data = _read(program.main)
    digest = hashlib.sha256(data).hexdigest()
    name = _name(program.main.stem, digest[:_DIGITS], program.main.suffix)
    main = await _kept(client, name, data, present, say)
    libs = []
    for each in program.libs:
        library = await _kept(client, _name(each.stem, "", each.suffix), _read(each), present, say)
        libs.append(library)
    return await _template(client, program, main, libs)


async def _kept(
    client: Client,
    name: str,
    data: bytes,
    present: dict[str, JobBinary],
    say: Callable[[str], None],
) -> JobBinary:
    binary = present.get(name)
    if binary is not None and binary.sha256 == hashlib.sha256(data).hexdigest():
        return binary
    if binary is None:
        request = pb.CreateJobBinaryRequest(job_binary=JobBinary(name=name))
        binary = (await client.jobs.CreateJobBinary(request)).job_binary
    elif binary.size:
        say(f"{name} was sent before with other bytes; they are replaced")
    return await client.upload(binary, data)


async def _template(
    client: Client, program: Program, main: JobBinary, libs: Sequence[JobBinary]
) -> JobTemplate:
    wanted = JobTemplate(
        type=program.type, mains=[main.id], libs=[each.id for each in libs if each.id != main.id]
    )
    digest = hashlib.sha256(wanted.SerializeToString(deterministic=True)).hexdigest()
    wanted.name = _name(program.main.stem, digest[:_DIGITS], "")
    listed = await client.whole(client.jobs.ListJobTemplates, pb.ListJobTemplatesRequest())
    for each in listed.templates:
        if each.name == wanted.name:
            return each
    answer = await client.jobs.CreateJobTemplate(pb.CreateJobTemplateRequest(template=wanted))
    return answer.template


def _name(stem: str, digest: str, suffix: str) -> str:
    """Give a name that Savanna accepts: letters, digits, '-', '_' and '.', at most 50."""
    end = (f"-{digest}" if digest else "") + suffix
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", stem).lstrip("._-") or "program"
    return plain[: _LONGEST - len(end)] + end


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Refusal(f"{path}: can not be read: {error.strerror}") from error
