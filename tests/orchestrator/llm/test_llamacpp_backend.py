"""GGUF files through llama.cpp: the small real model."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.llm import llamacpp_backend
from orchestrator.llm.llamacpp_backend import LlamaCpp, _common_beginning
from orchestrator.llm.protocol import Completion, LLMError, Request, StopReason

pytestmark = pytest.mark.llm

OPENING = "class Net(nn.Module):\n"
PARENT = (
    "class Net(nn.Module):\n    def __init__(self, C):\n        super().__init__()\n"
    "        self.conv = nn.Conv2d(C, C, 1)\n\n    def forward(self, x):\n"
    "        return self.conv(x)\n"
)
HEADER = "import torch\nimport torch.nn as nn\n\n\n"


def request(
    seed: int, *, temperature: float = 0.6, what: str = "Add a layer", tokens: int = 120
) -> Request:
    prompt = f'{HEADER}{PARENT}\n\n"""{what} to improve the above network"""\n\n{OPENING}'
    return Request(prompt, OPENING, temperature, seed, max_tokens=tokens)


def complete(llm: LlamaCpp, requests: list[Request]) -> list[Completion]:
    done = {completion.index: completion for completion in llm.complete(requests)}
    assert sorted(done) == list(range(len(requests)))
    return [done[index] for index in range(len(requests))]


@pytest.fixture(scope="module")
def llm(gguf_small: Path) -> Iterator[LlamaCpp]:
    model = LlamaCpp(gguf_small, parallel=2, context=512)
    yield model
    model.close()


def test_says_what_runs(llm: LlamaCpp) -> None:
    facts = llm.describe()
    assert facts["sha256"] == "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32"
    assert (facts["runtime"], facts["architecture"], facts["context"]) == (
        "llama.cpp",
        "qwen2",
        512,
    )
    json.dumps(facts)


def test_a_completion_is_one_class_and_no_more(llm: LlamaCpp) -> None:
    done = complete(llm, [request(1), request(2), request(3, what="Delete a layer")])
    for completion in done:
        assert completion.stop is StopReason.CLASS_END
        assert completion.text.startswith("    def __init__(self")
        assert "class " not in completion.text
        assert '"""' not in completion.text
        assert completion.tokens_in > 60
        assert 20 < completion.tokens_out < 120
        assert completion.seconds > 0


def test_the_same_request_alone_gives_the_same_text(llm: LlamaCpp) -> None:
    first, again, other = (complete(llm, [request(seed)])[0].text for seed in (5, 5, 6))
    assert first == again != other


def test_a_limit_cuts_back_to_what_parses(llm: LlamaCpp) -> None:
    done = complete(llm, [request(1, temperature=0.0, tokens=25)])[0]
    assert (done.stop, done.tokens_out) == (StopReason.LENGTH, 25)
    compile(OPENING + done.text, "cut", "exec")


def test_a_prompt_longer_than_the_context_names_both_numbers(llm: LlamaCpp) -> None:
    long = Request("x = 1\n" * 200 + OPENING, OPENING, 0.5, 1)
    with pytest.raises(LLMError, match=r"prompt of \d{4} tokens does not fit into the 512 tokens"):
        complete(llm, [long])
    assert complete(llm, [request(1, tokens=3)])[0].tokens_out == 3


def test_a_caller_who_stops_listening_stops_the_model(llm: LlamaCpp) -> None:
    stream = llm.complete([request(seed, tokens=5 if seed == 0 else 300) for seed in range(12)])
    next(stream)
    started = time.monotonic()
    stream.close()
    # A token or a prompt may be under way, eleven completions may not.
    assert time.monotonic() - started < 15
    assert complete(llm, [request(1, tokens=3)])[0].tokens_out == 3


def test_the_engines_port_is_closed_to_others(llm: LlamaCpp) -> None:
    call = urllib.request.Request(
        f"{llm._server.listening_address}/v1/completions", data=b'{"prompt": "a"}'
    )
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(call, timeout=10)


def test_a_closed_model_says_so(gguf_small: Path) -> None:
    model = LlamaCpp(gguf_small, parallel=1, context=64)
    model.close()
    model.close()
    with pytest.raises(LLMError, match="was closed"):
        list(model.complete([request(1)]))


def test_too_little_memory_is_said_before_loading(
    gguf_small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llamacpp_backend, "available_memory", lambda: 600 * 10**6)
    with pytest.raises(LLMError, match=r"needs about 0\.9 GB.*0\.6 GB are available"):
        LlamaCpp(gguf_small, parallel=2, context=4096)


def test_a_truncated_file_is_refused(gguf_small: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.gguf"
    with gguf_small.open("rb") as whole:
        short.write_bytes(whole.read(8_000_000))
    with pytest.raises(LLMError, match="is cut short"):
        LlamaCpp(short)


def test_no_slots_are_refused(gguf_small: Path) -> None:
    with pytest.raises(LLMError, match="parallel must be at least 1, is 0"):
        LlamaCpp(gguf_small, parallel=0)


def test_the_common_beginning_ends_at_a_line() -> None:
    assert _common_beginning(["a\nb\nc", "a\nb\nd"]) == "a\nb\n"
    assert _common_beginning(["a\nbc", "a\nbd", "a\n"]) == "a\n"
    assert _common_beginning(["abc", "abd"]) == ""
    assert _common_beginning(["a\n", "a\n"]) == "a\n"
    assert _common_beginning([]) == ""
