"""What a benchmark plugin gives to the search. Plain data, and four functions.

A plugin is a class, named by an entry point of the group ``llmatic_orch.plugins``. The class is
called with its options as keyword arguments (all have defaults) and the result is used as below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from sandbox.job import Job


class PluginError(Exception):
    """Something of the plugin's own is missing or wrong: its data, its options.

    Says what was expected, what was found and what to do.
    """


class ReportError(Exception):
    """A report that the plugin cannot have asked for: the candidate forged it.

    The search turns it into the outcome kind ``protocol_violation``.
    """


@dataclass(frozen=True)
class Option:
    """One option of a plugin; the command line shows it as ``--name``.

    ``type`` is ``str``, ``int``, ``float`` or ``bool``. ``choices`` restricts a ``str``.
    The keyword argument's name is ``name`` with dashes as underscores.
    """

    name: str
    default: Any
    help: str
    type: type = str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edit:
    """What a prompt asks for, in a form that the control backend ``rules`` can follow.

    Attributes:
        delete: remove a layer first.
        add: a constructor expression of the layer to add, in terms of the source's own header
            (``"conv3x3(C)"``), or ``""`` for a skip connection, or None to add nothing.
        combine: mix two parents.
        max_values: the most values, input and output included, that a network may be made of (4
            for a cell of four nodes), or None where the benchmark sets no limit.
    """

    delete: bool = False
    add: str | None = None
    combine: bool = False
    max_values: int | None = None


@dataclass(frozen=True)
class Prompt:
    """One instruction to the LLM, in words, and the same as an edit for ``--llm rules``."""

    text: str
    edit: Edit = field(default_factory=Edit)


@dataclass(frozen=True)
class Prompts:
    """All that the LLM is told.

    Attributes:
        mutations: the mutation prompts, in order; their index is the first descriptor of the
            prompt archive.
        crossover: the prompt behind two parents.
        header: code that every candidate's source starts with (imports, helper operations). It
            is put in front of what the LLM writes, and is part of what the LLM reads.
        preamble: what the LLM reads before the parents and after the header: worked examples.
        class_name: the name the LLM's class is given (``Net``).
        opening: the first line or lines of the class, given to the LLM as the start of its
            answer (``class Net(nn.Module):\\n``).
        max_tokens: new tokens that an answer may take; a few times what a good one takes, since
            one that runs on is good for nothing.
    """

    mutations: tuple[Prompt, ...]
    crossover: Prompt
    header: str
    preamble: str = ""
    class_name: str = "Net"
    opening: str = "class Net(nn.Module):\n"
    max_tokens: int = 512


@dataclass(frozen=True)
class Descriptor:
    """One axis of the network archive.

    ``low`` and ``high`` are in the descriptor's own unit; values are normalised to [0, 1] over
    that range and clipped.
    """

    name: str
    label: str
    low: float
    high: float
    unit: str = ""


@dataclass(frozen=True)
class Evaluation:
    """The plugin's verdict on a report, made on the host.

    Attributes:
        fitness: what the search maximises (accuracy in percent, 0..100, where it is one).
        descriptors: one value per descriptor, in its own unit.
        identity: a name that two networks share exactly if they are the same network to this
            benchmark (the architecture string of a cell), or None where there is no such name.
        details: JSON values to store and show (``architecture``, ``flops``, ``parameters`` ...).
    """

    fitness: float
    descriptors: tuple[float, ...]
    identity: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


#: Called with what is being done, how much of it, and the total (None: unknown).
Progress = Callable[[str, float, float | None], None]


@runtime_checkable
class Plugin(Protocol):
    """A benchmark. See ``docs/plugins.md`` for one in about 30 lines."""

    name: ClassVar[str]
    summary: ClassVar[str]
    options: ClassVar[Sequence[Option]]

    @property
    def seed(self) -> str:
        """The source of the network that the search starts from."""
        ...

    @property
    def prompts(self) -> Prompts:
        """All that the LLM is told."""
        ...

    @property
    def descriptors(self) -> tuple[Descriptor, ...]:
        """The axes of the network archive, two of them."""
        ...

    def prepare(self, progress: Progress) -> None:
        """Bring the data up: download, check, load. Called once before the first job.

        Raises:
            PluginError: the data cannot be had, or is damaged.
        """
        ...

    def job(self, source: str) -> Job:
        """What the sandbox is to do with a candidate's source."""
        ...

    def evaluate(self, report: Mapping[str, Any]) -> Evaluation:
        """The verdict on what the guest reported. Pure; the report may be hostile.

        Raises:
            ReportError: the report is not one that this plugin's task writes.
        """
        ...

    def test_score(self, evaluation: Evaluation, report: Mapping[str, Any]) -> float | None:
        """Test accuracy of an evaluated network in percent; None where the data has none.

        Asked for elites only, when they are shown. Never selects. ``report`` is the one that
        ``evaluate`` made the evaluation of.
        """
        ...
