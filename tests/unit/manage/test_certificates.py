"""The command that makes certificates."""

from __future__ import annotations

import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509

from savanna_kit.validity import found

COMMAND = str(Path(sys.executable).parent / "savanna-manage")


def certs(*words: str) -> tuple[int, str]:
    """Run the command: exit code, and what it said."""
    done = subprocess.run(
        [COMMAND, "certs", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def names_of(folder: Path, role: str) -> list[str]:
    """Read the names and addresses of hosts in a leaf, its role's apart."""
    found = leaf(folder, role).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [
        *map(str, found.get_values_for_type(x509.IPAddress)),
        *(each for each in found.get_values_for_type(x509.DNSName) if each != f"{role}.savanna"),
    ]


def leaf(folder: Path, role: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / f"{role}.pem").read_bytes())


def test_each_role_gets_a_leaf_that_names_it_and_fits_its_key(tmp_path: Path) -> None:
    code, text = certs(str(tmp_path), "conductor", "engine", "--host", "10.0.0.7")
    assert (code, f"keep {tmp_path}/ca.key to yourself" in text) == (0, True)
    for role in ("conductor", "engine"):
        ssl.create_default_context().load_cert_chain(
            tmp_path / f"{role}.pem", tmp_path / f"{role}.key"
        )
        found = leaf(tmp_path, role)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = names.get_values_for_type(x509.UniformResourceIdentifier)
        assert uris == [f"spiffe://savanna/{role}"]
        assert names.get_values_for_type(x509.DNSName) == [f"{role}.savanna"]
        assert [str(each) for each in names.get_values_for_type(x509.IPAddress)] == ["10.0.0.7"]
        authority = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())
        found.verify_directly_issued_by(authority)
    assert not (tmp_path / "api.pem").exists()


def test_the_leaf_of_a_proxy_also_names_the_roles_that_it_stands_in_for(tmp_path: Path) -> None:
    assert certs(str(tmp_path), "envoy")[0] == 0
    names = leaf(tmp_path, "envoy").extensions.get_extension_for_class(x509.SubjectAlternativeName)
    inner = ("conductor", "scheduler", "engine", "plugin")
    found = names.value.get_values_for_type(x509.DNSName)
    assert found == [f"{each}.savanna" for each in ("envoy", *inner)]


def test_keys_can_be_read_by_their_owner_alone(tmp_path: Path) -> None:
    assert certs(str(tmp_path), "api")[0] == 0
    modes = {each.name: each.stat().st_mode & 0o777 for each in tmp_path.iterdir()}
    assert modes == {"ca.key": 0o600, "ca.pem": 0o644, "api.key": 0o600, "api.pem": 0o644}


def test_a_second_run_renews_the_leaves_and_keeps_the_authority(tmp_path: Path) -> None:
    assert certs(str(tmp_path), "api")[0] == 0
    authority, former = (tmp_path / "ca.pem").read_bytes(), leaf(tmp_path, "api")
    assert certs(str(tmp_path), "api")[0] == 0
    assert (tmp_path / "ca.pem").read_bytes() == authority
    assert leaf(tmp_path, "api").serial_number != former.serial_number


def test_a_leaf_that_is_renewed_keeps_its_hosts(tmp_path: Path) -> None:
    assert certs(str(tmp_path), "api", "--host", "savanna.example.org", "--host", "::1")[0] == 0
    assert certs(str(tmp_path), "api", "--host", "münchen.example.org")[0] == 0
    hosts = ["::1", "savanna.example.org", "xn--mnchen-3ya.example.org"]
    assert sorted(names_of(tmp_path, "api")) == hosts


def test_a_leaf_ends_with_its_authority_at_the_latest(tmp_path: Path) -> None:
    code, text = certs(str(tmp_path), "api", "--authority-days", "20", "--days", "90")
    assert (code, "valid for 20 days" in text or "valid for 19 days" in text) == (0, True)
    authority = x509.load_pem_x509_certificate((tmp_path / "ca.pem").read_bytes())
    assert leaf(tmp_path, "api").not_valid_after_utc == authority.not_valid_after_utc


def test_an_authority_is_changed_without_cutting_anybody_off(tmp_path: Path) -> None:
    def holds(authority: str, role: str) -> bool:
        try:
            found(tmp_path / authority, tmp_path / f"{role}.pem", tmp_path / f"{role}.key")
        except ssl.SSLError:
            return False
        return True

    assert certs(str(tmp_path), "api", "engine")[0] == 0
    (tmp_path / "former.pem").write_bytes((tmp_path / "ca.pem").read_bytes())
    code, text = certs(str(tmp_path), "--new-authority")
    assert (code, "then run this without --new-authority" in text) == (0, True)
    assert certs(str(tmp_path), "engine")[0] == 0
    assert (holds("ca.pem", "api"), holds("ca.pem", "engine")) == (True, True)
    # Who has the former one alone would refuse the renewed leaf: first all get both.
    assert (holds("former.pem", "api"), holds("former.pem", "engine")) == (True, False)
    assert certs(str(tmp_path), "--new-authority")[0] == 0
    # Also when it is changed once more before all have renewed.
    assert (holds("ca.pem", "api"), holds("ca.pem", "engine")) == (True, True)
    assert certs(str(tmp_path), "engine")[0] == 0
    newest = (tmp_path / "ca.pem").read_bytes().split(b"-----END CERTIFICATE-----\n")[0]
    (tmp_path / "newest.pem").write_bytes(newest + b"-----END CERTIFICATE-----\n")
    assert (holds("newest.pem", "api"), holds("newest.pem", "engine")) == (False, True)


def test_an_authority_whose_key_is_lost_is_not_replaced_in_silence(tmp_path: Path) -> None:
    assert certs(str(tmp_path), "api")[0] == 0
    (tmp_path / "ca.key").unlink()
    former = (tmp_path / "ca.pem").read_bytes()
    code, text = certs(str(tmp_path), "api")
    assert code == 1
    assert "put back both ca.pem and ca.key, or remove both" in " ".join(text.split())
    assert (tmp_path / "ca.pem").read_bytes() == former


def test_a_key_of_another_authority_is_refused(tmp_path: Path) -> None:
    ours, others = tmp_path / "ours", tmp_path / "others"
    assert (certs(str(ours), "api")[0], certs(str(others), "api")[0]) == (0, 0)
    (ours / "ca.key").write_bytes((others / "ca.key").read_bytes())
    code, text = certs(str(ours), "api")
    assert (code, "is not the key of" in text) == (1, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["moon"], "moon: no such role; roles are api,"),
        (["--days", "0"], "give 1 or more"),
        (["--days", "99999999"], "99999999 days are too many: give fewer"),
        (["--authority-days", "99999999"], "99999999 days are too many: give fewer"),
        (["--host", "a..b"], "'a..b' is neither an address nor a name of a host"),
        (["--host", ""], "'' is neither an address nor a name of a host"),
        (["--new-authority"], "the authority in"),
    ],
)
def test_what_can_not_be_meant_is_refused_before_anything_is_written(
    tmp_path: Path, words: list[str], said: str
) -> None:
    code, text = certs(str(tmp_path / "new"), *words)
    assert (code in (1, 2), said in " ".join(text.split())) == (True, True)
    assert "Traceback" not in text
    assert not (tmp_path / "new").exists()
