"""Whether a model hub answers, found out in seconds, and the error where it does not."""

from __future__ import annotations

from orchestrator.llm.protocol import LLMError

#: Seconds to wait for an answer.
CONNECT_TIMEOUT = 5.0


class HubUnreachable(LLMError):
    """The hub did not answer; the same model may be had in another way."""


def hub_answers(repo: str) -> bool:
    """Whether the hub answers for a repository; any answer counts, also "not found".

    ``HF_ENDPOINT`` and ``HF_HUB_OFFLINE`` are respected.
    """
    import requests
    from huggingface_hub import constants, hf_hub_url
    from huggingface_hub.utils import build_hf_headers

    if constants.is_offline_mode():
        return False
    try:
        requests.head(
            hf_hub_url(repo, "config.json"), headers=build_hf_headers(), timeout=CONNECT_TIMEOUT
        )
    except requests.RequestException:
        return False
    return True
