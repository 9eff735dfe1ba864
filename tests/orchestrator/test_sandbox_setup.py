"""Opening the sandbox: what it cannot do is refused, and what it can do runs."""

from __future__ import annotations

import pytest

from orchestrator.sandbox_setup import SandboxOptions, open_sandbox
from sandbox.executor import SandboxUnavailable
from sandbox.job import GuestCode, Job

SOURCE = "import torch.nn as nn\nclass Net(nn.Identity):\n    pass\n"


def test_a_gpu_is_refused_rather_than_trained_without() -> None:
    with (
        pytest.raises(SandboxUnavailable, match="expected --device cpu, found cuda"),
        open_sandbox(SandboxOptions(device="cuda")),
    ):
        pass


@pytest.mark.docker
def test_the_processor_is_not(guest_image: str) -> None:
    job = Job(SOURCE, GuestCode("sandbox.guest.tasks.check:run"), {"input_shape": [1, 3, 4, 4]})
    with open_sandbox(SandboxOptions(slots=1)) as executor:
        assert executor.submit(job).result().ok
