"""The guest's task on sources: every style of a cell is read, everything else says why not."""

from itertools import cycle, permutations, product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.nasbench201.cells import CONV1X1, CONV3X3, NONE, POOL, SKIP, all_cells
from plugins.nasbench201.equivalence import prune, same_function
from plugins.nasbench201.tracing import run
from sandbox.guest.task import PHASES, Refusal, TaskContext
from tests.plugins.nasbench201.cell_sources import STYLES, compact, explicit, net

ALL_CELLS = list(all_cells())
cells = st.sampled_from(ALL_CELLS)
CONVOLVES = (NONE, NONE, NONE, CONV1X1, NONE, NONE)
BLOCK = "self.a = ReLUConvBN(C, 1)"


def verdict(source):
    """The kind of the outcome, and the report (``ok``) or the reason."""
    context = TaskContext(lambda message: None)
    try:
        return "ok", run(source, {}, context)
    except Refusal as refusal:
        return refusal.kind, refusal.reason
    except Exception as error:
        return PHASES[context.current], f"{type(error).__name__}: {error}"


def cell_of(source):
    kind, report = verdict(source)
    assert kind == "ok", report
    return tuple(report["cell"])


def block(*forward, init=()):
    """A net with one 1x1 block ``self.a`` and these lines in forward."""
    return net([BLOCK, *init], list(forward))


class TestStyles:
    @pytest.mark.parametrize("style", STYLES)
    def test_a_spread_of_cells_comes_back_as_the_same_function(self, style):
        for cell in ALL_CELLS[7::531]:
            assert same_function(cell_of(STYLES[style](cell)), cell), cell

    @pytest.mark.parametrize("style", ["explicit", "official"])
    def test_cells_written_out_in_full_come_back_exactly_but_for_dead_branches(self, style):
        for cell in ALL_CELLS[3::619]:
            assert cell_of(STYLES[style](cell)) == prune(cell)

    @settings(deadline=None, max_examples=60)
    @given(cells, st.sampled_from(sorted(STYLES)))
    def test_any_cell_in_any_style(self, cell, style):
        assert same_function(cell_of(STYLES[style](cell)), cell)

    @pytest.mark.slow
    def test_every_cell_in_one_style_each(self):
        for cell, style in zip(ALL_CELLS, cycle(STYLES)):
            assert same_function(cell_of(STYLES[style](cell)), cell), (style, cell)

    def test_the_report_holds_what_the_plugin_needs(self):
        kind, report = verdict(explicit((CONV1X1, NONE, NONE, NONE, CONV3X3, NONE)))
        assert kind == "ok"
        assert report["cell"] == [CONV1X1, NONE, NONE, NONE, CONV3X3, NONE]
        assert report["normalised"] == []
        assert report["parameters"] == 16 * 16 * (1 + 9) + 2 * 2 * 16
        assert 0 < report["mapping_seconds"] < 60


class TestNumerically:
    """The mapped cell, built anew, gives the same numbers as the source that was mapped."""

    @staticmethod
    def build(source):
        namespace = {}
        exec(source, namespace)
        torch.manual_seed(0)
        return namespace["Net"](4).eval(), namespace

    def agree(self, source, cell):
        module, _ = self.build(source)
        image = torch.randn(2, 4, 5, 6)
        other, namespace = self.build(explicit(cell))
        block_type = namespace["ReLUConvBN"]
        blocks = [m.state_dict() for m in module.children() if type(m).__name__ == "ReLUConvBN"]
        places = [m for m in other.children() if isinstance(m, block_type)]
        with torch.no_grad():
            expected = module(image)
            for chosen in permutations(blocks, len(places)):
                shapes = [s["op.1.weight"].shape for s in chosen]
                if shapes != [p.op[1].weight.shape for p in places]:
                    continue
                for place, state in zip(places, chosen, strict=True):
                    place.load_state_dict(state)
                if torch.allclose(other(image), expected, atol=1e-5):
                    return True
        return False

    def test_cells_without_convolutions(self):
        for cell in list(product((NONE, SKIP, POOL), repeat=6))[::9]:
            assert self.agree(compact(cell), cell_of(compact(cell))), cell

    def test_cells_with_convolutions(self):
        few = [c for c in ALL_CELLS if 1 <= c.count(CONV1X1) + c.count(CONV3X3) <= 3]
        for cell in few[5::257]:
            assert self.agree(compact(cell), cell_of(compact(cell))), cell

    def test_the_comparison_can_fail(self):
        assert not self.agree(compact((0, 0, 0, POOL, 0, 0)), (0, 0, 0, SKIP, 0, 0))


TWINS = {
    "kernel size": (
        ["self.c = nn.Conv2d(C, C, 3, padding=1)"],
        ["self.c = nn.Conv2d(C, C, 5, padding=2)"],
        "kernel size 1 or 3; found 5x5",
    ),
    "oblong kernel": (
        ["self.c = nn.Conv2d(C, C, (3, 3), padding=(1, 1))"],
        ["self.c = nn.Conv2d(C, C, (1, 3), padding=(0, 1))"],
        "found 1x3",
    ),
    "stride": (
        ["self.c = nn.Conv2d(C, C, 3, 1, 1)"],
        ["self.c = nn.Conv2d(C, C, 3, 2, 1)"],
        "expected stride 1",
    ),
    "dilation": (
        ["self.c = nn.Conv2d(C, C, 3, padding='same')"],
        ["self.c = nn.Conv2d(C, C, 3, padding='same', dilation=2)"],
        "expected dilation 1",
    ),
    "groups": (
        ["self.c = nn.Conv2d(C, C, 3, padding=1, groups=1)"],
        ["self.c = nn.Conv2d(C, C, 3, padding=1, groups=C)"],
        "expected groups 1",
    ),
    "padding mode": (
        ["self.c = nn.Conv2d(C, C, 3, padding=1, padding_mode='zeros')"],
        ["self.c = nn.Conv2d(C, C, 3, padding=1, padding_mode='reflect')"],
        "padding_mode 'zeros'",
    ),
    "bottleneck": (
        ["self.c = nn.Sequential(nn.Conv2d(C, C, 1), nn.Conv2d(C, C, 1))"],
        ["self.c = nn.Sequential(nn.Conv2d(C, C // 2, 1), nn.Conv2d(C // 2, C, 1))"],
        "output channels",
    ),
    "max pooling": (
        ["self.c = nn.AvgPool2d(3, stride=1, padding=1)"],
        ["self.c = nn.MaxPool2d(3, stride=1, padding=1)"],
        "max pooling",
    ),
    "pooling size": (
        ["self.c = nn.AvgPool2d(3, 1, 1)"],
        ["self.c = nn.AvgPool2d(5, 1, 2)"],
        "size 3",
    ),
    "pooling stride": (
        ["self.c = nn.AvgPool2d(3, 1, 1)"],
        ["self.c = nn.AvgPool2d(3, padding=1)"],
        "expected stride 1",
    ),
    "activation": (
        ["self.c = nn.Sequential(nn.ReLU(), nn.Conv2d(C, C, 1))"],
        ["self.c = nn.Sequential(nn.LeakyReLU(), nn.Conv2d(C, C, 1))"],
        "LeakyReLU",
    ),
    "normalisation": (
        ["self.c = nn.Sequential(nn.Conv2d(C, C, 1), nn.BatchNorm2d(C))"],
        ["self.c = nn.Sequential(nn.Conv2d(C, C, 1), nn.GroupNorm(4, C))"],
        "GroupNorm",
    ),
    "dropout": (
        ["self.c = nn.Sequential(nn.Conv2d(C, C, 1), nn.Dropout(0.0))"],
        ["self.c = nn.Sequential(nn.Conv2d(C, C, 1), nn.Dropout(0.1))"],
        "Dropout",
    ),
    "weight norm": (
        ["self.c = nn.LazyConv2d(C, 1)"],
        ["self.c = nn.utils.parametrizations.weight_norm(nn.Conv2d(C, C, 1))"],
        "weight_norm",
    ),
    "module used twice": (
        ["c, d = nn.Conv2d(C, C, 1), nn.Conv2d(C, C, 1)", "self.c = nn.Sequential(c, d)"],
        ["c = nn.Conv2d(C, C, 1)", "self.c = nn.Sequential(c, c)"],
        "used twice",
    ),
    "four in a chain": (
        ["self.c = nn.Sequential(*[ReLUConvBN(C, 3) for _ in range(3)])"],
        ["self.c = nn.Sequential(*[ReLUConvBN(C, 3) for _ in range(4)])"],
        "at most 4 nodes",
    ),
    "relu alone": (
        ["self.c = nn.Sequential(nn.ReLU(), nn.Conv2d(C, C, 1))"],
        ["self.c = nn.Sequential(nn.ReLU(), nn.AvgPool2d(3, 1, 1))"],
        "ReLU alone",
    ),
}

FORWARD_TWINS = {
    "product": ("x * 0 + self.a(x)", "x * self.a(x)", "product"),
    "gate": ("self.a(x) * 1", "self.a(x) * torch.sigmoid(x)", "product"),
    "scale": ("1.0 * self.a(x)", "0.5 * self.a(x)", "product"),
    "concatenation": (
        "x + self.a(x)",
        "torch.cat([x[:, ::2], self.a(x)[:, ::2]], dim=1)",
        "concatenation",
    ),
    "stack": ("torch.stack([x, self.a(x)]).sum(0)", "torch.stack([x, self.a(x)])[0]", "stack"),
    "alpha": ("torch.add(x, self.a(x), alpha=1)", "torch.add(x, self.a(x), alpha=2)", "alpha"),
    "difference": ("self.a(x) - 0", "self.a(x) - x", "sub"),
    "constant": ("0 + self.a(x)", "1 + self.a(x)", "constant"),
    "mean": ("sum([x, self.a(x)])", "torch.stack([x, self.a(x)]).mean(0)", "stack"),
    "relu at the end": ("self.a(F.relu(x))", "F.relu(self.a(x))", "one ReLU"),
    "five paths": ("x + x + x + x", "x + x + x + x + x", "paths"),
    "choice by data": (
        "self.a(x) if x.shape[1] > 0 else x",
        "self.a(x) if x.sum() > 0 else x",
        "depends on its data",
    ),
    "size by data": (
        "self.a(x) if len(x) > 0 else x",
        "self.a(x) if int(x.sum()) else x",
        "Python number",
    ),
    "select": ("self.a(x)", "torch.where(x > 0, x, self.a(x))", "is no operation"),
    "part": ("self.a(x)", "self.a(x)[:, torch.arange(x.shape[1])]", "part of one"),
    "twice": ("self.a(x)", "self.a(x) + self.a(x)", "used twice"),
}


class TestNotRepresentable:
    @pytest.mark.parametrize("name", TWINS)
    def test_layers(self, name):
        good, bad, expected = TWINS[name]
        assert verdict(net(good, ["return self.c(x)"]))[0] == "ok"
        kind, reason = verdict(net(bad, ["return self.c(x)"]))
        assert kind == "not_representable"
        assert expected in reason

    @pytest.mark.parametrize("name", FORWARD_TWINS)
    def test_forwards(self, name):
        good, bad, expected = FORWARD_TWINS[name]
        assert verdict(block(f"return {good}"))[0] == "ok"
        kind, reason = verdict(block(f"return {bad}"))
        assert kind == "not_representable"
        assert expected in reason

    def test_the_reason_names_layer_and_line(self):
        source = net(["self.stem = nn.Conv2d(C, C, 7, padding=3)"], ["return self.stem(x)"])
        line = source.splitlines().index("        return self.stem(x)") + 1
        assert f"Conv2d 'stem' (line {line})" in verdict(source)[1]

    def test_a_branch_by_data_is_refused_even_where_its_error_is_swallowed(self):
        source = block(
            "try:", "    if x.sum() > 0:", "        x = x + x", "except Exception:", "    pass",
            "return self.a(x)",
        )  # fmt: skip
        assert verdict(source)[0] == "not_representable"

    def test_a_loop_over_the_batch_is_no_cell(self):
        kind, reason = verdict(block("y = self.a(x)", "for _ in x:", "    y = y + x", "return y"))
        assert kind == "not_representable"
        assert "C = 32" in reason or "paths" in reason

    def test_another_cell_in_evaluation_is_no_cell(self):
        kind, reason = verdict(block("return self.a(x) if self.training else x"))
        assert kind == "not_representable"
        assert "evaluation mode" in reason

    @pytest.mark.parametrize(
        ("init", "forward"),
        [
            ("self.calls = 0", "self.calls += 1; return x if self.calls % 2 else x + x"),
            ("import random; self.r = random", "return x if self.r.random() < 0.5 else x"),
            ("pass", "return x + (torch.rand(1).item() > 2) * x"),
            ("self.C = C", "return nn.Conv2d(self.C, self.C, 1)(x)"),
        ],
    )
    def test_a_forward_that_changes_or_draws_is_no_cell(self, init, forward):
        assert verdict(net([init], [forward]))[0] == "not_representable"

    @pytest.mark.parametrize(
        "line", ["x[:, :2] = 0", "x[:, :2] += 1", "x[:, :2].zero_()", "x.t_ = x[0].mul_(2)"]
    )
    def test_a_tensor_changed_in_part_is_no_cell(self, line):
        assert verdict(block(line, "return self.a(x)"))[0] == "not_representable"

    @pytest.mark.parametrize(
        "call",
        [
            "F.conv2d(x, self.a.op[1].weight * 2)",
            "F.conv2d(x, x.mean((0, 2, 3)).diag()[:, :, None, None])",
            "F.batch_norm(self.a.op[1](x), None, None, self.a.op[2].weight * 2, training=True)",
        ],
    )
    def test_weights_computed_in_forward_are_no_layers(self, call):
        kind, reason = verdict(block(f"return {call}"))
        assert kind == "not_representable"
        assert "computed from other tensors" in reason

    def test_endless_chains_end(self):
        source = block("for _ in range(3000):", "    x = x * 1 + 0", "return x")
        assert verdict(source)[0] == "not_representable"


class TestRepresentable:
    @pytest.mark.parametrize(
        "line",
        [
            "self.c = nn.Conv2d(C, C, 1)",
            "self.c = nn.Conv2d(C, C, kernel_size=1, bias=False, padding='valid')",
            "self.c = nn.Sequential(nn.BatchNorm2d(C), nn.ReLU(), nn.Conv2d(C, C, 1))",
            "self.c = nn.Sequential(nn.Conv2d(C, C, 1), nn.ReLU(inplace=True))",
            "self.c = nn.Sequential(nn.Sequential(nn.ReLU()), nn.Sequential(nn.Conv2d(C, C, 1)))",
            "self.c = nn.Sequential(nn.ReLU(), nn.ReLU(), nn.Conv2d(C, C, 1))",
            "self.c = nn.Sequential(nn.Conv2d(C, C, 1), nn.BatchNorm2d(C, affine=False))",
            "self.c = nn.LazyConv2d(C, 1)",
        ],
    )
    def test_odd_convolutions_are_normalised_and_it_is_said(self, line):
        kind, report = verdict(net([line], ["return self.c(x)"]))
        assert kind == "ok"
        assert tuple(report["cell"]) == CONVOLVES
        assert any("normalised" in note for note in report["normalised"])

    @pytest.mark.parametrize(
        "relu",
        [
            "F.relu(x)", "torch.relu(x)", "x.relu()", "x.clamp(min=0)", "torch.clamp(x, 0)",
            "x.clamp_min(0)", "F.relu(x, inplace=True)", "nn.ReLU()(x)", "nn.ReLU().forward(x)",
        ],
    )  # fmt: skip
    def test_relus(self, relu):
        source = net(
            ["self.c = nn.Conv2d(C, C, 1)", "self.b = nn.BatchNorm2d(C)"],
            [f"return self.b(self.c({relu}))"],
        )
        kind, report = verdict(source)
        assert (kind, tuple(report["cell"]), report["normalised"]) == ("ok", CONVOLVES, [])

    @pytest.mark.parametrize(
        "total",
        [
            "x + self.a(x)",
            "self.a(x) + x",
            "torch.add(x, self.a(x))",
            "torch.add(input=x, other=self.a(x))",
            "x.add(self.a(x))",
            "self.a(x).add_(x)",
            "sum([x, self.a(x)])",
            "sum((x, self.a(x)), start=0)",
            "torch.stack([x, self.a(x)], dim=0).sum(dim=0)",
            "torch.sum(torch.stack((x, self.a(x)), 1), 1)",
            "__import__('functools').reduce(torch.add, [x, self.a(x)])",
            "__import__('functools').reduce(lambda p, q: p + q, [x, self.a(x)])",
            "torch.zeros(x.shape) + x + self.a(x)",
        ],
    )
    def test_sums(self, total):
        expected = (CONV1X1, NONE, NONE, SKIP, SKIP, NONE)
        assert cell_of(block(f"return {total}")) == expected

    @pytest.mark.parametrize(
        "start", ["0", "torch.zeros_like(x)", "x.new_zeros(x.size())", "x * 0"]
    )
    def test_accumulators(self, start):
        source = block(f"y = {start}", "for m in (self.a, self.b):", "    y += m(x)", "return y",
                       init=["self.b = ReLUConvBN(C, 3)"])  # fmt: skip
        assert same_function(cell_of(source), (CONV3X3, NONE, NONE, CONV1X1, SKIP, NONE))

    @pytest.mark.parametrize("zero", ["x * 0", "0.0 * x", "x.mul(0.)", "torch.zeros_like(x)",
                                      "torch.mul(x, 0)", "torch.zeros(x.shape)"])  # fmt: skip
    def test_zeros(self, zero):
        assert cell_of(block(f"return {zero}")) == (NONE,) * 6
        assert cell_of(block(f"return self.a(x) + {zero}")) == CONVOLVES

    @pytest.mark.parametrize("same", ["x", "nn.Identity()(x)", "nn.Sequential()(x)", "x.clone()",
                                      "x.view(x.shape)", "x.contiguous()", "x * 1"])  # fmt: skip
    def test_identities(self, same):
        assert cell_of(block(f"return {same}")) == (NONE, NONE, NONE, SKIP, NONE, NONE)

    def test_a_helper_that_hands_its_input_on_is_a_skip_connect(self):
        helper = "class Skip(nn.Module):\n    def forward(self, x):\n        return x\n"
        source = block("return self.a(self.s(x))", init=["self.s = Skip()"])
        source = source.replace("class Net", helper + "class Net")
        assert cell_of(source) == (SKIP, NONE, NONE, NONE, CONV1X1, NONE)

    def test_layers_in_a_plain_list_are_said_not_to_be_trained(self):
        source = net(["self.layers = [nn.Conv2d(C, C, 1)]"], ["return self.layers[0](x)"])
        kind, report = verdict(source)
        assert (kind, tuple(report["cell"])) == ("ok", CONVOLVES)
        assert any("not registered" in note for note in report["normalised"])

    @pytest.mark.parametrize(
        "lines",
        [
            ["n, c, h, w = x.shape", "assert c == self.a.op[1].in_channels", "return self.a(x)"],
            ["assert isinstance(x, torch.Tensor) and torch.is_tensor(x)", "return self.a(x)"],
            ["assert x.dim() == 4 and x.ndim == 4 and x.size(1) > 0", "return self.a(x)"],
            ["print(f'{x.mean():.3f}', x.mean().item())", "return self.a(x)"],
            ["with torch.no_grad():", "    y = self.a(x)", "return y"],
            ["with torch.inference_mode():", "    return self.a(x)"],
            ["dead = F.max_pool2d(x, 2)", "return self.a(x)"],
            ["dead = F.dropout(x)", "return self.a(x)"],
            ["return self.a.forward(x)"],
            ["return self.a.op[2](self.a.op[:2](x))"],
            ["return torch.utils.checkpoint.checkpoint(self.a, x, use_reentrant=False)"],
        ],
        ids=lambda lines: lines[0],
    )
    def test_harmless_code(self, lines):
        assert cell_of(block(*lines)) == CONVOLVES

    def test_signatures_decorators_and_inheritance(self):
        source = net([BLOCK], ["return self.a(x)"]) + (
            "class Wrapped(Net):\n"
            "    def __init__(self, channels, depth=1, *rest, **more):\n"
            "        super().__init__(channels)\n"
            "    @torch.compile\n"
            "    def forward(self, x, scale=None, *rest, flag=True, **more):\n"
            "        return super().forward(x) if flag and scale is None else x\n"
        )
        assert cell_of(source) == CONVOLVES

    def test_a_subclass_of_a_layer_is_what_its_forward_does(self):
        source = (
            "import torch.nn as nn\nimport torch.nn.functional as F\n"
            "class Conv(nn.Conv2d):\n"
            "    def forward(self, x):\n"
            "        return super().forward(F.relu(x))\n"
            "class Net(nn.Module):\n"
            "    def __init__(self, C):\n"
            "        super().__init__()\n"
            "        self.c = Conv(C, C, 1)\n"
            "    def forward(self, x):\n"
            "        return self.c(x)\n"
        )
        assert cell_of(source) == CONVOLVES

    def test_helpers_behind_the_cell_are_not_the_cell(self):
        source = block("return self.a(x)") + (
            "class Nothing(nn.Module):\n    def forward(self, x):\n        return x * 0\n"
            "class Block(nn.Module):\n"
            "    def __init__(self, C, kernel):\n        super().__init__()\n"
        )
        assert cell_of(source) == CONVOLVES

    def test_padding_that_is_counted_is_normalised(self):
        kind, report = verdict(net([], ["return F.avg_pool2d(x, 3, 1, 1)"]))
        assert (kind, report["cell"]) == ("ok", [0, 0, 0, POOL, 0, 0])
        assert "count_include_pad" in report["normalised"][0]

    def test_one_pooling_layer_may_be_used_twice(self):
        source = net(["self.p = nn.AvgPool2d(3, 1, 1)"], ["return self.p(self.p(x))"])
        assert cell_of(source) == (POOL, NONE, NONE, NONE, POOL, NONE)


class TestInPlace:
    """What a later use of a tensor sees is what the tensor holds by then."""

    def test_a_view_of_another_shape_is_not_the_changed_tensor(self):
        lines = ["t = x.transpose(2, 3)", "y = self.a(x)", "x += y"]
        assert verdict(block(*lines, "return x"))[0] == "ok"
        assert verdict(block(*lines, "return t.transpose(2, 3)"))[0] == "not_representable"

    def test_a_sum_in_place_changes_the_input_too(self):
        plain = cell_of(block("y = x + self.a(x)", "return y + y"))
        assert cell_of(block("y = x", "y += self.a(x)", "return y + x")) == plain

    def test_an_in_place_relu_shows_where_its_input_is_used_again(self):
        init = ["self.r = nn.ReLU(inplace=True)", "self.c = nn.Conv2d(C, C, 1)"]
        kind, reason = verdict(net(init, ["return x + self.c(self.r(x))"]))
        assert kind == "not_representable"
        assert "inplace=True" in reason
        assert verdict(net(init, ["return x + self.c(self.r(x.clone()))"]))[0] == "ok"

    def test_an_in_place_relu_is_fine_where_all_uses_are_convolutions(self):
        source = net(
            ["self.r = nn.ReLU(inplace=True)", "self.c = nn.Conv2d(C, C, 1)",
             "self.d = nn.Conv2d(C, C, 3, padding=1)"],
            ["return self.c(self.r(x)) + self.d(self.r(x))"],
        )  # fmt: skip
        assert same_function(cell_of(source), (CONV3X3, NONE, NONE, CONV1X1, SKIP, NONE))


class TestOtherKinds:
    @pytest.mark.parametrize(
        ("source", "kind"),
        [
            ("class Net(nn.Module:\n", "syntax_error"),
            ("import no_such_module\n", "import_error"),
            ("x = 1\n", "build_error"),
            ("import torch.nn as nn\nclass Net(nn.Module):\n    pass\n", "build_error"),
            (net(["raise ValueError('no')"], ["return x"]), "build_error"),
            (net(["assert C == 16"], ["return x"]), "build_error"),
            (net([], ["return self.missing(x)"]), "forward_error"),
            (net([], ["raise ValueError('no')"]), "forward_error"),
            (net(["self.c = nn.Conv2d(C, C, 3)"], ["return x + self.c(x)"]), "forward_error"),
            (net(["self.c = nn.Conv2d(16, 16, 1)"], ["return self.c(x)"]), "forward_error"),
            (net(["self.c = nn.Conv2d(3, C, 1)"], ["return self.c(x)"]), "forward_error"),
            (net(["self.c = nn.Conv2d(C, C, 3)"], ["return self.c(x)"]), "wrong_shape"),
            (net(["self.c = nn.Conv2d(C, 2 * C, 1)"], ["return self.c(x)"]), "wrong_shape"),
            (net(["self.c = nn.Linear(C, 10)"], ["return self.c(x.mean((2, 3)))"]), "wrong_shape"),
            (block("return self.a(x), x"), "wrong_shape"),
            (block("return [self.a(x)]"), "wrong_shape"),
            (block("return {'out': self.a(x)}"), "wrong_shape"),
            (block("self.a(x)"), "wrong_shape"),
            (block("return 3"), "wrong_shape"),
        ],
    )
    def test_kinds(self, source, kind):
        found, reason = verdict(source)
        assert found == kind, reason
        assert reason

    @pytest.mark.parametrize(
        "init",
        [
            "self.c = nn.Conv2d(C, C, 3, stride=2, padding=1)",
            "self.c = nn.MaxPool2d(2)",
            "self.c = nn.AvgPool2d(3)",
        ],
    )
    def test_a_forbidden_layer_is_the_verdict_even_where_it_breaks_forward(self, init):
        assert verdict(net([init], ["return x + self.c(x)"]))[0] == "not_representable"
        assert verdict(net([init], ["return self.c(x)"]))[0] == "not_representable"

    def test_fixed_channel_counts_are_named(self):
        _, reason = verdict(net(["self.c = nn.Conv2d(16, 16, 1)"], ["return self.c(x)"]))
        assert "C = 32" in reason
        assert "from C" in reason

    def test_names_that_clash_with_modules_own_do_no_harm(self):
        source = net([BLOCK, "self.parameters = 3"], ["return self.a(x)"])
        assert cell_of(source) == CONVOLVES

    def test_a_module_that_breaks_the_tracer_is_refused(self):
        source = net([BLOCK, "self.named_modules = None"], ["return self.a(x)"])
        kind, reason = verdict(source)
        assert kind == "not_representable"
        assert "cannot be traced" in reason
