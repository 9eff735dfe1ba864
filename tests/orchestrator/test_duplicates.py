"""Which sources are the same program."""

from __future__ import annotations

import ast
import re
import sys
import threading
import time
from collections import defaultdict
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.duplicates import TEXT_PREFIX, source_key
from orchestrator.parsing import MAX_CHARACTERS

CELL = '''\
import torch.nn as nn


class Block(nn.Module):
    """A block."""

    def __init__(self, C):
        super(Block, self).__init__()
        self.conv = nn.Conv2d(C, C, 3, padding=1)

    def forward(self, x):
        return self.conv(x)


class Net(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.block: Block = Block(C)

    def forward(self, x):
        return self.block(x) + x
'''


def same(one: str, other: str) -> bool:
    return source_key(one) == source_key(other)


def test_a_key_is_stable():
    assert source_key("class Net: pass") == "ac062ef8d3236e3c0e2795c7d54dcf5e"
    assert re.fullmatch("[0-9a-f]{32}", source_key(CELL))


@pytest.mark.parametrize(
    "other",
    [
        CELL.replace('    """A block."""\n\n', ""),
        CELL.replace('"""A block."""', "'another'  # and a comment"),
        '"""A module."""\n' + CELL,
        CELL.replace("def forward(self, x):\n", 'def forward(self, x):\n        """Go."""\n', 1),
        CELL.replace("C, C, 3, padding=1", "\n  C,  C , 3,\n padding = 1,\n"),
        CELL.replace("self.conv(x)", "(self.conv(x))"),
        CELL.replace("Block", "Brick"),
        CELL.replace("Net", "Network").replace("Block", "Net"),
        # Called like an argument, an attribute, a variable of something else.
        CELL.replace("Net", "x"),
        CELL.replace("Net", "block"),
        CELL.replace("Net", "forward"),
    ],
)
def test_layout_docstrings_and_names_of_classes_do_not_matter(other):
    assert same(CELL, other)


@pytest.mark.parametrize(
    "other",
    [
        CELL.replace("C, C, 3", "C, C, 1"),
        CELL.replace("padding=1", "padding=1.0"),
        CELL.replace("padding=1", "padding=True"),
        CELL.replace("self.conv", "self.convolution"),
        CELL.replace("(x) + x", "(x) + self"),
        CELL.replace("super()", "super(Net, self)"),
        CELL.replace("super(Block, self)", "super(Net, self)"),
        CELL.replace("class Net(nn.Module)", "class Net(Block)"),
        # The annotation now means something that is not defined.
        CELL.replace(": Block =", ": Brick ="),
        CELL.replace(": Block =", ': "Block" ='),
        # The class is hidden by the argument.
        CELL.replace("Block", "C"),
        CELL.replace("import torch.nn as nn", "from torch import nn"),
        CELL + "\n'no docstring'\n",
    ],
)
def test_all_else_matters(other):
    assert not same(CELL, other)


def test_a_string_keeps_its_text():
    source = "class {0}: pass\nbuilt = globals()['Net']"
    assert not same(source.format("Net"), source.replace("'Net'", "'Other'").format("Other"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        # A name of a class body is an attribute.
        ("class A:\n class B: pass", "class A:\n class C: pass"),
        # Mangled: the method looks for _Net__Op.
        (
            "class __Op: pass\nclass Net:\n def f(s): return __Op",
            "class Op: pass\nclass Net:\n def f(s): return Op",
        ),
        # The builtin is meant before the class is defined.
        ("y = list()\nclass list: pass", "y = Foo()\nclass Foo: pass"),
        # The class body reads the variable outside.
        ("class A: pass\nclass B:\n A = A", "class C: pass\nclass B:\n A = A"),
        ("import a as A\nclass A: pass", "import a as A\nclass B: pass"),
        ("def A(): pass\nclass A: pass", "def A(): pass\nclass B: pass"),
        (
            "class A: pass\ndef f():\n global A\n import x as A",
            "class B: pass\ndef f():\n global B\n import x as A",
        ),
        (
            "try: pass\nexcept E as A: A\nclass A: pass",
            "try: pass\nexcept E as A: A\nclass B: pass",
        ),
        # Only one of the two is a class.
        ("class A: pass\nA()", "class A: pass\nB()"),
        ("class A: pass\nclass B: pass\nA()", "class A: pass\nclass B: pass\nB()"),
        ("def f(): return A\nclass B: pass", "def f(): return A\nclass A: pass"),
        # Hidden in one of the two.
        ("class A: pass\nf = lambda A: A", "class A: pass\nf = lambda x: A"),
        ("class A: pass\n[A for A in x]", "class A: pass\n[A for y in x]"),
    ],
)
def test_a_class_is_told_apart_from_what_is_only_called_like_it(one, other):
    assert not same(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("class A: pass\nf = lambda B: B", "class B: pass\nf = lambda B: B"),
        ("class A: pass\n[x for x in A]", "class x: pass\n[x for x in x]"),
        ("class A: pass\nA = wrap(A)", "class B: pass\nB = wrap(B)"),
        ("class A: pass\nx.A.f(A=1)", "class B: pass\nx.A.f(A=1)"),
        ("def f():\n class A: pass\n return A", "def f():\n class B: pass\n return B"),
        ("class A: pass\ndef f(A: A = A): A", "class B: pass\ndef f(A: B = B): A"),
        ("class A: pass\ndef f(): return f'{A}'", "class B: pass\ndef f(): return f'{B}'"),
    ],
)
def test_a_class_is_renamed_wherever_it_is_meant(one, other):
    assert same(one, other)


@pytest.mark.parametrize(
    "source",
    [
        "class Net(:",
        "x = '\0'",
        "x = '\ud800'",
        "(" * 5000,
        "[" * 150 + "]" * 150 + " = a b",
        "f(" * 99,
        "with " + "(" * 190,
        "-" * 90_000 + "1",
        "a" + ".b" * 45_000,
        "a" + "+a" * 45_000,
        "if a: pass\n" + "elif a: pass\n" * 7000,
        "x = " + "9" * 5000,
        "lambda: " * 12_000 + "1",
        "x=1\n" * MAX_CHARACTERS,
    ],
    ids=lambda source: f"{source[:10]!a}x{len(source)}",
)
def test_what_cannot_be_parsed_at_a_bounded_cost_is_compared_as_text(source):
    started = time.perf_counter()
    key = source_key(source)
    assert time.perf_counter() - started < 2
    assert re.fullmatch(TEXT_PREFIX + "[0-9a-f]{32}", key)
    assert key == source_key(source)
    assert key != source_key(source + " ")


def test_a_key_does_not_depend_on_how_deep_the_caller_is():
    nested = "x = " + "(-" * 100 + "1" + ")" * 100

    def deep(levels: int) -> str:
        return deep(levels - 1) if levels else source_key(nested)

    assert deep(600) == source_key(nested)
    assert not source_key(nested).startswith(TEXT_PREFIX)


def test_huge_numbers_are_compared():
    assert not same("x = 0x" + "f" * 9000, "x = 0x" + "f" * 8999 + "e")


def test_nothing_is_said_about_a_candidates_bad_escapes(capfd, recwarn):
    assert same("x = '\\d'", "x  =  '\\d'")
    assert len(recwarn) == 0
    assert capfd.readouterr() == ("", "")


def test_nothing_is_executed():
    source_key("import sys\nsys.keys_were_executed = True")
    assert not hasattr(sys, "keys_were_executed")


def test_threads_get_the_same_keys():
    keys: list[str] = []
    threads = [
        threading.Thread(target=lambda: keys.extend(source_key(CELL) for _ in range(50)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(keys) == {source_key(CELL)}
    assert len(keys) == 200


# -- properties ------------------------------------------------------------------------------

CLASSES = ("Net", "Block", "Op")


def expression(rng: Random, depth: int = 2) -> str:
    if not depth or rng.random() < 0.4:
        return rng.choice(["x", "1", "1.0", "'Net'", *CLASSES])
    form = rng.choice(["({0} + {1})", "f({0}, k={1})", "{2}.Net"])
    return form.format(
        expression(rng, depth - 1), expression(rng, depth - 1), rng.choice(["x", *CLASSES])
    )


def program(rng: Random) -> str:
    """Classes with docstrings and methods; no name of a class is hidden anywhere."""
    parts = []
    for name in rng.sample(CLASSES, rng.randint(1, 2)):
        parts.append(f"class {name}({rng.choice(['Base', *CLASSES])}):")
        parts += ["    '''about'''"] * rng.randint(0, 1)
        parts += [f"    first = {expression(rng)}"] * rng.randint(0, 1)
        parts += [
            "    def forward(self, x):",
            f"        return {expression(rng, rng.randint(0, 2))}",
        ]
    return "\n".join(parts) + "\n"


def oracle(source: str) -> str:
    """The tree without docstrings, classes renamed in the order of their mention."""
    tree = ast.parse(source)
    defined = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    order: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and ast.get_docstring(node):
            del node.body[0]

    def visit(node: ast.AST) -> None:
        name = getattr(node, "name", None) or getattr(node, "id", None)
        if name in defined:
            setattr(
                node,
                "name" if hasattr(node, "name") else "id",
                order.setdefault(name, f"class {len(order)}"),
            )
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(tree)
    return ast.dump(tree)


def test_keys_part_programs_as_their_trees_do():
    rng = Random(0)
    programs = [program(rng) for _ in range(1500)]
    by_key, by_tree = defaultdict(set), defaultdict(set)
    for number, source in enumerate(programs):
        by_key[source_key(source)].add(number)
        by_tree[oracle(source)].add(number)
    assert sorted(map(sorted, by_key.values())) == sorted(map(sorted, by_tree.values()))
    assert 100 < len(by_tree) < 1400


def test_renaming_classes_keeps_the_key():
    rng = Random(0)
    for _ in range(300):
        source = program(rng)
        defined = re.findall(r"^class (\w+)", source, re.MULTILINE)
        names = ["Net", "Block", "Op", "Fourth", "k"]
        new = dict(zip(defined, rng.sample(names, len(defined)), strict=True))
        # A name that is no class here must not become one: it is called otherwise in both.
        free = dict.fromkeys({*CLASSES, *names} - set(defined), "free")
        assert same(rename(source, free), rename(source, {**free, **new}))


def rename(source: str, names: dict[str, str]) -> str:
    """A program with its classes and variables (not its attributes and keywords) renamed."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            node.name = names.get(node.name, node.name)
        elif isinstance(node, ast.Name):
            node.id = names.get(node.id, node.id)
    return ast.unparse(tree)


@settings(deadline=None, max_examples=150)
@given(st.text(max_size=200))
def test_any_text_has_a_key(text):
    assert len(source_key(text)) in (32, 32 + len(TEXT_PREFIX))
