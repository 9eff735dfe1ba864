"""Checkpoints through transformers: a tiny random CodeGen, and the small real model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.llm.load import load_llm
from orchestrator.llm.protocol import LLM, Completion, LLMError, Request, StopReason

OPENING = "class Net(nn.Module):\n"
#: Within a docstring hardly any random text can end the class.
DOCSTRING = OPENING + '    """'


def request(
    seed: int, *, prompt: str = DOCSTRING, temperature: float = 0.8, tokens: int = 12
) -> Request:
    return Request(prompt, DOCSTRING, temperature, seed, max_tokens=tokens)


def complete(llm: LLM, requests: list[Request]) -> list[Completion]:
    done = {completion.index: completion for completion in llm.complete(requests)}
    assert sorted(done) == list(range(len(requests)))
    return [done[index] for index in range(len(requests))]


@pytest.fixture(scope="module")
def llm(tiny_codegen: Path) -> Iterator[LLM]:
    model = load_llm(str(tiny_codegen), parallel=3, dtype="float32")
    yield model
    model.close()


def test_says_what_runs(llm: LLM, tiny_codegen: Path) -> None:
    facts = llm.describe()
    assert llm.is_language_model
    assert facts["architecture"] == "CodeGenForCausalLM"
    assert (facts["runtime"], facts["dtype"], facts["context"]) == ("transformers", "float32", 96)
    assert len(facts["sha256"]) == 64
    json.dumps(facts)


def test_the_same_request_gives_the_same_text_whatever_is_beside_it(llm: LLM) -> None:
    mine = request(7, prompt="def f():\n" + DOCSTRING)
    alone = complete(llm, [mine])[0].text
    others = [request(1), request(2, temperature=0.2, prompt="import torch\n" * 3 + DOCSTRING)]
    assert complete(llm, [*others, mine])[2].text == alone
    assert complete(llm, [mine, *others, *others])[0].text == alone
    assert complete(llm, [request(8, prompt=mine.prompt)])[0].text != alone


def test_each_row_has_its_own_temperature(llm: LLM) -> None:
    greedy = [request(seed, temperature=0.0) for seed in range(3)]
    assert len({completion.text for completion in complete(llm, greedy)}) == 1
    mixed = complete(llm, [greedy[0], request(1, temperature=1.0), request(2, temperature=1.0)])
    assert mixed[0].text == complete(llm, greedy)[0].text
    assert len({completion.text for completion in mixed}) == 3


def test_tokens_are_counted_and_limited_per_row(llm: LLM) -> None:
    # A byte is a token here.
    short, longer = complete(llm, [request(3, tokens=1), request(3, tokens=9)])
    assert short.tokens_in == longer.tokens_in == len(DOCSTRING)
    assert short.tokens_out == 1
    assert longer.tokens_out == 9
    assert short.stop is longer.stop is StopReason.LENGTH


def test_a_row_ends_where_its_class_ends(llm: LLM) -> None:
    # Nearly every random byte at the start of a line is unindented: the class ends at once.
    ending = Request(OPENING, OPENING, 0.8, 1, max_tokens=12)
    done = complete(llm, [ending, request(1)])
    assert (done[0].text, done[0].stop, done[0].tokens_out) == ("", StopReason.CLASS_END, 1)
    assert (done[1].stop, done[1].tokens_out) == (StopReason.LENGTH, 12)


def test_a_prompt_longer_than_the_context_names_both_numbers(llm: LLM) -> None:
    with pytest.raises(LLMError, match="prompt of 129 tokens does not fit into the 96 tokens"):
        complete(llm, [request(0, prompt="#" * 100 + DOCSTRING)])


def test_a_completion_is_shortened_to_the_context(llm: LLM) -> None:
    done = complete(llm, [request(1, prompt="#" * 60 + DOCSTRING, tokens=50)])[0]
    assert done.tokens_in + done.tokens_out == 96
    assert done.stop is StopReason.LENGTH


def test_no_requests_no_completions(llm: LLM) -> None:
    assert list(llm.complete([])) == []


def test_a_caller_who_stops_listening_stops_the_model(llm: LLM) -> None:
    stream = llm.complete([request(seed, tokens=60) for seed in range(30)])
    next(stream)
    stream.close()
    assert complete(llm, [request(1)])[0].tokens_out > 0


def test_a_closed_model_says_so(tiny_codegen: Path) -> None:
    model = load_llm(str(tiny_codegen), dtype="float32")
    model.close()
    model.close()
    with pytest.raises(LLMError, match="was closed"):
        list(model.complete([request(1)]))


def test_missing_shards_are_named(tiny_codegen: Path, tmp_path: Path) -> None:
    folder = tmp_path / "sharded"
    shutil.copytree(tiny_codegen, folder)
    (folder / "model.safetensors").unlink()
    index = {
        "weight_map": {
            "a": "model-00001-of-00002.safetensors",
            "b": "model-00002-of-00002.safetensors",
        }
    }
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "model-00001-of-00002.safetensors").write_bytes(b"")
    with pytest.raises(LLMError, match=r"lacks 1 of its 2 weight files: model-00002-of-00002"):
        load_llm(str(folder))


def test_a_folder_without_weights_is_refused(tiny_codegen: Path, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    shutil.copytree(tiny_codegen, folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(LLMError, match=r"holds no weights: expected model\.safetensors"):
        load_llm(str(folder))


def test_damaged_weights_are_refused(tiny_codegen: Path, tmp_path: Path) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_codegen, folder)
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LLMError, match="cannot load the weights"):
        load_llm(str(folder))


def test_a_model_that_does_not_continue_text_is_refused(tmp_path: Path) -> None:
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=10,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=8,
    )
    BertForMaskedLM(config).save_pretrained(tmp_path)
    with pytest.raises(LLMError, match="no causal language model: it was saved as BertForMaskedLM"):
        load_llm(str(tmp_path))


def test_too_little_memory_is_said_before_loading(
    tiny_codegen: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestrator.llm import checkpoint

    monkeypatch.setattr(checkpoint, "available_memory", lambda: 10**8)
    with pytest.raises(LLMError, match=r"needs about 0\.5 GB of memory.*0\.1 GB are available"):
        load_llm(str(tiny_codegen))


def test_an_unknown_dtype_names_the_known(tiny_codegen: Path) -> None:
    with pytest.raises(LLMError, match="one of float32, bfloat16, float16, is 'int3'"):
        load_llm(str(tiny_codegen), dtype="int3")


@pytest.mark.llm
@pytest.mark.slow
def test_the_small_model_dequantised_once_writes_a_class() -> None:
    from orchestrator.llm.dequantise import dequantised

    folder = dequantised("qwen2.5-coder-0.5b")
    assert dequantised("qwen2.5-coder-0.5b") == folder
    model = load_llm(str(folder), dtype="bfloat16")
    prompt = f"import torch\nimport torch.nn as nn\n\n\n{OPENING}"
    done = complete(model, [request(1, prompt=prompt, temperature=0.2, tokens=90)] * 2)
    assert done[0].text == done[1].text
    assert done[0].text.startswith("    def __init__(self")
    model.close()
