"""The built-in task ``check``, run without a container."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.guest.task import Refusal, TaskContext
from sandbox.guest.tasks.check import run

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3, padding=1)

    def forward(self, x):
        return self.conv(x)
"""
PARAMS = {"input_shape": [2, 3, 8, 8], "output_shape": [2, 4, 8, 8]}


def check(source: str, **params: Any) -> tuple[dict[str, Any], list[str]]:
    phases: list[str] = []
    context = TaskContext(lambda message: phases.append(message["phase"]))
    return run(source, {**PARAMS, **params}, context), phases


def test_an_honest_network_is_reported() -> None:
    report, phases = check(NET)
    assert report == {"name": "Net", "parameters": 112, "output_shape": [2, 4, 8, 8]}
    assert phases == ["syntax", "import", "build", "forward"]


def test_arguments_reach_the_constructor() -> None:
    report, _ = check(NET, args=[7], output_shape=[2, 7, 8, 8])
    assert report["parameters"] == 196


def test_any_shape_will_do_where_none_is_asked_for() -> None:
    assert check(NET, output_shape=None)[0]["output_shape"] == [2, 4, 8, 8]


@pytest.mark.parametrize(
    ("source", "kind", "why"),
    [
        (NET.replace("self.conv(x)", "self.conv(x)[:1]"), "wrong_shape", r"found \[1, 4, 8, 8\]"),
        (NET.replace("self.conv(x)", "(x, x)"), "wrong_shape", "found tuple"),
        (NET.replace("self.conv(x)", "self.conv(x) / 0"), "diverged", "NaN or infinity"),
        ("from torch.nn import Linear as Net\n", "build_error", "found none"),
    ],
)
def test_what_is_wrong_is_refused_with_a_reason(source: str, kind: str, why: str) -> None:
    with pytest.raises(Refusal, match=why) as refusal:
        check(source)
    assert refusal.value.kind == kind


def test_a_source_may_use_dataclasses_which_look_its_module_up() -> None:
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass Config:\n    width: int = 4\n" + NET.replace("\nimport torch\n", "\n")
    )
    assert check(source)[0]["name"] == "Net"
