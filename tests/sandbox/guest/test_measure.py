"""The task that measures, run without a container."""

from __future__ import annotations

from typing import Any

import pytest

from plugins.classification.prompts import seed_network
from sandbox.guest.task import Refusal, TaskContext
from sandbox.guest.tasks.measure import run

SEED = seed_network((3, 32, 32), 10)
HEAD = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F\n"


def net(init: str, forward: str) -> str:
    """A network from the lines of its two methods."""
    start = f"{HEAD}\nclass Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
    lines = "".join(f"        {line}\n" for line in init.splitlines())
    body = "".join(f"        {line}\n" for line in forward.splitlines())
    return f"{start}{lines}\n    def forward(self, x):\n{body}"


LINEAR = "self.fc = nn.Linear(48, 10)"


def measured(source: str, shape: tuple[int, ...] = (3, 4, 4)) -> tuple[dict[str, Any], list[str]]:
    phases: list[str] = []
    context = TaskContext(lambda message: phases.append(message["phase"]))
    return run(source, {"image_shape": list(shape), "classes": 10}, context), phases


def test_the_papers_seed_network_has_the_papers_numbers() -> None:
    report, phases = measured(SEED, (3, 32, 32))
    assert report == {
        "flops": 13_312,
        "uncounted": {},
        "parameters": 4 + 10_250,
        "width": 10,
        "depth": 2,
    }
    assert phases == ["syntax", "import", "build", "forward", "measure", "forward"]


def test_width_is_the_widest_layer_that_is_executed_and_depth_how_many_are() -> None:
    source = net(
        "self.a = nn.Conv2d(3, 24, 1)\nself.n = nn.BatchNorm2d(24)\n"
        "self.idle = nn.Linear(5, 99)\nself.fc = nn.Linear(24 * 16, 10)",
        "x = F.relu(self.n(self.a(x)))\nx = F.max_pool2d(x, 1)\nreturn self.fc(x.flatten(1))",
    )
    report, _ = measured(source)
    assert (report["width"], report["depth"]) == (24, 3)
    # Parameters count where they are, executed or not.
    assert report["parameters"] == (3 * 24 + 24) + 48 + (5 * 99 + 99) + (24 * 16 * 10 + 10)


def test_lazy_layers_count_as_what_they_become() -> None:
    report, _ = measured(net("self.fc = nn.LazyLinear(10)", "return self.fc(x.flatten(1))"))
    assert report == {"flops": 480, "uncounted": {}, "parameters": 490, "width": 10, "depth": 1}


def test_a_recurrent_layer_is_one_layer_as_wide_as_its_state() -> None:
    source = net(
        "self.r = nn.LSTM(12, 20, batch_first=True)\nself.fc = nn.Linear(20, 10)",
        "x, _ = self.r(x.permute(0, 2, 1, 3).flatten(2))\nreturn self.fc(x[:, -1])",
    )
    report, _ = measured(source)
    assert (report["width"], report["depth"]) == (20, 2)
    assert report["flops"] == 4 * 4 * 20 * (12 + 20) + 200


@pytest.mark.parametrize(
    ("source", "kind", "why"),
    [
        (net(LINEAR, "return self.fc(x.flatten(1)), x"), "wrong_shape", "found tuple"),
        (net(LINEAR, "return self.fc(x.flatten(1))[:, :3]"), "wrong_shape", r"found \[2, 3\]"),
        (net(LINEAR, "return self.fc(x.flatten(1)) / 0"), "diverged", "NaN or infinity"),
        (net(LINEAR, "return self.fc(x.flatten(1)).argmax(1, True)"), "wrong_shape", "found"),
        (net(LINEAR, "return self.fc(x.flatten(1)).long()"), "wrong_shape", "torch.int64"),
        ("x = 1\n", "build_error", "found none"),
        (
            net(
                f"{LINEAR}\nself.n = 0",
                "self.n += 1\nx = self.fc(x.flatten(1))\nreturn x.double() if self.n > 1 else x",
            ),
            "forward_error",
            "expected the second forward to give torch.float32",
        ),
        (
            net(
                f"{LINEAR}\nself.n = 0",
                "self.n += 1\nx = self.fc(x.flatten(1))\nreturn x[:, :5] if self.n > 2 else x",
            ),
            "wrong_shape",
            r"found \[2, 5\]",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_a_reason(source: str, kind: str, why: str) -> None:
    with pytest.raises(Refusal, match=why) as refusal:
        measured(source)
    assert refusal.value.kind == kind


def test_a_network_that_needs_an_argument_fails_while_it_is_built() -> None:
    phases: list[str] = []
    context = TaskContext(lambda message: phases.append(message["phase"]))
    source = net(LINEAR, "return self.fc(x)").replace("(self):", "(self, width):", 1)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'width'"):
        run(source, {"image_shape": [3, 4, 4], "classes": 10}, context)
    assert phases[-1] == "build"
