"""The supervisor over its own line: several jobs in one container, one after the other."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.attempt import job_frame
from sandbox.container import Container, ContainerGone, Recipe
from sandbox.guest import PROTOCOL
from sandbox.leftovers import remove
from sandbox.limits import Limits
from tests.sandbox.cases import LIMITS, NET, REPORT, check_job

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.docker

Tell = Callable[[str], dict[str, Any]]


@pytest.fixture
def container(docker_client: docker.DockerClient, guest_image: str) -> Iterator[Container]:
    """A started container whose supervisor is ready."""
    recipe = Recipe(guest_image, LIMITS, "test-supervisor")
    api = docker_client.api
    made = Container(api, recipe.config(api), LIMITS.report_bytes)
    made.start()
    assert made.receive(time.monotonic() + 60)["ready"]["protocol"] == PROTOCOL
    yield made
    made.hang_up()
    remove(docker_client, made.id)


def do(container: Container, source: str, limits: Limits = LIMITS) -> dict[str, Any]:
    """The facts of one job."""
    container.send(job_frame(check_job(source), limits), 10)
    while "done" not in (message := container.receive(time.monotonic() + 60)):
        assert message.keys() == {"phase", "note"}
    facts: dict[str, Any] = message["done"]
    return facts


def test_one_job_after_another_each_as_a_user_of_its_own(container: Container) -> None:
    whoami = "import os; print(os.getuid(), os.getcwd())\n" + NET
    first, second = do(container, whoami), do(container, whoami)
    assert first["stdout"] == "20000 /candidate/20000\n"
    assert second["stdout"] == "20001 /candidate/20001\n"
    for facts in (first, second):
        assert facts["said"] == {"report": REPORT}
        assert (facts["state"], facts["exit_code"], facts["leftovers"]) == ("valid", 0, 0)


def test_nothing_of_one_job_reaches_the_next(container: Container) -> None:
    first = do(
        container,
        "import os, time\nopen('secret', 'w').write('mine')\nimport torch; torch.mine = 1\n"
        "if os.fork() == 0:\n    os.setsid()\n    time.sleep(3600)\n" + NET,
    )
    assert (first["state"], first["leftovers"], first["unclean"]) == ("valid", 1, False)
    second = do(
        container,
        "import os, torch\nassert not hasattr(torch, 'mine')\n"
        "users = {os.stat(f'/proc/{p}').st_uid for p in os.listdir('/proc') if p.isdigit()}\n"
        "assert 20000 not in users\n"
        "try: open('/candidate/20000/secret')\nexcept PermissionError: pass\n"
        "else: raise SystemExit('read it')\n" + NET,
    )
    assert second["said"] == {"report": REPORT}


def test_a_job_that_was_stopped_is_followed_by_an_honest_one(container: Container) -> None:
    hasty = Limits(wall_seconds=1)
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n"
    facts = do(container, bomb, hasty)
    assert (facts["stopped_for"], facts["unclean"]) == ("deadline", False)
    assert facts["leftovers"] > 10
    facts = do(container, "x = []\nwhile True: x.append(bytearray(10**7))\n")
    assert (facts["signal"], facts["oom_kills"] > 0) == (9, True)
    facts = do(container, NET)
    assert facts["said"] == {"report": REPORT}
    assert facts["oom_kills"] == 0


def test_the_supervisor_ends_with_its_host(
    container: Container, docker_client: docker.DockerClient
) -> None:
    container.send(job_frame(check_job("while True: pass"), LIMITS), 10)
    container.hang_up()
    with pytest.raises(ContainerGone):
        container.receive(time.monotonic() + 5)
    assert docker_client.api.wait(container.id, timeout=10)["StatusCode"] == 0
