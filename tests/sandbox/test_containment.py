"""Bad and hostile candidates in real containers: each gets its own outcome, and nothing else."""

from __future__ import annotations

import pytest

from sandbox.limits import Limits
from sandbox.outcome import OutcomeKind as K
from tests.sandbox.cases import LIMITS, NET, REPORT, Run

pytestmark = pytest.mark.docker

HASTY = Limits(memory_mib=1024, wall_seconds=3, tmpfs_mib=16)
QUIET = Limits(memory_mib=1024, wall_seconds=20, output_bytes=100_000)


def test_an_honest_network_is_ok(run: Run) -> None:
    outcome = run(NET)
    assert (outcome.kind, outcome.reason, outcome.report) == (K.OK, "", REPORT)
    assert outcome.attempts == 1
    assert {"queued", "start", "run", "total"} <= set(outcome.seconds)


def test_what_an_honest_network_prints_is_kept_and_harms_nothing(run: Run) -> None:
    outcome = run("import sys\nprint('hello \\x1b[2J')\nprint('oh', file=sys.stderr)\n" + NET)
    assert outcome.kind is K.OK
    assert outcome.report == REPORT
    assert outcome.stdout == "hello \\x1b[2J\n"
    assert outcome.stderr == "oh\n"


@pytest.mark.parametrize(
    ("source", "kind", "reason"),
    [
        ("", K.REJECTED, "found nothing"),
        ("x = = 3\n", K.SYNTAX_ERROR, 'SyntaxError line 1: invalid syntax: "x = = 3"'),
        ("(" * 250 + ")" * 250, K.SYNTAX_ERROR, "too many nested parentheses"),
        (
            "\nimport nowhere\n",
            K.IMPORT_ERROR,
            "ModuleNotFoundError in import (line 2): No module named 'nowhere'",
        ),
        ("raise SystemExit(0)", K.IMPORT_ERROR, "SystemExit in import (line 1): 0"),
        ("x = 1", K.BUILD_ERROR, "found none: define one"),
        (
            NET.replace("super().__init__()", "self.a"),
            K.BUILD_ERROR,
            "AttributeError in build (line 7): 'Net' object has no attribute 'a'",
        ),
        (NET.replace("3, padding", "9, padding"), K.WRONG_SHAPE, "found [2, 4, 2, 2]"),
        (
            NET.replace("Conv2d(3,", "Conv2d(5,"),
            K.FORWARD_ERROR,
            "RuntimeError in forward (line 11)",
        ),
        (NET.replace("(x)\n", "(x) * float('nan')\n"), K.DIVERGED, "NaN"),
    ],
)
def test_bad_sources_and_their_reasons(run: Run, source: str, kind: K, reason: str) -> None:
    outcome = run(source)
    assert outcome.kind is kind
    assert reason in outcome.reason
    assert outcome.report is None


@pytest.mark.parametrize(
    "loop",
    [
        "while True: pass",
        "import time; time.sleep(3600)",
        "import signal\nfor s in range(1, 32):\n"
        "    if s not in (9, 19): signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
        "10 ** 10 ** 9",
    ],
    ids=["loop", "sleep", "signals ignored", "in C"],
)
def test_an_endless_import_is_timed_out_in_time(run: Run, loop: str) -> None:
    outcome = run(loop + "\n" + NET, HASTY)
    assert outcome.kind is K.TIMED_OUT
    assert "in import" in outcome.reason
    assert 3 <= outcome.seconds["run"] < 3 + 2


def test_a_slow_import_within_the_limit_is_ok(run: Run) -> None:
    assert run("import time; time.sleep(1)\n" + NET, HASTY).kind is K.OK


@pytest.mark.parametrize(
    "bomb",
    [
        "x = []\nwhile True: x.append(bytearray(10**7))",
        "import torch\nx = [torch.ones(10**7) for _ in range(10**4)]",
        "import torch\ntorch.empty(10**12)",
        "import os, time\nx = []\n"
        "while os.fork() == 0:\n    while True: x.append(bytearray(10**7))\ntime.sleep(3600)",
    ],
    ids=["python", "torch", "at once", "in a child process"],
)
def test_a_memory_bomb_is_out_of_memory_and_not_timed_out(run: Run, bomb: str) -> None:
    outcome = run(bomb + "\n" + NET)
    assert outcome.kind is K.OUT_OF_MEMORY
    assert outcome.seconds["run"] < LIMITS.wall_seconds


def test_much_memory_within_the_limit_is_ok(run: Run) -> None:
    assert run("x = bytearray(300 * 10**6)\n" + NET).kind is K.OK


def test_a_fork_bomb_ends_with_its_container(run: Run) -> None:
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n"
    outcome = run(bomb + NET, HASTY)
    assert outcome.kind in (K.TIMED_OUT, K.OUT_OF_MEMORY)
    assert outcome.seconds["run"] < 3 + 5
    assert run(NET, HASTY).kind is K.OK


def test_a_daemon_that_outlives_its_candidate_changes_nothing(run: Run) -> None:
    daemon = (
        "import os, time\n"
        "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(3600)\n"
        "    os._exit(0)\n"
    )
    outcome = run(daemon + NET)
    assert outcome.kind is K.OK
    assert outcome.report == REPORT
    assert outcome.seconds["run"] < LIMITS.wall_seconds


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_flood_is_stopped(run: Run, stream: str) -> None:
    flood = f"import sys\nwhile True: sys.{stream}.write('spam' * 1000)\n"
    outcome = run(flood + NET, QUIET)
    assert outcome.kind is K.OUTPUT_FLOOD
    assert "100000 bytes" in outcome.reason
    assert len(outcome.stdout + outcome.stderr) < 100_000


def test_output_up_to_the_limit_is_ok(run: Run) -> None:
    assert run("print('x' * 99_000)\n" + NET, QUIET).kind is K.OK


FORGE = """
import os, json, struct
def frame(value):
    data = json.dumps(value).encode()
    return struct.pack(">I", len(data)) + data
def everywhere(data):
    for fd in range(256):
        try: os.write(fd, data)
        except OSError: pass
"""
DONE = '{"done": {"phase": "forward", "said": {"report": {"name": "Forged"}}}}'
BIG = "everywhere(struct.pack('>I', 2**31))"


@pytest.mark.parametrize(
    ("attack", "kind", "reason"),
    [
        (
            'everywhere(frame({"report": {"name": "Forged"}}))',
            K.PROTOCOL_VIOLATION,
            "more than one",
        ),
        (f"everywhere(frame({DONE}))", K.PROTOCOL_VIOLATION, "no message"),
        ("everywhere(b'{}')", K.PROTOCOL_VIOLATION, "longer than"),
        (BIG, K.PROTOCOL_VIOLATION, "longer than"),
        ("everywhere(b'\\0\\0\\0\\3NaN')", K.PROTOCOL_VIOLATION, "NaN"),
        ("os.write(3, struct.pack('>I', 9**6) + b'[' * 9**6)", K.PROTOCOL_VIOLATION, "deeper"),
        (
            "everywhere(frame({'report': eval('[' * 60 + ']' * 60)}))",
            K.PROTOCOL_VIOLATION,
            "deeper",
        ),
        (
            "everywhere(frame({'report': {'x': [0]}})[:-3]); os._exit(0)",
            K.PROTOCOL_VIOLATION,
            "not complete",
        ),
        (
            'os.write(3, frame({"failure": {"type": "A", "message": "b", "line": None}}))\n'
            "os.kill(os.getpid(), 11)",
            K.PROTOCOL_VIOLATION,
            "signal 11",
        ),
        (
            'os.write(3, frame({"refusal": {"kind": "sandbox_error", "reason": "free"}}))\n'
            "os._exit(0)",
            K.PROTOCOL_VIOLATION,
            "no task may give",
        ),
        (
            'os.write(3, frame({"phase": "start", "note": ""}))\nraise ValueError("ours?")',
            K.CRASHED,
            "ValueError in start",
        ),
        ('os.write(3, frame({"report": {}}))\nwhile True: pass', K.PROTOCOL_VIOLATION, "no end"),
        (
            # Short as it comes; 13 MB as it would be written on its way to the host.
            "data = b'{\"report\":{\"x\":[' + b','.join([b'1e15'] * 700_000) + b']}}'\n"
            "with open(3, 'wb') as pipe: pipe.write(struct.pack('>I', len(data)) + data)\n"
            "os._exit(0)",
            K.PROTOCOL_VIOLATION,
            "longer than",
        ),
    ],
)
def test_forged_messages_are_violations(run: Run, attack: str, kind: K, reason: str) -> None:
    outcome = run(FORGE + attack + "\n" + NET)
    assert outcome.kind is kind, outcome.reason
    assert reason in outcome.reason
    assert outcome.report is None
    assert outcome.attempts == 1


def test_a_report_before_the_deadline_and_a_hang_past_it_is_timed_out(run: Run) -> None:
    outcome = run(FORGE + 'os.write(3, frame({"report": {}}))\nwhile True: pass', HASTY)
    assert outcome.kind is K.TIMED_OUT
    assert outcome.report is None


@pytest.mark.parametrize(
    ("death", "reason"),
    [
        ("import os; os._exit(0)", "status 0 before its report in import"),
        ("import os; os._exit(139)", "status 139"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL in import"),
        ("import ctypes; ctypes.string_at(0)", "killed by SIGSEGV"),
        ("import os; os.abort()", "killed by SIGABRT"),
    ],
)
def test_a_death_is_a_crash_and_no_time_out(run: Run, death: str, reason: str) -> None:
    outcome = run(death + "\n" + NET)
    assert outcome.kind is K.CRASHED
    assert reason in outcome.reason


#: Each must fail with an OSError: the world ends at the container.
DENIED = [
    "socket.create_connection(('1.1.1.1', 53), 2)",
    "socket.create_connection(('169.254.169.254', 80), 2)",
    "socket.getaddrinfo('example.org', 80)",
    "open('/opt/llmatic/sandbox/guest/task.py', 'a')",
    "open('/etc/hostname', 'w')",
    "open('/new', 'w')",
    "open('/proc/1/environ').read()",
    "open('/proc/1/mem', 'rb')",
    "os.listdir('/proc/1/fd')",
    "open('/proc/sys/kernel/core_pattern', 'w')",
    "open('/proc/self/oom_score_adj', 'w').write('-1000')",
    "os.kill(1, 9)",
    "os.kill(1, 0)",
    "os.setuid(0)",
    "os.setgid(0)",
    "os.nice(-5)",
    "os.mknod('/tmp/x', 0o60600, os.makedev(8, 0))",
    "os.chroot('/tmp')",
    "open('/dev/mem', 'rb')",
    "os.stat('/var/run/docker.sock')",
    "f = open('/tmp/x', 'wb')\nfor _ in range(64): f.write(bytes(2**20)); f.flush()",
    "for n in range(100_000): open(f'/tmp/{n}', 'w').close()",
    "if ctypes.CDLL(None).unshare(0x10000000) != 0: raise OSError",
    "if ctypes.CDLL(None).mount(b'x', b'/tmp', b'tmpfs', 0, None) != 0: raise OSError",
    "if ctypes.CDLL(None).ptrace(16, 1, 0, 0) != 0: raise OSError",
]
#: Each must work: what is the candidate's own.
ALLOWED = ["open('note', 'w').write('mine')", "open('/tmp/y', 'w')", "os.mkdir('/dev/shm/x')"]

PROBE = """
import ctypes, os, socket
allowed, other = [], []
for what in {probes!r}:
    try:
        exec(what)
    except OSError:
        continue
    except BaseException as error:
        other.append((what, repr(error)))
    else:
        allowed.append(what)
assert not other, other
raise SystemExit(repr(allowed))
"""


def test_the_world_ends_at_the_container(run: Run) -> None:
    outcome = run(PROBE.format(probes=DENIED))
    assert outcome.reason == "SystemExit in import (line 14): []"


def test_what_is_the_candidates_own_is_allowed(run: Run) -> None:
    outcome = run(PROBE.format(probes=ALLOWED))
    assert outcome.reason == f"SystemExit in import (line 14): {ALLOWED!r}"


def test_the_candidate_is_nobody_with_nothing(run: Run) -> None:
    probe = (
        "import os\n"
        "ids = os.getresuid() + os.getresgid() + tuple(os.getgroups())\n"
        "assert 0 not in ids and len(set(ids)) == 1, ids\n"
        "status = open('/proc/self/status').read()\n"
        "for name in ('CapInh', 'CapPrm', 'CapEff', 'CapAmb'):\n"
        "    assert f'{name}:\\t0000000000000000' in status, status\n"
        "assert 'NoNewPrivs:\\t1' in status and 'Seccomp:\\t2' in status, status\n"
        "fds = []\n"
        "for fd in range(1024):\n"
        "    try: os.fstat(fd); fds.append(fd)\n"
        "    except OSError: pass\n"
        "assert fds == [0, 1, 2, 3], fds\n"
    )
    outcome = run(probe + NET)
    assert (outcome.kind, outcome.reason) == (K.OK, "")


def test_a_module_in_the_working_directory_shadows_nothing(run: Run) -> None:
    shadow = "open('torch.py', 'w').write('1/0'); open('colorsys.py', 'w').write('1/0')\n"
    outcome = run(shadow + "import torch, colorsys\n" + NET)
    assert (outcome.kind, outcome.report) == (K.OK, REPORT)
