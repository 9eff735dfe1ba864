"""Networks, good and bad, through training in the real sandbox."""

from __future__ import annotations

import re

import pytest

from plugins.classification import ImageFolder
from sandbox.outcome import OutcomeKind as K
from tests.plugins.classification.conftest import Judge
from tests.sandbox.guest.test_measure import net

pytestmark = pytest.mark.docker

FC = "self.fc = nn.Linear(192, 6)"
HONEST = net(FC, "return self.fc(x.flatten(1))")


def test_a_network_is_trained_inside_and_scored_outside(judge: Judge, plugin: ImageFolder) -> None:
    result = judge(HONEST)
    assert result.outcome.kind is K.OK, result.outcome.reason
    assert result.evaluation is not None
    assert result.evaluation.fitness > 80
    details = result.evaluation.details
    assert (details["flops"], details["parameters"], details["epochs"]) == (1152, 1158, 60)
    assert (details["width"], details["depth"], details["cut"]) == (6, 1, False)
    report = result.outcome.report
    assert report is not None
    test = plugin.test_score(result.evaluation, report)
    assert test is not None
    assert test > 80
    # The same source in another container gives the same network.
    again = judge(HONEST).outcome.report
    assert again is not None
    assert again["predictions"] == report["predictions"]


def test_a_network_that_reads_its_images_with_a_recurrent_layer_is_trained(judge: Judge) -> None:
    source = net(
        "self.r = nn.LSTM(24, 16, batch_first=True)\nself.fc = nn.Linear(16, 6)",
        "x, _ = self.r(x.permute(0, 2, 1, 3).flatten(2))\nreturn self.fc(x[:, -1])",
    )
    result = judge(source)
    assert result.outcome.kind is K.OK, result.outcome.reason
    assert result.evaluation is not None
    assert result.evaluation.details["flops"] == 8 * 4 * 16 * (24 + 16) + 96


def test_when_the_time_to_train_is_over_the_network_is_scored_as_it_is(
    judge: Judge, plugin: ImageFolder
) -> None:
    hurried = ImageFolder(
        data=str(plugin._where),
        image_size=8,
        cache=str(plugin._cache),
        epochs=10_000,
        train_seconds=1.0,
    )
    slow = net(FC, "import time\ntime.sleep(0.02)\nreturn self.fc(x.flatten(1))")
    result = judge(slow, hurried)
    assert result.outcome.kind is K.OK, result.outcome.reason
    assert result.evaluation is not None
    assert result.evaluation.details["cut"] is True
    assert result.evaluation.details["epochs"] < 10_000


@pytest.mark.parametrize(
    ("source", "kind", "why"),
    [
        (
            net("self.w = nn.Parameter(torch.empty(25_000_000_000))", "return x"),
            K.OUT_OF_MEMORY,
            "memory",
        ),
        (
            net(FC, "import time\ntime.sleep(60)\nreturn self.fc(x.flatten(1))"),
            K.TIMED_OUT,
            "not done after 20.5 s in forward",
        ),
        (net(FC, "return self.fc(x.flatten(1)) * float('nan')"), K.DIVERGED, "NaN"),
        (
            net(FC, "y = self.fc(x.flatten(1))\nreturn y * float('nan') if self.training else y"),
            K.DIVERGED,
            "the loss became nan after 0 images",
        ),
        (net(FC, "return self.fc(x.flatten(1)), x"), K.WRONG_SHAPE, "found tuple"),
        (
            net(FC, "self.to('meta')\nreturn self.fc(x.flatten(1))"),
            K.FORWARD_ERROR,
            "in forward",
        ),
        (
            net(
                "self.r = nn.LSTM(192, 6)\nself.state = None",
                "x, self.state = self.r(x.flatten(1)[None], self.state)\nreturn x[0]",
            ),
            K.FORWARD_ERROR,
            "Expected hidden",
        ),
        (
            HONEST.replace("(self):", "(self, width):", 1),
            K.BUILD_ERROR,
            "missing 1 required positional argument: 'width'",
        ),
        (
            net(FC, "if self.training:\n    raise ValueError('no')\nreturn self.fc(x.flatten(1))"),
            K.FORWARD_ERROR,
            "ValueError in train",
        ),
    ],
    ids=[
        "100 GB",
        "too slow",
        "NaN at once",
        "NaN in training",
        "tuple",
        "another device",
        "state between batches",
        "argument",
        "error in training",
    ],
)
def test_a_bad_network_comes_to_a_clear_outcome(
    judge: Judge, plugin: ImageFolder, source: str, kind: K, why: str
) -> None:
    if kind is K.TIMED_OUT:
        plugin = ImageFolder(
            data=str(plugin._where), image_size=8, cache=str(plugin._cache), train_seconds=0.5
        )
    outcome = judge(source, plugin).outcome
    assert outcome.kind is kind, outcome.reason
    assert re.search(why, outcome.reason), outcome.reason
