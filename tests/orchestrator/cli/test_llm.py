"""``llmatic-orch llm``: what is known, and what is here."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestrator.cache import CACHE_VARIABLE
from orchestrator.cli.llm import llm
from orchestrator.llm.known import known_models
from orchestrator.llm.protocol import LLMError


def test_list_names_every_model_its_hash_and_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    shown = CliRunner().invoke(llm, ["list"], catch_exceptions=False).output
    for model in known_models():
        assert f"{model.name}  {model.bytes / 1e9:.2f} GB  Apache-2.0" in shown
        assert model.sha256 in shown
        assert f"weights  missing: llmatic-orch llm fetch {model.name}" in shown
    assert shown.count("(default on this machine)") == 1


@pytest.mark.llm
def test_weights_that_are_here_are_verified_and_fetched_only_once(gguf_small: Path) -> None:
    shown = CliRunner().invoke(llm, ["list"], catch_exceptions=False).output
    assert f"weights  verified: {gguf_small}" in shown
    again = CliRunner().invoke(llm, ["fetch", "qwen2.5-coder-0.5b"], catch_exceptions=False)
    assert again.output.strip() == str(gguf_small)


def test_an_unknown_name_is_an_error_for_a_person() -> None:
    with pytest.raises(LLMError, match="no model is known as 'gpt-2'"):
        CliRunner().invoke(llm, ["fetch", "gpt-2"], catch_exceptions=False)


@pytest.mark.parametrize("command", [[], ["list"], ["fetch"]])
def test_help_has_an_example(command: list[str]) -> None:
    assert "llmatic-orch llm" in CliRunner().invoke(llm, [*command, "--help"]).output
