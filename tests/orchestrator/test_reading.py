"""What is told of a stored run is what the run stored, also while it runs and where parts lack."""

from __future__ import annotations

import itertools
import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.reading import (
    candidate_dict,
    list_runs,
    read_run,
    run_row,
    run_summary,
    test_score_of,
)
from orchestrator.store import RunStore, StoreError
from plugins.contract import Evaluation
from tests.runs import SETTINGS, new_store, session
from tests.support import Numbers

test_score_of.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished run and the summary that its search ended with."""
    path = tmp_path_factory.mktemp("reading") / "run"
    store = new_store(path)
    store.set_meta(llm={"runtime": "none"})
    return path, session(store).run()


@pytest.fixture
def page(finished: tuple[Path, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    run = read_run(finished[0])
    with run.store:
        yield run_summary(finished[0], run, Numbers().test_score)


def test_a_run_is_told_as_its_search_ended(
    finished: tuple[Path, dict[str, Any]], page: dict[str, Any]
) -> None:
    summary = finished[1]
    for name in (
        "candidates",
        "duplicates",
        "unique_evaluations",
        "outcomes",
        "seed_fitness",
        "tokens_in",
        "tokens_out",
        "finished",
    ):
        assert page[name] == summary[name], name
    for name in ("candidate", "fitness", "title"):
        assert page["best"][name] == summary["best"][name]
    assert page["state"] == "finished"
    assert (page["generation"], page["generations"], page["batch"]) == (6, 6, 20)
    assert page["network_archive"]["coverage"] == summary["network_archive"]["coverage"]
    assert page["network_archive"]["qd_score"] == summary["network_archive"]["qd_score"]
    assert len(page["network_archive"]["elites"]) == summary["network_archive"]["elites"]
    assert len(page["prompt_archive"]["elites"]) == summary["prompt_archive"]["elites"]
    assert page["plugin"] == "numbers"
    assert page["llm_details"] == {"runtime": "none"}


def test_all_that_is_told_is_json(page: dict[str, Any]) -> None:
    assert json.loads(json.dumps(page)) == page


def test_elites_are_the_fittest_of_their_cells_and_carry_their_test_score(
    finished: tuple[Path, dict[str, Any]], page: dict[str, Any]
) -> None:
    run = read_run(finished[0])
    with run.store:
        for elite in page["network_archive"]["elites"]:
            row = run.rows[elite["candidate"]]
            assert row.entered
            assert row.result is not None
            assert row.result.evaluation is not None
            assert elite["fitness"] == row.result.evaluation.fitness
            assert elite["test"] == elite["fitness"] - 1
            assert elite["title"] == row.result.evaluation.identity
            assert tuple(elite["descriptors"].values()) == row.result.evaluation.descriptors
    cells = [elite["cell"] for elite in page["network_archive"]["elites"]]
    assert cells == sorted(set(cells))


def test_prompt_individuals_are_told_by_their_text(page: dict[str, Any]) -> None:
    texts = [prompt.text for prompt in Numbers.prompts.mutations]
    assert set(page["prompt_fitness"]) == set(texts)
    for individual in page["prompt_archive"]["elites"]:
        assert individual["text"] == texts[individual["prompt"]]
        assert 0.1 <= individual["temperature"] <= 1.0
        assert individual["fitness"] <= page["prompt_fitness"][individual["text"]]


def test_a_candidate_is_told_from_origin_to_evaluation(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    run = read_run(finished[0])
    with run.store:
        told = [candidate_dict(run, row, Numbers().test_score) for row in run.rows]
    assert [c["candidate"] for c in told] == list(range(121))
    assert json.loads(json.dumps(told)) == told
    seed, first = told[0], told[1]
    assert (seed["operator"], seed["temperature"], seed["llm_seed"]) == ("seed", None, None)
    assert (first["operator"], first["temperature"], first["parents"]) == ("initial", 0.6, [0])
    assert first["prompt_text"] in [prompt.text for prompt in Numbers.prompts.mutations]
    assert Counter(c["kind"] for c in told if c["duplicate_of"] is None) == run.state.unique
    for c in told:
        # Test accuracy is measured for elites, and is not told of anything else.
        assert (c["test"] is not None) == c["elite"]
        assert (c["fitness"] is not None) == (c["kind"] == "ok")
        assert c["source"].lstrip().startswith("class Net:")


def test_a_run_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    store = new_store(tmp_path / "run")
    seen: list[tuple[str, int]] = []
    calls = itertools.count()

    class Reading(Numbers):
        def evaluate(self, report: Any) -> Evaluation:
            count = next(calls)
            if count % 20 == 0:
                row = run_row(tmp_path / "run")
                seen.append((row["state"], row["candidates"]))
            return super().evaluate(report)

    running = session(store)
    running.search._plugin = Reading()
    running.run()
    assert {state for state, _ in seen} == {"running"}
    counts = [count for _, count in seen]
    assert counts == sorted(set(counts))
    assert counts[0] == 0
    assert counts[-1] > 40
    assert run_row(tmp_path / "run")["state"] == "finished"


def test_a_run_that_holds_nothing_yet_can_be_read(tmp_path: Path) -> None:
    new_store(tmp_path / "run").close()
    row = run_row(tmp_path / "run")
    assert (row["state"], row["candidates"], row["best"]) == ("stopped", 0, None)
    run = read_run(tmp_path / "run")
    with run.store:
        page = run_summary(tmp_path / "run", run, Numbers().test_score)
    assert page["network_archive"]["elites"] == []
    assert page["seed_fitness"] is None


def test_budgets_given_at_a_resume_are_the_runs_budgets(tmp_path: Path) -> None:
    with new_store(tmp_path / "run") as store:
        store.set_meta(budgets={"generations": 40, "max_hours": 1.5})
    run = read_run(tmp_path / "run")
    with run.store:
        assert run.settings == replace(SETTINGS, generations=40, max_hours=1.5)


def test_damaged_budgets_are_damage(tmp_path: Path) -> None:
    with new_store(tmp_path / "run") as store:
        store.set_meta(budgets={"generations": "more"})
    with pytest.raises(StoreError, match="generations is 'more'"):
        read_run(tmp_path / "run")


def test_runs_are_listed_the_oldest_first_and_a_broken_one_among_them_is_told(
    tmp_path: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    for name, created in (("b", "2026-01-02"), ("a", "2026-01-03"), ("c", "2026-01-01")):
        shutil.copytree(finished[0], tmp_path / name)
        config = json.loads((tmp_path / name / "config.json").read_text())
        (tmp_path / name / "config.json").write_text(json.dumps(config | {"created": created}))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    (tmp_path / "no-run").mkdir()
    (tmp_path / "file").write_text("")
    rows = list_runs(tmp_path)
    assert [Path(row["run"]).name for row in rows] == ["broken", "c", "b", "a"]
    assert "damaged (config.json" in rows[0]["error"]
    assert all("error" not in row for row in rows[1:])
    assert list_runs(tmp_path / "none") == []
    assert [row["run"] for row in list_runs(tmp_path / "a")] == [str(tmp_path / "a")]


def test_a_run_whose_plugin_is_not_installed_can_be_read_without_test_scores(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    with RunStore.open(finished[0], write=False) as store:
        score = test_score_of(store.config)
    assert score(Evaluation(50.0, (0.1, 0.1)), {}) is None


def test_reading_a_damaged_run_leaves_no_database_open(
    tmp_path: Path, finished: tuple[Path, dict[str, Any]]
) -> None:
    shutil.copytree(finished[0], tmp_path / "run")
    with sqlite3.connect(tmp_path / "run" / "run.sqlite") as connection:
        connection.execute("DELETE FROM candidates WHERE number = 7")
    connection.close()
    with pytest.raises(StoreError, match=r"damaged .*expected candidate 7 next, got 8"):
        read_run(tmp_path / "run")
    # The last connection that closes removes the write-ahead log.
    assert not (tmp_path / "run" / "run.sqlite-wal").exists()
