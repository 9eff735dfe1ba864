"""The conformance kit: a plugin, ours or foreign, against what the orchestrator relies on.

Each promise is one function that raises :class:`Broken` with what was expected and found. They run
in order; a promise whose ground is missing (no report, since the seed's job failed) is not tried.
"""

from __future__ import annotations

import ast
import copy
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from plugins.contract import Descriptor, Evaluation, Option, Plugin, Prompt, Prompts, ReportError
from plugins.forging import forge
from sandbox.job import GuestCode, Job
from sandbox.limits import Limits
from sandbox.outcome import Outcome, OutcomeKind

#: Runs one job to its outcome: the sandbox, as far as this module knows it.
RunJob = Callable[[Job], Outcome]


class Broken(Exception):
    """A promise that does not hold."""


class NotTried(Exception):
    """A promise that cannot be tried; says what is missing."""


@dataclass(frozen=True)
class Verdict:
    """What came of one promise.

    Attributes:
        promise: the promise in words.
        held: None where it was not tried.
        detail: why it is broken, or was not tried; else what was seen.
    """

    promise: str
    held: bool | None
    detail: str = ""


class Check:
    """One run of the kit over one plugin. Later promises build on what earlier ones made."""

    def __init__(self, cls: type[Plugin], run_job: RunJob | None, **options: Any) -> None:
        """Take a plugin's class, and how to run a job; None leaves the sandbox out."""
        self._cls = cls
        self._run_job = run_job
        self._options = options
        self._plugin: Plugin | None = None
        self._report: Mapping[str, Any] | None = None
        self._evaluation: Evaluation | None = None

    def run(self) -> Iterator[Verdict]:
        """Try every promise; yields each verdict as soon as it is known."""
        for promise, attempt in self.promises():
            try:
                detail = attempt()
            except NotTried as reason:
                yield Verdict(promise, None, str(reason))
            except Broken as reason:
                yield Verdict(promise, False, str(reason))
            except Exception as error:
                # The plugin's own code failed, which is what is being found out here.
                yield Verdict(promise, False, f"{type(error).__name__}: {error}")
            else:
                yield Verdict(promise, True, detail)

    def promises(self) -> tuple[tuple[str, Callable[[], str]], ...]:
        """Every promise in words, with the function that tries it."""
        return (
            ("it says what it is: a name, a summary of one line", self._declares),
            ("its options have types, defaults that fit, and help", self._has_options),
            ("it is made without any option", self._is_made),
            ("its seed compiles and defines the class that prompts name", self._has_seed),
            ("its prompts are there, and can be put in front of an LLM", self._has_prompts),
            ("it has two descriptors, each with low < high", self._has_descriptors),
            ("its data comes up, and comes up again", self._prepares),
            ("its job is the same for the same source, in JSON values", self._makes_jobs),
            ("its seed passes the sandbox", self._seed_passes),
            ("a source that is no network is the candidate's fault", self._refuses),
            ("the evaluation is finite, and of two descriptors", self._evaluates),
            ("the same report gives the same evaluation", self._is_deterministic),
            ("an evaluation's details are JSON values", self._has_json_details),
            ("a forged report is a ReportError, and never another error", self._survives_forgery),
            ("the test score is a number or None", self._has_test_score),
        )

    # What it declares.

    def _declares(self) -> str:
        name, summary = self._cls.name, self._cls.summary
        _expect(isinstance(name, str) and bool(name.strip()), f"a name, found {name!r}")
        one_line = isinstance(summary, str) and summary.strip() and "\n" not in summary
        _expect(bool(one_line), f"a summary of one line, found {summary!r}")
        return f"{name}: {summary}"

    def _has_options(self) -> str:
        seen: set[str] = set()
        for option in self._cls.options:
            _expect(isinstance(option, Option), f"options to be Option, found {option!r}")
            _check_option(option)
            keyword = option.name.replace("-", "_")
            _expect(keyword not in seen, f"option names to differ, found --{option.name} twice")
            seen.add(keyword)
        return ", ".join(f"--{option.name}" for option in self._cls.options) or "none"

    def _is_made(self) -> str:
        plugin = self._cls()
        _expect(isinstance(plugin, Plugin), "all that plugins.contract.Plugin names")
        self._plugin = self._cls(**self._options) if self._options else plugin
        return ""

    # What it gives.

    def _has_seed(self) -> str:
        plugin, prompts = self._made(), self._made().prompts
        seed = plugin.seed
        _expect(isinstance(seed, str), f"the seed to be text, found {type(seed).__name__}")
        classes = _classes(seed, "the seed")
        _expect(
            prompts.class_name in classes,
            f"the seed to define class {prompts.class_name}, found {', '.join(classes) or 'none'}",
        )
        _expect(
            seed.startswith(prompts.header),
            "the seed to start with the header, as every candidate's source does",
        )
        size, limit = len(seed.encode()), Limits().source_bytes
        _expect(size <= limit, f"a seed of at most {limit:,} bytes, found {size:,}")
        _expect(plugin.seed == seed, "the seed to be the same each time")
        return f"{len(seed.splitlines())} lines"

    def _has_prompts(self) -> str:
        prompts = self._made().prompts
        _expect(isinstance(prompts, Prompts), f"Prompts, found {type(prompts).__name__}")
        count = len(prompts.mutations)
        # The prompt archive's axis is index / (number - 1).
        _expect(count >= 2, f"two mutation prompts or more, found {count}")
        for prompt in (*prompts.mutations, prompts.crossover):
            _check_prompt(prompt)
        _expect(prompts.crossover.edit.combine, "the crossover prompt's edit to say combine")
        _classes(prompts.header, "the header")
        _classes(prompts.preamble, "the preamble")
        start = f"class {prompts.class_name}"
        _expect(
            prompts.opening.startswith(start) and prompts.opening.endswith("\n"),
            f"an opening that starts with {start!r} and ends with a line break, "
            f"found {prompts.opening!r}",
        )
        _classes(f"{prompts.header}\n\n{prompts.opening}    pass\n", "the header with the opening")
        return f"{count} mutations"

    def _has_descriptors(self) -> str:
        descriptors = self._made().descriptors
        _expect(len(descriptors) == 2, f"two descriptors, found {len(descriptors)}")
        for descriptor in descriptors:
            _expect(isinstance(descriptor, Descriptor), f"a Descriptor, found {descriptor!r}")
            low, high = descriptor.low, descriptor.high
            _expect(
                _is_finite(low) and _is_finite(high) and low < high,
                f"finite low < high for {descriptor.name!r}, found {low} and {high}",
            )
        names = [descriptor.name for descriptor in descriptors]
        _expect(all(names) and len(set(names)) == 2, f"two different names, found {names}")
        return ", ".join(f"{d.name} {d.low:g} to {d.high:g}" for d in descriptors)

    def _prepares(self) -> str:
        for _ in range(2):
            self._made().prepare(_check_progress)
        return ""

    def _makes_jobs(self) -> str:
        plugin = self._made()
        job = plugin.job(plugin.seed)
        _expect(isinstance(job, Job), f"a Job, found {type(job).__name__}")
        _expect(job.source == plugin.seed, "the job to carry the candidate's source unchanged")
        _expect(plugin.job(plugin.seed) == job, "the same job for the same source, found another")
        _check_json(dict(job.params), "the job's params")
        _check_code(job.code)
        return job.code.entry

    # What it makes of candidates.

    def _seed_passes(self) -> str:
        outcome = self._run(self._made().seed)
        _expect(
            outcome.kind is OutcomeKind.OK,
            f"outcome ok, found {outcome.kind.value}: {outcome.reason}",
        )
        report = outcome.report
        _expect(isinstance(report, Mapping), f"a report, found {report!r}")
        assert report is not None
        _check_json(dict(report), "the report")
        self._report = report
        return f"report of {', '.join(map(str, report)) or 'nothing'}"

    def _refuses(self) -> str:
        seen = []
        for source in ("def broken(:\n", "", "raise RuntimeError('at import')\n"):
            outcome = self._run(source)
            _expect(
                outcome.kind.candidates_fault,
                f"a fault of the candidate for the source {source!r}, found {outcome.kind.value}"
                f": {outcome.reason}",
            )
            seen.append(outcome.kind.value)
        return ", ".join(seen)

    def _evaluates(self) -> str:
        evaluation = self._made().evaluate(self._reported())
        _check_evaluation(evaluation)
        self._evaluation = evaluation
        values = ", ".join(f"{value:g}" for value in evaluation.descriptors)
        return f"fitness {evaluation.fitness:g}, descriptors {values}"

    def _is_deterministic(self) -> str:
        report = self._reported()
        before = copy.deepcopy(dict(report))
        first = self._made().evaluate(report)
        _expect(dict(report) == before, "evaluate() to leave the report as it was")
        # What is stored with a run is evaluated again from JSON.
        again = self._made().evaluate(json.loads(json.dumps(dict(report))))
        _expect(first == again, f"{first}, found {again} the second time")
        return ""

    def _has_json_details(self) -> str:
        evaluation = self._evaluated()
        _check_json(dict(evaluation.details), "details")
        return ", ".join(evaluation.details)

    def _survives_forgery(self) -> str:
        report = self._reported()
        refused = tried = 0
        for what, forged, must_refuse in forge(report):
            tried += 1
            try:
                evaluation = self._made().evaluate(forged)
            except ReportError:
                refused += 1
                continue
            except Exception as error:
                raise Broken(
                    f"expected ReportError for {what}, found {type(error).__name__}: {error}"
                ) from error
            _expect(not must_refuse, f"ReportError for {what}, found an evaluation")
            # Another value of the right kind may be believed, but must not break the archives.
            try:
                _check_evaluation(evaluation)
                _check_json(dict(evaluation.details), "details")
            except Broken as reason:
                raise Broken(f"with {what}: {reason}") from reason
        return f"{refused} of {tried} forgeries refused, the others harmless"

    def _has_test_score(self) -> str:
        score = self._made().test_score(self._evaluated())
        _expect(score is None or _is_finite(score), f"a finite number or None, found {score!r}")
        return "none in the data" if score is None else f"{score:g}"

    # What promises stand on.

    def _made(self) -> Plugin:
        if self._plugin is None:
            raise NotTried("the plugin could not be made")
        return self._plugin

    def _run(self, source: str) -> Outcome:
        plugin = self._made()
        if self._run_job is None:
            raise NotTried("left out: no sandbox")
        outcome = self._run_job(plugin.job(source))
        if outcome.kind is OutcomeKind.SANDBOX_ERROR:
            raise NotTried(f"the sandbox failed: {outcome.reason}")
        return outcome

    def _reported(self) -> Mapping[str, Any]:
        if self._report is None:
            raise NotTried("no report: the seed did not pass the sandbox")
        return self._report

    def _evaluated(self) -> Evaluation:
        if self._evaluation is None:
            raise NotTried("the seed's report was not evaluated")
        return self._evaluation


def _expect(condition: bool, expected: str) -> None:
    if not condition:
        raise Broken(f"expected {expected}")


def _is_finite(value: Any) -> bool:
    try:
        return (
            not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
        )
    except OverflowError:
        return False


def _classes(source: str, what: str) -> list[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        raise Broken(f"expected {what} to be valid Python, found {error}") from error
    return [node.name for node in tree.body if isinstance(node, ast.ClassDef)]


def _check_option(option: Option) -> None:
    name = option.name
    _expect(
        bool(name) and name.replace("-", "_").isidentifier() and name == name.lower(),
        f"an option name of lower-case letters, digits and dashes, found {name!r}",
    )
    _expect(option.type in (str, int, float, bool), f"a type for --{name}, found {option.type!r}")
    _expect(bool(option.help.strip()), f"a help text for --{name}")
    fits = option.default is None or type(option.default) is option.type
    _expect(fits, f"a default of {option.type.__name__} for --{name}, found {option.default!r}")
    if option.choices and option.default is not None:
        _expect(
            option.default in option.choices,
            f"the default of --{name} among its choices, found {option.default!r}",
        )


def _check_prompt(prompt: Prompt) -> None:
    _expect(isinstance(prompt, Prompt), f"a Prompt, found {prompt!r}")
    _expect(bool(prompt.text.strip()), "every prompt to have a text")
    # A prompt stands between triple quotes.
    _expect('"""' not in prompt.text, f'no """ in a prompt, found {prompt.text!r}')
    edit = prompt.edit
    _expect(
        edit.delete or edit.add is not None or edit.combine,
        f"an edit that --llm rules can follow, found none for {prompt.text!r}",
    )
    if edit.add:
        try:
            ast.parse(edit.add, mode="eval")
        except (SyntaxError, ValueError) as error:
            raise Broken(f"expected edit.add to be an expression, found {edit.add!r}") from error


def _check_progress(what: str, done: float, total: float | None) -> None:
    _expect(bool(what) and isinstance(what, str), f"progress to say what is done, found {what!r}")
    _expect(_is_finite(done) and done >= 0, f"progress from 0, found {done!r}")
    _expect(
        total is None or (_is_finite(total) and total >= done),
        f"a total of at least {done}, or None, found {total!r}",
    )


def _check_code(code: GuestCode) -> None:
    _expect(isinstance(code, GuestCode), f"guest code, found {type(code).__name__}")
    module, _, function = code.entry.partition(":")
    _expect(bool(module and function), f"an entry 'module:function', found {code.entry!r}")
    built_in = module.startswith("sandbox.guest.")
    _expect(
        built_in or module in code.modules,
        f"the entry's module among those shipped, found {', '.join(code.modules) or 'none'}",
    )
    for name, text in code.modules.items():
        _classes(text, f"guest module {name}")


def _check_json(value: Any, what: str) -> None:
    try:
        text = json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise Broken(f"expected {what} to be JSON values, found {error}") from error
    if json.loads(text) != value:
        raise Broken(f"expected {what} to come back from JSON as it was (no tuples, no int keys)")


def _check_evaluation(evaluation: Evaluation) -> None:
    _expect(isinstance(evaluation, Evaluation), f"an Evaluation, found {evaluation!r}")
    _expect(_is_finite(evaluation.fitness), f"a finite fitness, found {evaluation.fitness!r}")
    values = evaluation.descriptors
    _expect(len(values) == 2, f"two descriptors, found {len(values)}")
    _expect(all(map(_is_finite, values)), f"finite descriptors, found {values}")
    _expect(
        evaluation.identity is None or isinstance(evaluation.identity, str),
        f"an identity of text or None, found {evaluation.identity!r}",
    )
