"""What the LLM reads, and what becomes of what it writes."""

from __future__ import annotations

import ast
import re

import pytest

from orchestrator.prompting import assemble, body, build_request
from plugins.contract import Edit, Prompt, Prompts
from plugins.nasbench201.prompts import CROSSOVER, HEADER, MUTATIONS, PROMPTS, SEED

SMALL = Prompts(
    mutations=(Prompt("Add a layer", Edit(add="nn.ReLU()")),),
    crossover=Prompt("Combine them", Edit(combine=True)),
    header="import torch.nn as nn\n",
    preamble="# An example.\n",
    opening="class Net(nn.Module):\n",
)
ANSWER = "    def forward(self, x):\n        return x\n"


def request(prompts: Prompts, prompt: Prompt, *parents: str):
    return build_request(prompts, prompt, parents, temperature=0.6, seed=7)


def test_a_mutations_prompt_reads_in_the_papers_order():
    parent = assemble(SMALL, ANSWER)
    assert request(SMALL, SMALL.mutations[0], parent).prompt == (
        "import torch.nn as nn\n\n"
        "# An example.\n\n"
        "class Net(nn.Module):\n    def forward(self, x):\n        return x\n\n"
        '"""Add a layer"""\n\n'
        "class Net(nn.Module):\n"
    )


def test_without_a_preamble_nothing_stands_in_its_place():
    prompts = Prompts(SMALL.mutations, SMALL.crossover, header="import torch.nn as nn\n")
    text = request(prompts, prompts.mutations[0], assemble(prompts, ANSWER)).prompt
    assert text.startswith("import torch.nn as nn\n\nclass Net(nn.Module):\n    def forward")


def test_the_header_is_shown_once_however_many_parents_there_are():
    text = request(PROMPTS, CROSSOVER, SEED, assemble(PROMPTS, ANSWER)).prompt
    assert text.count(HEADER.strip()) == 1
    assert text.count("import torch.nn as nn") == 1


def test_two_parents_are_told_apart_by_a_number():
    text = request(SMALL, SMALL.crossover, assemble(SMALL, ANSWER), assemble(SMALL, ANSWER)).prompt
    assert re.findall(r"class (\w+)\(", text) == ["Net1", "Net2", "Net"]
    assert '"""Combine them"""' in text


def test_only_the_name_of_the_class_is_numbered():
    parent = assemble(SMALL, "    Network = 1\n    def forward(self, x):\n        return Net\n")
    text = request(SMALL, SMALL.crossover, parent, parent).prompt
    assert text.count("    Network = 1\n") == 2
    assert "return Net1\n" in text
    assert "return Net2\n" in text


def test_one_parent_keeps_its_name():
    assert "Net1" not in request(PROMPTS, MUTATIONS[0], SEED).prompt


@pytest.mark.parametrize("prompt", [*MUTATIONS, CROSSOVER], ids=lambda prompt: prompt.text[:30])
def test_a_prompt_is_python_once_the_class_is_written(prompt):
    made = request(PROMPTS, prompt, SEED, SEED)
    ast.parse(made.prompt + ANSWER)
    assert made.prompt.endswith(made.opening)
    assert prompt.text in made.prompt


def test_the_request_carries_what_rules_follows():
    made = build_request(
        SMALL,
        SMALL.mutations[0],
        ("a", "b"),
        temperature=0.3,
        seed=5,
        top_p=0.8,
        max_tokens=99,
    )
    assert made.parents == ("a", "b")
    assert made.edit == Edit(add="nn.ReLU()")
    assert (made.temperature, made.seed, made.top_p, made.max_tokens) == (0.3, 5, 0.8, 99)
    assert made.opening == SMALL.opening


def test_a_candidate_is_header_opening_and_answer():
    assert assemble(SMALL, ANSWER + "\n\n") == (
        "import torch.nn as nn\n\n\nclass Net(nn.Module):\n"
        "    def forward(self, x):\n        return x\n"
    )


@pytest.mark.parametrize("ending", ["", "\n", "\n\n", "\n\n\n\n\n"], ids=len)
def test_the_header_is_taken_off_again_however_it_ends(ending):
    prompts = Prompts(SMALL.mutations, SMALL.crossover, header="import torch.nn as nn" + ending)
    assert body(prompts, assemble(prompts, ANSWER)) == (SMALL.opening + ANSWER).strip("\n")


def test_a_seed_that_lacks_the_header_is_shown_whole():
    seed = "import torch\n\nclass Net(torch.nn.Module):\n    pass\n"
    assert body(SMALL, seed) == seed.strip("\n")
