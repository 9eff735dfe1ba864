"""What the LLM reads is the paper's wording, around code that runs."""

import ast
import re

import pytest

from plugins.nasbench201.prompts import CROSSOVER, HEADER, MUTATIONS, PROMPTS, SEED

torch = pytest.importorskip("torch")


def paper_prompts(text):
    return [" ".join(found.split()) for found in re.findall(r'"""(.*?)"""', text, re.S)]


def test_the_nine_prompts_are_the_papers_in_its_words_and_order(shared):
    text = (shared / "reference" / "llmatic-paper.txt").read_text()
    appendix = text[text.index("Prompts used by LLMatic for NAS-bench-201:") :]
    assert [prompt.text for prompt in MUTATIONS] == paper_prompts(appendix)[:9]
    assert len(MUTATIONS) == 9


def test_the_crossover_prompt_is_the_papers(shared):
    text = (shared / "reference" / "llmatic-paper.txt").read_text()
    example = text[text.index("A crossover prompt example:") :]
    assert CROSSOVER.text == paper_prompts(example)[0]


@pytest.mark.parametrize("prompt", MUTATIONS, ids=lambda prompt: prompt.text[:40])
def test_each_edit_says_what_its_words_say(prompt):
    words, edit = prompt.text.lower(), prompt.edit
    assert edit.delete == ("delete" in words)
    if "add" not in words:
        assert edit.add is None
    elif "3x3 convolutional" in words:
        assert edit.add == "conv3x3(C)"
    elif "1x1 convolutional" in words:
        assert edit.add == "conv1x1(C)"
    elif "pooling" in words:
        assert edit.add == "pool3x3()"
    else:
        assert "skip" in words
        assert edit.add == ""
    assert not edit.combine
    assert CROSSOVER.edit.combine


def run(source):
    namespace = {}
    exec(compile(source, "<source>", "exec"), namespace)
    return namespace


@pytest.mark.parametrize("edit", {p.edit.add for p in MUTATIONS} - {None, ""})
def test_each_layer_that_an_edit_adds_is_built_from_the_header_and_keeps_the_shape(edit):
    layer = eval(edit, run(HEADER) | {"C": 4})
    assert layer(torch.zeros(2, 4, 5, 7)).shape == (2, 4, 5, 7)


def test_the_seed_is_relu_convolution_1x1_and_batch_normalisation_and_nothing_else():
    assert SEED.startswith(HEADER)
    net = run(SEED)["Net"](4)
    kinds = [type(module).__name__ for module in net.modules() if not list(module.children())]
    assert kinds == ["ReLU", "Conv2d", "BatchNorm2d"]
    image = torch.randn(2, 4, 5, 5)
    relu, conv, norm = net.e03
    assert conv.kernel_size == (1, 1)
    torch.testing.assert_close(net(image), norm(conv(relu(image))))


def test_the_worked_examples_answer_prompts_of_the_paper_and_run():
    tree = ast.parse(PROMPTS.preamble)
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    between = [node for node in tree.body if isinstance(node, ast.Expr)]
    assert [node.name for node in classes] == ["Net"] * 6
    # Three worked examples: a class, the prompt, the class that answers it.
    asked = [MUTATIONS[0].text, MUTATIONS[2].text, MUTATIONS[7].text]
    assert [node.value.value for node in between] == asked
    for node in classes:
        net = run(f"{HEADER}\n\n{ast.unparse(node)}")["Net"](4)
        assert net(torch.zeros(1, 4, 6, 6)).shape == (1, 4, 6, 6)


def test_a_candidates_source_is_header_opening_and_body():
    body = (
        "        self.e03 = conv1x1(C)\n\n    def forward(self, x0):\n        return self.e03(x0)\n"
    )
    assert "Net" in run(f"{PROMPTS.header}\n\n{PROMPTS.opening}{body}")


def test_seed_and_worked_examples_are_cells_of_the_benchmark():
    from plugins.nasbench201.equivalence import same_function
    from plugins.nasbench201.tracing import run as trace
    from sandbox.guest.task import TaskContext

    tree = ast.parse(PROMPTS.preamble)
    sources = [ast.unparse(node) for node in tree.body if isinstance(node, ast.ClassDef)]
    found = [
        trace(source, {}, TaskContext(lambda _: None))
        for source in (SEED, *(f"{HEADER}\n\n{source}" for source in sources))
    ]
    written = [
        (0, 0, 0, 2, 0, 0),
        (4, 0, 0, 0, 2, 0),
        (4, 0, 3, 0, 2, 1),
        (3, 0, 2, 1, 4, 3),
        (3, 0, 2, 1, 0, 3),
        (2, 1, 4, 3, 1, 2),
        (2, 4, 4, 0, 1, 2),
    ]
    for report, cell in zip(found, written, strict=True):
        assert same_function(tuple(report["cell"]), cell)
    assert [report["normalised"] for report in found] == [[]] * 7
