"""Whether a run can go on with what is here now: the plugin and the model it was begun with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from orchestrator.errors import OrchestratorError
from plugins.contract import Plugin


class NotTheSame(OrchestratorError):
    """What a run stands on has changed since it began. Nothing was done to the run."""


def described(plugin: Plugin) -> dict[str, Any]:
    """What a run stores of its plugin: with it, it can be shown where the plugin is not.

    JSON values: ``descriptors`` (axes of the network archive) and ``prompts`` (their texts).
    """
    values = {
        "descriptors": [dataclasses.asdict(descriptor) for descriptor in plugin.descriptors],
        "prompts": [prompt.text for prompt in plugin.prompts.mutations],
    }
    return dict(json.loads(json.dumps(values)))


def check_plugin(config: Mapping[str, Any], plugin: Plugin) -> None:
    """Make sure that the plugin's archives and prompts are those of the run.

    Raises:
        NotTheSame: they are not; elites and prompt individuals would mean something else.
    """
    now = described(plugin)
    for what in ("descriptors", "prompts"):
        if config[what] != now[what]:
            raise NotTheSame(
                f"expected plugin {plugin.name} with the {what} that the run began with, "
                f"{_difference(config[what], now[what])}; put the plugin (its version, its data) "
                "back as it was, or start a new run"
            )


def _difference(before: list[Any], now: list[Any]) -> str:
    if len(before) != len(now):
        return f"found {len(now)} instead of {len(before)}"
    number = next(i for i, (a, b) in enumerate(zip(before, now, strict=True)) if a != b)
    return f"found {now[number]!r} instead of {before[number]!r}"


def check_llm(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> None:
    """Make sure that the model's weights are those of the run's earlier sessions.

    Args:
        before: what the model said of itself then; None or empty in a run's first session.
        now: what it says now.

    Raises:
        NotTheSame: both sessions know their weights' SHA-256, and they differ.
    """
    old, new = (before or {}).get("sha256"), now.get("sha256")
    if old and new and old != new:
        raise NotTheSame(
            f"expected the weights that the run began with (sha256 {old}), found others "
            f"(sha256 {new}); put the file back, or start a new run"
        )
