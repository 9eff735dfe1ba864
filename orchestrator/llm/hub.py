"""What can go wrong with a model hub, as an error of its own."""

from __future__ import annotations

from orchestrator.llm.protocol import LLMError


class HubUnreachable(LLMError):
    """The hub did not answer; the same model may be had in another way."""
