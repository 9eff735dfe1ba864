"""The closed forms agree with the network that they describe."""

import pytest

torch = pytest.importorskip("torch")

from fvcore.nn import FlopCountAnalysis  # noqa: E402
from torch import nn  # noqa: E402

from plugins.nasbench201 import network  # noqa: E402
from plugins.nasbench201.cells import EDGES, all_cells, live_edges  # noqa: E402

DATASETS = list(network.DATASETS.values())
#: No convolution; the seed; all 3x3; a dead end and a branch from nothing; the best on CIFAR-10.
CELLS = [
    (0, 0, 0, 0, 0, 0),
    (0, 0, 0, 2, 0, 0),
    (3, 3, 3, 3, 3, 3),
    (3, 0, 0, 2, 0, 0),
    (0, 0, 0, 1, 3, 2),
    (3, 3, 3, 1, 3, 2),
    (4, 2, 1, 2, 1, 1),
]
LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)


class ReLUConvBN(nn.Sequential):
    def __init__(self, inputs, outputs, kernel, stride=1):
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
        )


def operation(index, channels):
    if index in (2, 3):
        return ReLUConvBN(channels, channels, 1 if index == 2 else 3)
    return nn.AvgPool2d(3, 1, 1, count_include_pad=False) if index == 4 else nn.Identity()


class CellNetwork(nn.Module):
    """Holds the operations of all edges; runs those that it is told to."""

    def __init__(self, cell, channels, edges):
        super().__init__()
        self.cell, self.run = cell, edges
        self.operations = nn.ModuleList(operation(index, channels) for index in cell)

    def forward(self, x):
        nodes = [x, torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)]
        for edge, (source, target) in enumerate(EDGES):
            if edge in self.run:
                nodes[target] = nodes[target] + self.operations[edge](nodes[source])
        return nodes[3]


class Residual(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.first = ReLUConvBN(inputs, outputs, 3, 2)
        self.second = ReLUConvBN(outputs, outputs, 3)
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, 2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x):
        return self.shortcut(x) + self.second(self.first(x))


def build(cell, dataset, *, only_live):
    """The whole network; ``only_live`` leaves out what is thrown away, as depth is defined."""
    edges = live_edges(cell) if only_live else [e for e, op in enumerate(cell) if op]
    layers = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)]
    for channels in (16, 32, 64):
        if channels > 16:
            layers.append(Residual(channels // 2, channels))
        layers += [CellNetwork(cell, channels, edges) for _ in range(5)]
    layers += [
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, dataset.classes),
    ]
    return nn.Sequential(*layers).eval()


def image(dataset):
    return torch.zeros(1, 3, dataset.size, dataset.size)


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda d: d.name)
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_parameters_are_those_of_the_built_network(cell, dataset):
    built = build(cell, dataset, only_live=False)
    assert network.parameters(cell, dataset) == sum(p.numel() for p in built.parameters())


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda d: d.name)
# Without the dead end: fvcore traces, which leaves out what is thrown away; the form counts it.
@pytest.mark.parametrize("cell", [CELLS[1], CELLS[2], CELLS[4]], ids=str)
def test_macs_are_what_fvcore_counts_for_convolutions_and_the_classifier(cell, dataset):
    built = build(cell, dataset, only_live=False)
    counted = FlopCountAnalysis(built, image(dataset)).unsupported_ops_warnings(False)
    counted = counted.uncalled_modules_warnings(False).by_operator()
    bias = dataset.classes
    assert network.macs(cell, dataset) == counted["conv"] + counted["linear"] + bias


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda d: d.name)
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_depth_and_width_are_what_hooks_on_the_running_network_see(cell, dataset):
    built = build(cell, dataset, only_live=True)
    outputs = []
    for module in built.modules():
        if isinstance(module, LAYERS):
            module.register_forward_hook(lambda _m, _i, out: outputs.append(out.shape[1]))
    with torch.no_grad():
        built(image(dataset))
    assert network.depth(cell) == len(outputs)
    assert network.width(dataset) == max(outputs)
    assert network.width_to_depth(cell, dataset) == max(outputs) / len(outputs)


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda d: d.name)
def test_ranges_are_what_the_space_attains(dataset):
    macs = [network.macs(cell, dataset) for cell in all_cells()]
    ratios = [network.width_to_depth(cell, dataset) for cell in all_cells()]
    assert network.macs_range(dataset) == (min(macs), max(macs))
    assert network.width_to_depth_range(dataset) == (min(ratios), max(ratios))


def test_the_range_on_cifar10_is_the_benchmarks_own():
    low, high = network.macs_range(network.DATASETS["cifar10"])
    assert (round(low / 1e6, 2), round(high / 1e6, 2)) == (7.78, 220.12)
