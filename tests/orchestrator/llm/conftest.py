"""A tiny random code model, whose checkpoint is made in a second."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def tiny_codegen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CodeGen of two random layers, and a tokenizer of bytes with neither pad nor eos."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import CodeGenConfig, CodeGenForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-codegen")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    config = CodeGenConfig(
        vocab_size=len(alphabet),
        n_positions=96,
        n_ctx=96,
        n_embd=32,
        n_layer=2,
        n_head=4,
        rotary_dim=4,
        bos_token_id=None,
        eos_token_id=None,
    )
    CodeGenForCausalLM(config).save_pretrained(folder)
    return folder
