"""An engine that cannot do what is asked is refused, with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.engine import check_enforceable, connect
from sandbox.executor import SandboxUnavailable

ABLE: dict[str, Any] = {
    "MemoryLimit": True,
    "SwapLimit": True,
    "CpuCfsQuota": True,
    "PidsLimit": True,
    "SecurityOptions": ["name=seccomp,profile=default"],
    "Runtimes": {"runc": {}, "runsc": {}},
}


def test_an_able_engine_is_taken() -> None:
    check_enforceable(ABLE, None)
    check_enforceable(ABLE, "runsc")


@pytest.mark.parametrize("key", ["MemoryLimit", "SwapLimit", "CpuCfsQuota", "PidsLimit"])
@pytest.mark.parametrize("lacking", ["false", "absent"])
def test_a_limit_that_cannot_be_enforced_is_refused(key: str, lacking: str) -> None:
    info = {**ABLE, key: False}
    if lacking == "absent":
        del info[key]
    with pytest.raises(SandboxUnavailable, match=r"found one without a .*limit"):
        check_enforceable(info, None)


@pytest.mark.parametrize("options", [None, [], ["name=apparmor"]])
def test_no_seccomp_is_refused(options: list[str] | None) -> None:
    with pytest.raises(SandboxUnavailable, match="seccomp"):
        check_enforceable({**ABLE, "SecurityOptions": options}, None)


def test_an_unknown_runtime_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(SandboxUnavailable, match=r"'kata'.*found runc, runsc"):
        check_enforceable(ABLE, "kata")


def test_an_engine_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(SandboxUnavailable) as error:
        connect()
    text = str(error.value)
    assert f"DOCKER_HOST=unix://{tmp_path}/none.sock" in text
    assert "no such file or directory" in text
    assert "llmatic-orch resume RUN" in text
