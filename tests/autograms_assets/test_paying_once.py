"""What reaches the model, counted at the endpoint: an edit pays for what it made stale and for nothing else."""

import json
import re

import pytest

from tests.autograms_assets.chains import Chain, scenario_rows
from tests.autograms_assets.projects import ScratchProject
from tests.endpoint import Endpoint

CHATBOT = """
from autograms import autograms_function
from autograms.functional import reply_instruction, thought


@autograms_function()
def chatbot():
    thought("Think about the customer.")
    while True:
        reply_instruction("Greet the customer.")
        reply_instruction("Answer the customer.")
"""
USERBOT = """
from autograms import autograms_function
from autograms.functional import reply


@autograms_function()
def chatbot(item):
    reply(f"It is about the {item}.")
    reply(f"I mean the {item}.")
"""
SETTINGS = """
[defaults]
model = "openai/small"
userbot = "customer"
scenarios = "items.json"
base_url = "{url}"
"""
ITEMS = ("lamp", "kettle", "desk", "chair")
CALLS = 3  # a conversation's: the thought, the greeting, the answer
UP_TO_MEMORIES = ("autogram", "scenarios", "conversation_memories")


@pytest.fixture
def paying(chain: Chain, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Chain:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    project = chain.project
    project.add("desk", CHATBOT)
    project.write("userbots/customer.py", USERBOT)
    project.write("autograms.toml", SETTINGS.format(url=endpoint.url))
    project.write(
        "scenarios/items.json",
        json.dumps([{"num_turns": 2, "user_kwargs": {"item": item}, "user_goes_first": True} for item in ITEMS]),
    )
    return chain


def paid(chain: Chain, endpoint: Endpoint, **options: dict[str, str]) -> int:
    before = endpoint.stats()["requests"]
    outcome = chain.run(*UP_TO_MEMORIES, **options)  # type: ignore[arg-type]
    assert outcome.success, outcome.failures
    requests: int = endpoint.stats()["requests"] - before
    memories = outcome.metadata["conversation_memories"]
    assert memories["reused"] or memories["paid calls"] == requests
    return requests


def test_asked_again_nothing_is_paid(paying: Chain, endpoint: Endpoint) -> None:
    assert paid(paying, endpoint) == CALLS * len(ITEMS)
    assert paid(paying, endpoint) == 0


@pytest.mark.parametrize(
    ("file", "old", "new", "calls"),
    [
        ("chatbots/desk.py", "@autograms_function", "# a comment\n@autograms_function", 0),
        ("chatbots/desk.py", "Answer the customer.", "Answer briefly.", 1 * len(ITEMS)),
        ("chatbots/desk.py", "Greet the customer.", "Greet briefly.", 2 * len(ITEMS)),
        ("chatbots/desk.py", "Think about", "Consider", 3 * len(ITEMS)),
        ("userbots/customer.py", "I mean", "I meant", 1 * len(ITEMS)),
        ("scenarios/items.json", "kettle", "table", CALLS),
        ("autograms.toml", "openai/small", "openai/large", CALLS * len(ITEMS)),
        ("autograms.toml", "base_url", "config = { chatbot_generation_args = { temperature = 0.3 } }\nbase_url", 12),
        ("autograms.toml", "base_url", "concurrency = 2\nbase_url", 0),
    ],
)
def test_an_edit_pays_for_what_follows_it(
    paying: Chain, endpoint: Endpoint, project: ScratchProject, file: str, old: str, new: str, calls: int
) -> None:
    paid(paying, endpoint)
    project.edit(file, old, new)
    assert paid(paying, endpoint) == calls
    assert paid(paying, endpoint) == 0


def test_another_endpoint_is_paid_in_the_settings_and_in_the_environment(
    paying: Chain, endpoint: Endpoint, project: ScratchProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    paid(paying, endpoint)
    elsewhere = endpoint.url.replace("127.0.0.1", "localhost")
    project.edit("autograms.toml", endpoint.url, elsewhere)
    assert paid(paying, endpoint) == CALLS * len(ITEMS)
    monkeypatch.setenv("OPENAI_BASE_URL", elsewhere)
    project.edit("autograms.toml", f'base_url = "{elsewhere}"', "")
    assert paid(paying, endpoint) == 0
    monkeypatch.setenv("OPENAI_BASE_URL", endpoint.url)
    back = paying.run(*UP_TO_MEMORIES)
    assert back.made == {"conversation_memories"}
    assert back.metadata["conversation_memories"]["paid calls"] == 0  # the version before is kept


def test_going_back_is_free(paying: Chain, endpoint: Endpoint, project: ScratchProject) -> None:
    paid(paying, endpoint)
    project.edit("chatbots/desk.py", "Answer the customer.", "Answer briefly.")
    assert paid(paying, endpoint) == len(ITEMS)
    project.edit("chatbots/desk.py", "Answer briefly.", "Answer the customer.")
    assert paid(paying, endpoint) == 0


def test_force_pays_again(paying: Chain, endpoint: Endpoint) -> None:
    paid(paying, endpoint)
    assert paid(paying, endpoint, tags={"autograms/force": "true"}) == CALLS * len(ITEMS)


def test_batches_make_the_same_memories_and_nothing_stale(
    paying: Chain, endpoint: Endpoint, project: ScratchProject
) -> None:
    at_once = paying.run(*UP_TO_MEMORIES).versions["conversation_memories"]
    project.edit("autograms.toml", "base_url", "batch = true\nbatch_poll_seconds = 0.02\nbase_url")
    assert paid(paying, endpoint) == 0
    outcome = paying.run(*UP_TO_MEMORIES, tags={"autograms/force": "true"})
    assert outcome.versions["conversation_memories"] == at_once
    assert [batch["requests"] for batch in endpoint.stats()["batches"]["made"]] == [len(ITEMS)] * CALLS


def test_a_batch_that_was_cancelled_is_one_clear_failure_and_asked_again_it_goes_on(
    paying: Chain, endpoint: Endpoint, project: ScratchProject
) -> None:
    project.edit("autograms.toml", "base_url", "batch = true\nbatch_poll_seconds = 0.02\nbase_url")
    endpoint.script(batches={"fates": ["completed", "cancelled", "completed"]})
    outcome = paying.run(*UP_TO_MEMORIES)
    assert list(outcome.failures) == ["conversation_memories"]
    assert "batch-2: 4 calls of small" in outcome.failures["conversation_memories"]
    assert paying.run(*UP_TO_MEMORIES).success
    assert endpoint.stats()["requests"] == CALLS * len(ITEMS)


def test_what_the_endpoint_failed_is_tried_again_when_asked_again(paying: Chain, endpoint: Endpoint) -> None:
    endpoint.script(failures=[{"status": 400, "contains": "kettle", "message": "no kettles today"}])
    first = paying.run(*UP_TO_MEMORIES).metadata["conversation_memories"]
    assert (first["failed"], first["errors"]) == (1, {"EndpointError": 1})
    endpoint.script(failures=[])
    second = paying.run(*UP_TO_MEMORIES).metadata["conversation_memories"]
    assert (second["failed"], second["reused"]) == (0, False)
    assert second["paid calls"] <= CALLS
    assert paid(paying, endpoint) == 0


def test_a_refused_key_is_one_clear_failure(paying: Chain, endpoint: Endpoint) -> None:
    endpoint.script(key="another")
    outcome = paying.run(*UP_TO_MEMORIES)
    assert list(outcome.failures) == ["conversation_memories"]
    assert "key" in outcome.failures["conversation_memories"]
    assert "sk-test" not in outcome.failures["conversation_memories"]
    assert not paying.stored("conversation_memories").exists()


def test_scenarios_that_are_added_are_the_only_ones_paid(
    paying: Chain, endpoint: Endpoint, project: ScratchProject
) -> None:
    paid(paying, endpoint)
    rows = json.loads((project.root / "scenarios/items.json").read_text())
    project.write("scenarios/items.json", json.dumps([*rows, *json.loads(scenario_rows("vase"))]))
    assert paid(paying, endpoint) == 2  # one turn: the thought and the greeting


def test_the_sample_and_the_budget_of_the_settings_hold(paying: Chain, endpoint: Endpoint) -> None:
    settings = SETTINGS.format(url=endpoint.url)
    paying.project.write("autograms.toml", settings + "sample = { n = 2 }\nbudget_calls = 3\n")
    outcome = paying.run(*UP_TO_MEMORIES)
    assert not outcome.success
    assert "budget" in str(outcome.failures)
    assert endpoint.stats()["requests"] == 0
    paying.project.write("autograms.toml", settings + 'sample = { n = 2 }\nbudget_calls = 5\nover_budget = "spend"\n')
    assert paid(paying, endpoint) == 5
    paying.project.write("autograms.toml", settings + "sample = { n = 2 }\n")
    assert paid(paying, endpoint) == 1


def test_a_line_that_moves_changes_no_row(paying: Chain) -> None:
    rows = (*UP_TO_MEMORIES, "sft_dataset")
    first = paying.run(*rows)
    paying.project.add("desk", "import json\n" + CHATBOT)
    second = paying.run(*rows)
    assert second.versions["sft_dataset"] == first.versions["sft_dataset"]


def budgeted(project: ScratchProject, **settings: object) -> None:
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    text = (project.root / "autograms.toml").read_text().partition("budget_calls")[0]
    project.write("autograms.toml", text + lines)


def test_an_estimate_above_the_budget_is_refused_before_anything_is_spent(
    paying: Chain, endpoint: Endpoint, project: ScratchProject
) -> None:
    budgeted(project, budget_calls=5)
    outcome = paying.run(*UP_TO_MEMORIES)
    assert list(outcome.failures) == ["conversation_memories"]
    assert "budget" in outcome.failures["conversation_memories"]
    assert endpoint.stats()["requests"] == 0


def test_a_budget_that_is_spent_is_gone_on_from_with_a_larger_one(
    paying: Chain, endpoint: Endpoint, project: ScratchProject
) -> None:
    budgeted(project, budget_calls=5, over_budget="spend")
    paying.run(*UP_TO_MEMORIES)
    assert 0 < endpoint.stats()["requests"] <= 5
    budgeted(project, budget_calls=50, over_budget="spend")
    outcome = paying.run(*UP_TO_MEMORIES)
    assert outcome.success, outcome.failures
    assert endpoint.stats()["requests"] == CALLS * len(ITEMS)
    assert paid(paying, endpoint) == 0


def test_the_plan_stands_beside_the_scenarios_and_beside_what_was_paid(
    paying: Chain, endpoint: Endpoint, project: ScratchProject
) -> None:
    first = paying.run(*UP_TO_MEMORIES).metadata
    assert first["scenarios"]["stale conversations"] == len(ITEMS)
    assert "| because of | never simulated: 4 |" in first["scenarios"]["plan"]
    assert first["conversation_memories"]["planned calls"] == first["scenarios"]["planned calls"]
    project.edit("chatbots/desk.py", "Answer the customer.", "Answer briefly.")
    alone = paying.run("autogram", "scenarios").metadata["scenarios"]
    assert (alone["reused"], alone["stale conversations"], alone["planned calls"]) == (True, 4, 4)
    assert "| because of | autogram: 4 |" in alone["plan"]
    assert endpoint.stats()["requests"] == CALLS * len(ITEMS)
    second = paying.run(*UP_TO_MEMORIES).metadata["conversation_memories"]
    assert (second["planned calls"], second["paid calls"]) == (4, 4)
    assert paying.run(*UP_TO_MEMORIES).metadata["scenarios"]["planned calls"] == 0


def test_the_plan_of_a_forced_run_pays_for_everything(paying: Chain) -> None:
    paying.run(*UP_TO_MEMORIES)
    for options in ({"tags": {"autograms/force": "true"}}, {"force": ("conversation_memories",)}):
        planned = paying.run(*UP_TO_MEMORIES, **options).metadata["scenarios"]  # type: ignore[arg-type]
        assert (planned["planned calls"], planned["stale conversations"]) == (CALLS * len(ITEMS), len(ITEMS))


def test_conversations_alone_tell_no_plan_of_another_run(paying: Chain, project: ScratchProject) -> None:
    paying.run(*UP_TO_MEMORIES)
    project.edit("chatbots/desk.py", "Answer the customer.", "Answer briefly.")
    paying.run("autogram", "scenarios")
    assert "planned calls" not in paying.run("conversation_memories").metadata["conversation_memories"]


def test_a_file_without_a_root_ends_at_its_snapshot(paying: Chain, project: ScratchProject) -> None:
    project.edit("chatbots/desk.py", "def chatbot", "def chatbox")
    outcome = paying.run("autogram")
    assert not outcome.success
    assert "desk.py defines no chatbot()" in outcome.failures["autogram"]


@pytest.mark.parametrize(
    ("file", "old", "new", "why"),
    [
        ("chatbots/desk.py", "@autograms_function", "import nowhere\n@autograms_function", "not made: .*'nowhere'"),
        ("chatbots/desk.py", "@autograms_function", "raise SystemExit\n@autograms_function", "not made: .*SystemExit"),
        (
            "chatbots/desk.py",
            "@autograms_function",
            "def init_chatbot(): {}['k']\n@autograms_function",
            "would fail . 4: KeyError",
        ),
        ("autograms.toml", "openai/small", "nobody/small", "not made: .*nobody/small"),
    ],
)
def test_a_plan_that_cannot_be_made_says_why_and_fails_nothing(
    paying: Chain, project: ScratchProject, file: str, old: str, new: str, why: str
) -> None:
    project.edit(file, old, new)
    outcome = paying.run("autogram", "scenarios")
    assert outcome.success, outcome.failures
    assert re.search(why, outcome.metadata["scenarios"]["plan"])


@pytest.mark.long
def test_a_cluster_makes_the_same(paying: Chain, endpoint: Endpoint, project: ScratchProject) -> None:
    pytest.importorskip("ray", reason='Ray is not installed: pip install -e ".[ray]"')
    alone = paying.run(*UP_TO_MEMORIES)
    project.edit("autograms.toml", "base_url", 'engine = "ray"\nray_workers = 2\nbase_url')
    assert paid(paying, endpoint) == 0  # the result does not depend on the engine
    forced = {"autograms/force": "true"}
    assert paid(paying, endpoint, tags=forced) == CALLS * len(ITEMS)
    again = paying.run(*UP_TO_MEMORIES, tags=forced)
    assert again.versions["conversation_memories"] == alone.versions["conversation_memories"]
