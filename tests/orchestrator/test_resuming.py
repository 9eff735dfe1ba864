"""A run goes on only with the plugin and the weights that it was begun with."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import ClassVar

import pytest

from orchestrator.resuming import NotTheSame, check_llm, check_plugin, described
from plugins.contract import Descriptor, Prompts
from tests.support import Numbers


class Changed(Numbers):
    """The benchmark of two numbers, some version later."""

    descriptors: ClassVar[tuple[Descriptor, ...]] = Numbers.descriptors  # type: ignore[misc]
    prompts: ClassVar[Prompts] = Numbers.prompts  # type: ignore[misc]


def test_the_same_plugin_goes_on() -> None:
    check_plugin(described(Numbers()), Numbers())
    # What is compared survives being stored.
    check_plugin(json.loads(json.dumps(described(Numbers()))), Numbers())


def test_another_range_of_a_descriptor_is_refused_and_named() -> None:
    plugin = Changed()
    plugin.descriptors = (Numbers.descriptors[0], Descriptor("y", "y", 0.0, 2.0))  # type: ignore[misc]
    with pytest.raises(NotTheSame, match=r"descriptors.*'high': 2.0.*instead of .*'high': 1.0"):
        check_plugin(described(Numbers()), plugin)


def test_other_prompts_are_refused_and_counted() -> None:
    plugin = Changed()
    fewer = replace(Numbers.prompts, mutations=Numbers.prompts.mutations[:3])
    plugin.prompts = fewer  # type: ignore[misc]
    with pytest.raises(NotTheSame, match=r"prompts.*found 3 instead of 5.*start a new run"):
        check_plugin(described(Numbers()), plugin)


def test_only_weights_that_are_known_to_differ_are_refused() -> None:
    check_llm(None, {"sha256": "a"})
    check_llm({}, {"sha256": "a"})
    check_llm({"sha256": "a", "threads": 2}, {"sha256": "a", "threads": 8})
    check_llm({"runtime": "rules"}, {"runtime": "rules"})
    with pytest.raises(NotTheSame, match=r"sha256 a\), found others \(sha256 b\); put the file"):
        check_llm({"sha256": "a"}, {"sha256": "b"})
