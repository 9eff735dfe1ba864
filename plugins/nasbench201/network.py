"""What the full network around a cell costs and looks like, in closed form.

The network (Dong & Yang, 2020): a 3x3 convolution to 16 channels with batch normalisation, five
cells at 16 channels, a residual block of stride 2, five cells at 32, another block, five cells at
64, batch normalisation, global average pooling, and a linear classifier.

**Width** is the largest number of output features of any layer; **depth** is the number of layers
that the forward pass executes. A **layer** is a module with parameters: a convolution, a
normalisation or a linear map. ReLU, pooling, addition and skip connections are none. A layer on an
edge of the cell that is not live (:func:`plugins.nasbench201.cells.live_edges`) is not executed.
By the same rule the seed network of CIFAR-10 (Conv2d, then Linear) has depth 2 and width 10.
"""

from __future__ import annotations

from dataclasses import dataclass

from plugins.nasbench201.cells import CONV1X1, CONV3X3, Cell, live_edges

CHANNELS = (16, 32, 64)
CELLS_PER_STAGE = 5


@dataclass(frozen=True)
class Dataset:
    """One of the three data sets of the benchmark.

    Attributes:
        name: as on the command line.
        title: as a person writes it.
        classes: number of classes, the network's output features.
        size: height and width of an image in pixels.
        epoch_factor: training time of an epoch, in epochs of CIFAR-10's training half
            (``cifar10-valid``), which is what the tables' CIFAR-10 validation accuracies come from.
    """

    name: str
    title: str
    classes: int
    size: int
    epoch_factor: float


DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("cifar10", "CIFAR-10", 10, 32, 1.0),
        Dataset("cifar100", "CIFAR-100", 100, 32, 2.0),
        Dataset("imagenet16-120", "ImageNet16-120", 120, 16, 6.068),
    )
}


def _convolutions(cell: Cell) -> tuple[int, int]:
    """How many 1x1 and 3x3 convolutions the cell has, live or not."""
    return cell.count(CONV1X1), cell.count(CONV3X3)


def macs(cell: Cell, dataset: Dataset) -> int:
    """Multiply-accumulates of one image through the network. fvcore and the paper say FLOPs.

    As the benchmark counts them: convolutions of edges that are not live too, and the classifier
    with its bias; normalisation, pooling and additions not.
    """
    conv1, conv3 = _convolutions(cell)
    pixels = dataset.size * dataset.size
    # Per pixel of the input image; both stages' halved resolution is cancelled by doubled channels.
    return pixels * (7600 + 3840 * (conv1 + 9 * conv3)) + 65 * dataset.classes


def parameters(cell: Cell, dataset: Dataset) -> int:
    """Trainable parameters of the network, those of edges that are not live too."""
    conv1, conv3 = _convolutions(cell)
    return 72656 + 65 * dataset.classes + 28000 * conv1 + 243040 * conv3


def width(dataset: Dataset) -> int:
    """The largest number of output features of any layer: the last stage's, or the classifier's."""
    return max(*CHANNELS, dataset.classes)


def depth(cell: Cell) -> int:
    """The number of layers that the forward pass executes.

    14 outside the cells: two of the stem, five in each residual block (two convolutions with their
    normalisation, and the shortcut's convolution), the last normalisation, the classifier. Two, the
    convolution and its normalisation, for each live convolution edge of each of the 15 cells.
    """
    convolutions = sum(cell[edge] in (CONV1X1, CONV3X3) for edge in live_edges(cell))
    return 14 + 2 * convolutions * CELLS_PER_STAGE * len(CHANNELS)


def width_to_depth(cell: Cell, dataset: Dataset) -> float:
    """The paper's first descriptor: width divided by depth."""
    return width(dataset) / depth(cell)


#: The cells at both ends of every descriptor: no convolution, and six 3x3 ones.
LIGHTEST: Cell = (0, 0, 0, 0, 0, 0)
HEAVIEST: Cell = (3, 3, 3, 3, 3, 3)


def macs_range(dataset: Dataset) -> tuple[int, int]:
    """The least and the most MACs of any cell."""
    return macs(LIGHTEST, dataset), macs(HEAVIEST, dataset)


def width_to_depth_range(dataset: Dataset) -> tuple[float, float]:
    """The least and the greatest width-to-depth ratio of any cell."""
    return width_to_depth(HEAVIEST, dataset), width_to_depth(LIGHTEST, dataset)
