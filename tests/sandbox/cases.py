"""Sources, jobs and limits for the tests of the real sandbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sandbox.job import GuestCode, Job
from sandbox.limits import Limits
from sandbox.outcome import Outcome

if TYPE_CHECKING:
    from sandbox.docker_executor import DockerExecutor

#: An honest candidate; the attacks are put in front of it, so that each could still report.
NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return self.conv(x)
"""
REPORT = {"name": "Net", "parameters": 112, "output_shape": [2, 4, 8, 8]}
CHECK = GuestCode("sandbox.guest.tasks.check:run")
PARAMS = {"input_shape": [2, 3, 8, 8], "output_shape": [2, 4, 8, 8]}
#: Small, so that what runs into a limit does so soon.
LIMITS = Limits(memory_mib=1024, wall_seconds=20, tmpfs_mib=16)

Run = Callable[..., Outcome]
Open = Callable[..., "DockerExecutor"]


def check_job(source: str) -> Job:
    """The job that the built-in task does with a source."""
    return Job(source, CHECK, PARAMS)
