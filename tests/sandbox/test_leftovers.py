"""A container is left over only if its maker is known to be dead."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sandbox.leftovers import owner, owner_is_dead

ROOT = Path(__file__).resolve().parents[2]


def owner_of_a_dead_process() -> str:
    program = "from sandbox.leftovers import owner; print(owner())"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_this_process_is_alive() -> None:
    assert not owner_is_dead(owner())


def test_a_process_that_ended_is_dead() -> None:
    assert owner_is_dead(owner_of_a_dead_process())


def test_a_number_that_is_used_again_is_another_process() -> None:
    host, boot, namespace, pid, start = owner().split(" ")
    assert owner_is_dead(" ".join([host, boot, namespace, pid, str(int(start) + 1)]))


def test_a_process_before_the_last_boot_is_dead() -> None:
    host, _, namespace, pid, start = owner().split(" ")
    assert owner_is_dead(" ".join([host, "another-boot", namespace, pid, start]))


def test_a_process_that_cannot_be_seen_from_here_counts_as_alive() -> None:
    host, boot, namespace, _, start = owner().split(" ")
    assert not owner_is_dead(" ".join(["elsewhere", boot, namespace, "999999", start]))
    assert not owner_is_dead(" ".join([host, boot, "pid:[1]", "999999", start]))
    assert owner_is_dead(" ".join([host, boot, namespace, "99999999", start]))


def test_a_label_of_someone_else_counts_as_alive() -> None:
    for text in ("", "nonsense", "a b c d e", "a b c 1"):
        assert not owner_is_dead(text)
