"""The conformance kit: a plugin, ours or foreign, against what the orchestrator relies on.

Each promise is one function that raises :class:`Broken` with what was expected and found. They run
in order; a promise whose ground is missing (no report, since the seed's job failed) is not tried.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from plugins.contract import (
    Descriptor,
    Evaluation,
    Option,
    Plugin,
    Progress,
    Prompts,
    ReportError,
)
from plugins.expectations import (
    Broken,
    check_code,
    check_evaluation,
    check_json,
    check_option,
    check_progress,
    check_prompt,
    classes,
    expect,
    is_finite,
)
from plugins.forging import forge
from sandbox.job import Job
from sandbox.limits import Limits
from sandbox.outcome import Outcome, OutcomeKind

#: Runs one job to its outcome: the sandbox, as far as this module knows it.
RunJob = Callable[[Job], Outcome]


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

    def __init__(
        self,
        cls: type[Plugin],
        run_job: RunJob | None,
        options: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Take what to check, and how.

        Args:
            cls: the plugin's class.
            run_job: runs a job to its outcome; None leaves the sandbox out.
            options: the plugin's own, by keyword.
            progress: told what the plugin tells of its preparation.
        """
        self._cls = cls
        self._run_job = run_job
        self._options = dict(options or {})
        self._progress = progress
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
        expect(isinstance(name, str) and bool(name.strip()), f"a name, found {name!r}")
        one_line = isinstance(summary, str) and summary.strip() and "\n" not in summary
        expect(bool(one_line), f"a summary of one line, found {summary!r}")
        return f"{name}: {summary}"

    def _has_options(self) -> str:
        seen: set[str] = set()
        for option in self._cls.options:
            expect(isinstance(option, Option), f"options to be Option, found {option!r}")
            check_option(option)
            keyword = option.name.replace("-", "_")
            expect(keyword not in seen, f"option names to differ, found --{option.name} twice")
            seen.add(keyword)
        return ", ".join(f"--{option.name}" for option in self._cls.options) or "none"

    def _is_made(self) -> str:
        plugin = self._cls()
        expect(isinstance(plugin, Plugin), "all that plugins.contract.Plugin names")
        self._plugin = self._cls(**self._options) if self._options else plugin
        return ""

    # What it gives.

    def _has_seed(self) -> str:
        plugin, prompts = self._made(), self._made().prompts
        seed = plugin.seed
        expect(isinstance(seed, str), f"the seed to be text, found {type(seed).__name__}")
        defined = classes(seed, "the seed")
        expect(
            prompts.class_name in defined,
            f"the seed to define class {prompts.class_name}, found {', '.join(defined) or 'none'}",
        )
        expect(
            seed.startswith(prompts.header),
            "the seed to start with the header, as every candidate's source does",
        )
        size, limit = len(seed.encode()), Limits().source_bytes
        expect(size <= limit, f"a seed of at most {limit:,} bytes, found {size:,}")
        expect(plugin.seed == seed, "the seed to be the same each time")
        return f"{len(seed.splitlines())} lines"

    def _has_prompts(self) -> str:
        prompts = self._made().prompts
        expect(isinstance(prompts, Prompts), f"Prompts, found {type(prompts).__name__}")
        count = len(prompts.mutations)
        # The prompt archive's axis is index / (number - 1).
        expect(count >= 2, f"two mutation prompts or more, found {count}")
        for prompt in (*prompts.mutations, prompts.crossover):
            check_prompt(prompt)
        expect(prompts.crossover.edit.combine, "the crossover prompt's edit to say combine")
        classes(prompts.header, "the header")
        classes(prompts.preamble, "the preamble")
        start = f"class {prompts.class_name}"
        expect(
            prompts.opening.startswith(start) and prompts.opening.endswith("\n"),
            f"an opening that starts with {start!r} and ends with a line break, "
            f"found {prompts.opening!r}",
        )
        classes(f"{prompts.header}\n\n{prompts.opening}    pass\n", "the header with the opening")
        return f"{count} mutations"

    def _has_descriptors(self) -> str:
        descriptors = self._made().descriptors
        expect(len(descriptors) == 2, f"two descriptors, found {len(descriptors)}")
        for descriptor in descriptors:
            expect(isinstance(descriptor, Descriptor), f"a Descriptor, found {descriptor!r}")
            low, high = descriptor.low, descriptor.high
            expect(
                is_finite(low) and is_finite(high) and low < high,
                f"finite low < high for {descriptor.name!r}, found {low} and {high}",
            )
        names = [descriptor.name for descriptor in descriptors]
        expect(all(names) and len(set(names)) == 2, f"two different names, found {names}")
        return ", ".join(f"{d.name} {d.low:g} to {d.high:g}" for d in descriptors)

    def _prepares(self) -> str:
        def check_and_pass_on(what: str, done: float, total: float | None) -> None:
            check_progress(what, done, total)
            if self._progress:
                self._progress(what, done, total)

        for _ in range(2):
            self._made().prepare(check_and_pass_on)
        return ""

    def _makes_jobs(self) -> str:
        plugin = self._made()
        job = plugin.job(plugin.seed)
        expect(isinstance(job, Job), f"a Job, found {type(job).__name__}")
        expect(job.source == plugin.seed, "the job to carry the candidate's source unchanged")
        expect(plugin.job(plugin.seed) == job, "the same job for the same source, found another")
        check_json(dict(job.params), "the job's params")
        check_code(job.code)
        return job.code.entry

    # What it makes of candidates.

    def _seed_passes(self) -> str:
        outcome = self._run(self._made().seed)
        expect(
            outcome.kind is OutcomeKind.OK,
            f"outcome ok, found {outcome.kind.value}: {outcome.reason}",
        )
        report = outcome.report
        expect(isinstance(report, Mapping), f"a report, found {report!r}")
        assert report is not None
        check_json(dict(report), "the report")
        self._report = report
        return f"report of {', '.join(map(str, report)) or 'nothing'}"

    def _refuses(self) -> str:
        seen = []
        for source in ("def broken(:\n", "", "raise RuntimeError('at import')\n"):
            outcome = self._run(source)
            expect(
                outcome.kind.candidates_fault,
                f"a fault of the candidate for the source {source!r}, found {outcome.kind.value}"
                f": {outcome.reason}",
            )
            seen.append(outcome.kind.value)
        return ", ".join(seen)

    def _evaluates(self) -> str:
        evaluation = self._made().evaluate(self._reported())
        check_evaluation(evaluation)
        self._evaluation = evaluation
        values = ", ".join(f"{value:g}" for value in evaluation.descriptors)
        return f"fitness {evaluation.fitness:g}, descriptors {values}"

    def _is_deterministic(self) -> str:
        report = self._reported()
        before = copy.deepcopy(dict(report))
        first = self._made().evaluate(report)
        expect(dict(report) == before, "evaluate() to leave the report as it was")
        # What is stored with a run is evaluated again from JSON.
        again = self._made().evaluate(json.loads(json.dumps(dict(report))))
        expect(first == again, f"{first}, found {again} the second time")
        return ""

    def _has_json_details(self) -> str:
        evaluation = self._evaluated()
        check_json(dict(evaluation.details), "details")
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
            expect(not must_refuse, f"ReportError for {what}, found an evaluation")
            # Another value of the right kind may be believed, but must not break the archives.
            try:
                check_evaluation(evaluation)
                check_json(dict(evaluation.details), "details")
            except Broken as reason:
                raise Broken(f"with {what}: {reason}") from reason
        return f"{refused} of {tried} forgeries refused, the others harmless"

    def _has_test_score(self) -> str:
        score = self._made().test_score(self._evaluated(), self._reported())
        expect(score is None or is_finite(score), f"a finite number or None, found {score!r}")
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
