"""The engine ``ray`` on a real cluster of this machine: the same results, lost workers, budgets, being stopped."""

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autograms import Autogram
from autograms.conversation.journal import read_journal
from autograms.conversation.table import memories_to_table
from autograms.errors import BudgetError, CredentialsError, ProgramError, SettingsError
from autograms.models import OpenAIModel
from autograms.simulation import Progress, Simulator, plain_scenarios
from autograms.simulation.branching import Branches
from autograms.simulation.budget import Budget
from autograms.simulation.ray_engine import RayEngine, _cluster
from autograms.simulation.scenarios import scenarios_from_rows
from tests.simulation.conftest import CHATBOT, USERBOT, model_at
from tests.simulation.processes import start, wait_until, wait_while_it_runs

pytest.importorskip("ray", reason='Ray is not installed: pip install -e ".[ray]"')

RAY = RayEngine(workers=2)


@pytest.fixture(scope="module")
def cluster():
    """A cluster with two CPUs, which engines of this process use."""
    with _cluster(None, 2):
        yield


def whole(memories):
    """Return everything that is recorded, times aside: as text, and as a Parquet table."""
    for memory in memories:
        for call in memory.calls:
            call.milliseconds = 0.0
    return json.dumps([memory.to_dict() for memory in memories]), memories_to_table(memories)


def counts(progress):
    return dataclasses.replace(progress, seconds=0.0)


@pytest.fixture
def simulate(load, endpoint):
    """Simulate at the endpoint: ``simulate(engine, scenarios, **options of run)``."""

    def simulate(engine, scenarios=None, chatbot=CHATBOT, concurrency=8, simulator=None, **options):
        model = model_at(endpoint.url)
        made = Simulator(
            load("bot", chatbot, model=model, supervisor_mode=True),
            load("user", USERBOT, model=model),
            engine=engine,
            concurrency=concurrency,
            **(simulator or {}),
        )
        return made.run(scenarios or plain_scenarios(9, num_turns=2, seed=3), **options)

    return simulate


def workers(process=None):
    """Return the processes that simulate a shard."""
    children = (process or psutil.Process()).children(recursive=True)
    return [child for child in children if _line(child).startswith("ray::run_shard")]


def _line(process):
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


# ------------------------------------------------------------------------------------------------------ same results


@pytest.mark.long
@pytest.mark.parametrize("concurrency", [1, 256])
def test_results_are_those_of_the_local_engine(cluster, simulate, endpoint, concurrency):
    endpoint.script(choice="hash", latency={"median": 0.002, "sigma": 1.0, "longest": 0.03})
    local = simulate(None, concurrency=concurrency)
    seen = []
    distributed = simulate(RAY, on_progress=lambda progress: seen.append((progress.total, progress.finished)))
    assert whole(distributed.memories)[0] == whole(local.memories)[0]
    assert whole(distributed.memories)[1].equals(whole(local.memories)[1], check_metadata=True)
    assert counts(distributed.progress) == counts(local.progress)
    assert {total for total, _ in seen} == {9}
    assert seen[-1] == (9, 9)


@pytest.mark.long
def test_results_do_not_depend_on_the_seed(cluster, simulate, endpoint):
    endpoint.script(choice="hash")

    @settings(max_examples=6, suppress_health_check=list(HealthCheck))
    @given(seed=st.integers(0, 2**32), count=st.integers(1, 7), workers=st.integers(1, 3))
    def same(seed, count, workers):
        scenarios = plain_scenarios(count, num_turns=1, seed=seed)
        distributed = simulate(RayEngine(workers=workers), scenarios)
        assert whole(distributed.memories)[0] == whole(simulate(None, scenarios).memories)[0]

    same()


@pytest.mark.long
def test_branches_the_student_and_failures_come_out_the_same(cluster, simulate, endpoint):
    endpoint.script(choice="hash", failures=[{"status": 400, "contains": "Bo asks", "message": "no Bo here"}])
    body = """
    def formal(instruction):
        return SupervisorReturn("Dear customer.", rejected_output="yo")

    @autograms_function()
    def chatbot():
        while True:
            reply_instruction("Answer.", supervisor=formal)
            if yes_or_no("Is the customer content?"):
                reply_instruction("Thank the customer.")
    """
    scenarios = scenarios_from_rows([{"user_kwargs": {"name": name}} for name in ("Ann", "Bo", "Cy", "Di", "Ed")])

    def both(engine):
        student = OpenAIModel("student", base_url=endpoint.url, api_key="none")
        options = {"student": student, "branches": Branches("yes_or_no", 2)}
        return simulate(engine, scenarios, body, simulator=options)

    local, distributed = both(None), both(RAY)
    assert whole(distributed.memories)[0] == whole(local.memories)[0]
    assert counts(distributed.progress) == counts(local.progress)
    assert [memory.status for memory in distributed.memories].count("failed") == 1
    assert sum(memory.branch is not None for memory in distributed.memories) == 8
    assert any(call.side == "student" for memory in distributed.memories for call in memory.calls)


@pytest.mark.long
def test_programs_find_their_files_and_answers_of_the_past(cluster, simulate, endpoint, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("tea.txt").write_text("green tea")
    body = CHATBOT.replace('f"You sell {topic}."', 'open("tea.txt").read()')
    journal = Path("deep/calls.journal")
    first = simulate(RAY, chatbot=body, journal=journal)
    assert ("system", "green tea", None) in first.memories[0].messages
    assert first.progress.paid == len(list(read_journal(journal))) == 54
    assert [path.name for path in journal.parent.iterdir()] == ["calls.journal"]
    for options in ({"journal": journal}, {"previous": first.memories}):
        again = simulate(RAY, chatbot=body, **options)
        assert (again.progress.paid, again.progress.reused) == (0, 54)
        assert simulate(None, chatbot=body, **options).progress.paid == 0
    assert simulate(RAY, chatbot=body, journal=journal, fresh=True).progress.paid == 54


# ------------------------------------------------------------------------------------------------------ lost workers


@pytest.mark.long
def test_a_killed_worker_costs_only_the_calls_in_flight(cluster, simulate, endpoint, tmp_path):
    scenarios = plain_scenarios(16, num_turns=3, seed=1)
    endpoint.script(choice="hash")
    local = simulate(None, scenarios)
    needed, in_flight = 16 * 4 * 2, 8 // 2
    assert local.progress.paid == needed
    endpoint.script(choice="hash", latency=0.2)
    killed = []

    def kill():
        wait_until(lambda: endpoint.stats()["answered"] >= needed // 4 and len(workers()) == 2)
        workers()[0].kill()
        killed.append(endpoint.stats()["answered"])

    with ThreadPoolExecutor(1) as beside:
        killing = beside.submit(kill)
        distributed = simulate(RAY, scenarios, journal=tmp_path / "calls.journal")
        killing.result()
    assert killed[0] < needed
    stats = endpoint.stats()
    assert stats["answered"] <= stats["requests"] <= needed + in_flight
    assert whole(distributed.memories)[0] == whole(local.memories)[0]
    assert counts(distributed.progress) == counts(local.progress)
    assert len(list(read_journal(tmp_path / "calls.journal"))) == needed


@pytest.mark.long
def test_a_program_that_ends_its_process_ends_the_simulation(cluster, simulate, endpoint, tmp_path):
    body = """
    import os

    def chatbot(n):
        reply_instruction("Answer.")
        if n == 3:
            os._exit(1)
        reply("done")
    """
    scenarios = scenarios_from_rows([{"num_turns": 1, "chatbot_kwargs": {"n": n}} for n in range(4)])
    journal = tmp_path / "calls.journal"
    with pytest.raises(ProgramError, match="lost the process of a shard 4 times"):
        simulate(RAY, scenarios, body, concurrency=2, journal=journal)
    assert 2 <= len(list(read_journal(journal))) == endpoint.stats()["answered"] <= 4
    assert not workers()


# ----------------------------------------------------------------------------------------------- errors and budgets


@pytest.mark.long
def test_an_error_of_all_conversations_ends_all_shards(cluster, simulate, endpoint):
    endpoint.script(key="right")
    with pytest.raises(CredentialsError):
        simulate(RAY, plain_scenarios(40, num_turns=1, seed=0))
    assert endpoint.stats()["requests"] <= 16


@pytest.mark.long
def test_a_budget_holds_for_all_shards_together(cluster, simulate, endpoint, tmp_path):
    journal = tmp_path / "calls.journal"
    first = simulate(RAY, journal=journal, budget=Budget(calls=25))
    assert first.progress.paid == endpoint.stats()["answered"] == 25
    assert 0 < first.progress.truncated <= 9
    assert {memory.error for memory in first.memories if memory.status == "truncated"} == {"BudgetError"}
    second = simulate(RAY, journal=journal, budget=Budget(calls=29))
    assert (second.progress.paid, second.progress.truncated) == (29, 0)
    assert endpoint.stats()["answered"] == 54


@pytest.mark.long
def test_a_budget_in_dollars_needs_a_price(cluster, simulate):
    with pytest.raises(BudgetError, match="test-model"):
        simulate(RAY, budget=Budget(usd=1))


# ------------------------------------------------------------------------------------------- the cluster, and stopping


@pytest.mark.long
@pytest.mark.parametrize("variables", [{}, {"RAY_AUTH_TOKEN": "x" * 64}])
def test_a_cluster_takes_no_orders_from_others(cluster, variables):
    import ray

    address = ray.get_runtime_context().gcs_address
    script = f"import ray; ray.init({address!r}); print(ray.get(ray.remote(lambda: 'in').remote()))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-c", script], env={**environment, **variables}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "ConnectionError" in done.stderr


PROGRAM = """
import sys
from pathlib import Path
from autograms import Autogram
from autograms.models import OpenAIModel
from autograms.simulation import Simulator, plain_scenarios
from autograms.simulation.ray_engine import RayEngine

folder, url = Path(sys.argv[1]), sys.argv[2]
model = OpenAIModel("m", base_url=url, api_key="very-secret-key")
chatbot = Autogram.from_file(folder / "bot.py", model=model)
userbot = Autogram.from_file(folder / "user.py", model=model)
Simulator(chatbot, userbot, concurrency=8, engine=RayEngine(workers=2)).run(
    plain_scenarios(40, num_turns=2, seed=0), journal=folder / "calls.journal"
)
"""


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_being_stopped_keeps_what_is_finished(write, endpoint, tmp_path, how):
    write("bot", CHATBOT)
    write("user", USERBOT)
    endpoint.script(latency=0.1)
    process = start(PROGRAM, tmp_path, endpoint.url)
    wait_while_it_runs(process, lambda: endpoint.stats()["requests"] >= 60)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(workers(psutil.Process(process.pid))) == 2
    assert list(files_with(family, b"very-secret-key")) == []
    if how == signal.SIGINT:  # a terminal's Ctrl-C reaches all processes
        os.killpg(process.pid, how)
    else:
        process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == {signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL, signal.SIGINT: -2}[how]
    assert errors.rstrip().endswith("KeyboardInterrupt") if how == signal.SIGINT else errors == ""
    watching = [child for child in family if how == signal.SIGKILL and "Agent" in _line(child)]  # they end in a minute
    _, alive = psutil.wait_procs([child for child in family if child not in watching], timeout=30)
    assert [_line(child) for child in alive] == []
    asked = endpoint.stats()["requests"]
    kept = len(list(read_journal(tmp_path / "calls.journal")))
    assert 50 <= kept <= asked <= kept + 8
    endpoint.script()
    model = model_at(endpoint.url)
    chatbot = Autogram.from_file(tmp_path / "bot.py", model=OpenAIModel("m", base_url=endpoint.url, api_key="k"))
    userbot = Autogram.from_file(tmp_path / "user.py", model=model)
    rest = Simulator(chatbot, userbot).run(plain_scenarios(40, num_turns=2, seed=0), journal=tmp_path / "calls.journal")
    assert (rest.progress.paid, rest.progress.reused) == (240 - kept, kept)
    assert [path.name for path in tmp_path.glob("calls*")] == ["calls.journal"]


def files_with(family, text):
    """Yield the files of a cluster that hold a text."""
    arguments = [argument for child in family for argument in _line(child).split() if argument.startswith("--log_dir=")]
    assert arguments
    for folder in {Path(argument.partition("=")[2]).parent for argument in arguments}:
        yield from (file for file in folder.rglob("*") if file.is_file() and text in file.read_bytes())


# --------------------------------------------------------------------------------------------- more than one machine

NO_TOKEN = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture
def machines(tmp_path_factory):
    """A cluster of two nodes with one CPU each, as two machines would be: its address, and the second node."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    folder = tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True)
    first = ("--head", f"--port={address.partition(':')[2]}", "--include-dashboard=false", f"--temp-dir={folder.name}")
    nodes = []
    try:
        for options in (first, (f"--address={address}",)):
            command = [Path(sys.executable).with_name("ray"), "start", "--num-cpus=1", "--block", *options]
            nodes.append(
                psutil.Popen(
                    command, env={**os.environ, **NO_TOKEN}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
            )
            wait_until(lambda: accepts(address))
        yield address, nodes[1]
    finally:
        for node in nodes:
            kill(node)
        folder.cleanup()


def accepts(address):
    host, _, port = address.partition(":")
    with socket.socket() as tried:
        return tried.connect_ex((host, int(port))) == 0


def kill(node):
    """Kill a node with all its processes."""
    with contextlib.suppress(psutil.NoSuchProcess):
        for process in [*node.children(recursive=True), node]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
    node.wait()


@pytest.mark.long
def test_a_machine_may_be_lost(write, endpoint, tmp_path, machines):
    address, node = machines
    write("bot", CHATBOT)
    write("user", USERBOT)
    endpoint.script(latency=0.2)
    process = start(PROGRAM, tmp_path, endpoint.url, RAY_ADDRESS=address, **NO_TOKEN)
    wait_while_it_runs(process, lambda: endpoint.stats()["requests"] >= 30 and workers(node))
    kill(node)
    _, errors = process.communicate(timeout=100)
    assert (process.returncode, errors) == (0, "")
    needed, in_flight = 40 * 3 * 2, 4
    assert endpoint.stats()["requests"] <= needed + in_flight
    assert len(list(read_journal(tmp_path / "calls.journal"))) == needed


@pytest.mark.long
def test_being_terminated_while_the_cluster_starts(write, endpoint, tmp_path):
    write("bot", CHATBOT)
    write("user", USERBOT)
    process = start(PROGRAM, tmp_path, endpoint.url)
    wait_while_it_runs(process, psutil.Process(process.pid).children)
    family = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (143, "")
    assert psutil.wait_procs(family, timeout=60)[1] == []


@pytest.mark.long
def test_being_interrupted_leaves_the_cluster_and_no_shard(write, endpoint, tmp_path, machines):
    address, node = machines
    write("bot", CHATBOT)
    write("user", USERBOT)
    endpoint.script(latency=0.2)
    process = start(PROGRAM, tmp_path, endpoint.url, RAY_ADDRESS=address, **NO_TOKEN)
    wait_while_it_runs(process, lambda: endpoint.stats()["requests"] >= 30 and workers(node))
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    wait_until(lambda: not workers(node))
    assert accepts(address)
    asked = endpoint.stats()["requests"]
    assert asked - 8 <= len(list(read_journal(tmp_path / "calls.journal"))) <= asked


@pytest.mark.long
def test_a_cluster_of_its_own_comes_and_goes(load):
    before, handler = dict(os.environ), signal.getsignal(signal.SIGTERM)
    chatbot, userbot = (load(name, body, model="offline/demo") for name, body in (("bot", CHATBOT), ("user", USERBOT)))
    script = """
import os, signal, sys
import psutil
from pathlib import Path
from autograms import Autogram
from autograms.simulation import Simulator, plain_scenarios
from autograms.simulation.ray_engine import RayEngine
import ray
before = dict(os.environ), signal.getsignal(signal.SIGTERM)
simulator = Simulator(*(Autogram.from_file(path, model="offline/demo") for path in sys.argv[1:]))
simulator.engine = RayEngine(workers=2)
made = simulator.run(plain_scenarios(2, num_turns=1, seed=0))
assert [memory.status for memory in made.memories] == ["completed"] * 2, made.memories
assert (dict(os.environ), signal.getsignal(signal.SIGTERM)) == before
assert not ray.is_initialized()
left = psutil.Process().children(recursive=True)
assert psutil.wait_procs(left, timeout=30)[1] == [], left
"""
    home = Path(chatbot.program.path).parent / "home"
    home.mkdir()
    command = [sys.executable, "-c", script, str(chatbot.program.path), str(userbot.program.path)]
    environment = {**before, "HOME": str(home)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(home.iterdir()) == []
    assert signal.getsignal(signal.SIGTERM) == handler


@pytest.mark.long
def test_an_address_without_a_cluster_is_named(load, tmp_path):
    script = """
import sys
from autograms import Autogram
from autograms.errors import SettingsError
from autograms.simulation import Simulator, plain_scenarios
from autograms.simulation.ray_engine import RayEngine

simulator = Simulator(Autogram.from_file(sys.argv[1], model="offline/demo"), engine=RayEngine(address="nonsense"))
try:
    simulator.run(plain_scenarios(1, num_turns=1, seed=0))
except SettingsError as error:
    print(error)
"""
    chatbot = load("bot", CHATBOT, model="offline/demo")
    command = [sys.executable, "-c", script, str(chatbot.program.path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("no Ray cluster at nonsense")


def test_without_ray_the_remedy_is_named(load, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SettingsError, match=r"autograms-assets\[ray\]"):
        Simulator(load("bot", CHATBOT, model="offline/demo"), engine=RAY).run(plain_scenarios(1, num_turns=1, seed=0))


def test_counts_are_added_up():
    from autograms.simulation.ray_engine import _sum

    assert counts(_sum([Progress(total=2, paid=1, cost_usd=0.5), Progress(total=3, failed=1, cost_usd=0.25)], 1.0)) == (
        Progress(total=5, paid=1, failed=1, cost_usd=0.75)
    )
