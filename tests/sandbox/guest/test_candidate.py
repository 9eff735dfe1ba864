"""Which class of a source is the candidate."""

import pytest

from sandbox.guest.candidate import last_module_class
from sandbox.guest.task import Refusal

HEAD = "import torch.nn as nn\n"


def pick(source, arguments=None):
    namespace = {}
    exec(HEAD + source, namespace)
    return last_module_class(HEAD + source, namespace, arguments).__name__


def test_the_last_one_defined():
    assert pick("class A(nn.Module): pass\nclass B(nn.Module): pass\nclass C: pass\n") == "B"


def test_a_definition_again_moves_to_its_later_place():
    source = "class A(nn.Module): pass\nclass B(nn.Module): pass\nclass A(nn.Module): pass\n"
    assert pick(source) == "A"


def test_imports_and_aliases_are_no_definitions():
    assert pick("class A(nn.Module): pass\nfrom torch.nn import Conv2d\nB = nn.Linear\n") == "A"


def test_definitions_in_branches_count_and_nested_ones_do_not():
    source = (
        "class A(nn.Module):\n    class Inner(nn.Module): pass\n"
        "if True:\n    class B(nn.Module): pass\n"
        "def make():\n    class C(nn.Module): pass\n"
    )
    assert pick(source) == "B"


def test_one_that_takes_the_arguments_goes_before_later_ones_that_do_not():
    source = (
        "class Net(nn.Module):\n    def __init__(self, C): super().__init__()\n"
        "class Block(nn.Module):\n    def __init__(self, C, k): super().__init__()\n"
        "class Zero(nn.Module): pass\n"
    )
    assert pick(source, arguments=1) == "Net"
    assert pick(source, arguments=2) == "Block"
    assert pick(source) == "Zero"


def test_where_none_takes_the_arguments_it_is_the_last_one():
    assert pick("class A(nn.Module): pass\nclass B(nn.Module): pass\n", arguments=1) == "B"


def test_a_source_without_a_module_is_refused():
    with pytest.raises(Refusal, match="define one") as caught:
        pick("class A: pass\n")
    assert caught.value.kind == "build_error"
