"""The locks: each holds what its requirements.txt asks for, with hashes, and is what gets installed."""

import re
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FOLDERS = ["", "tests", "tests/benchmarks/peer"]
PIN = re.compile(r"^([\w.-]+)==([^ ;\\]+)(?: ;[^\\]+)? \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE)


def asked(folder: str) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in (ROOT / folder / "requirements.txt").read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-r ")]


def lock(folder: str) -> str:
    return (ROOT / folder / "requirements.lock").read_text()


def pins(folder: str) -> dict[str, str]:
    return {canonicalize_name(name): version for name, version, _ in PIN.findall(lock(folder))}


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_requirement_is_in_the_lock_within_its_range(folder: str) -> None:
    locked = pins(folder)
    assert asked(folder)
    for requirement in asked(folder):
        version = locked.get(canonicalize_name(requirement.name))
        assert version and requirement.specifier.contains(version), f"{requirement}: make lock"


@pytest.mark.parametrize("folder", FOLDERS)
def test_everything_in_a_lock_has_its_hashes_and_no_address_of_a_registry(folder: str) -> None:
    text = lock(folder)
    starts = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(starts) == len(PIN.findall(text))
    assert not re.search(r"https?:|index-url|find-links|file:", text)


def test_the_locks_agree_about_what_they_share() -> None:
    assert pins("").items() <= pins("tests").items()
    tests, peers = pins("tests"), pins("tests/benchmarks/peer")
    assert {name: peers[name] for name in tests.keys() & peers} == {name: tests[name] for name in tests.keys() & peers}


@pytest.mark.parametrize("file", ["Makefile", "Dockerfile"])
def test_only_what_has_its_hash_is_installed(file: str) -> None:
    lines = [line for line in (ROOT / file).read_text().splitlines() if "pip install" in line]
    assert lines
    assert all("--require-hashes" in line and ".txt" not in line for line in lines)
