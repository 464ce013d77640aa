"""The table of edits: what each makes again, counted at the model's endpoint and in training steps.

``docs/dagster.md`` has the same table for people.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest

from tests.autograms_assets.chains import TO_DATASETS, Chain, Outcome, scenario_rows
from tests.autograms_assets.projects import ITEMS, WORDING, ScratchProject
from tests.dagster_project.test_sensors import Daemon
from tests.endpoint import Endpoint

CHATBOT = """
from autograms import autograms_function
from autograms.functional import extract_last_user_reply, reply_instruction, thought
from autograms.supervisors import SupervisorReturn

from _wording import GREETING


def formal(instruction):
    text = extract_last_user_reply()
    return SupervisorReturn(f"{GREETING} we noted: {text}", rejected_output=f"ok {text}", score=1.0)


@autograms_function()
def chatbot():
    thought("Think about the customer.")
    while True:
        reply_instruction("Answer formally.", supervisor=formal)
        thought("Look back.")
"""
SETTINGS = """
[defaults]
model = "openai/small"
num_turns = 1
userbot = "customer"
scenarios = "items.json"
base_url = "{url}"

[defaults.sft]
max_steps = 3
batch_size = 4

[defaults.dpo]
max_steps = 2
batch_size = 4

[autograms.alone]
"""
NAMES = ("alone", "desk", "kiosk")
EACH = len(ITEMS)  # calls of one autogram that reach the endpoint: one thought a conversation
SFT, DPO = 3, 2  # training steps
ALL = (*TO_DATASETS, "sft_model", "dpo_model", "evaluation", "leaderboard")
MODELS = {"sft_model", "dpo_model", "evaluation", "leaderboard"}


@dataclass(frozen=True)
class Edit:
    """One kind of edit.

    Attributes:
        what: The edit, in words.
        file: The file that is edited.
        old: What is replaced in it.
        new: What replaces it.
        calls: For each autogram, the calls that reach the endpoint again.
        made: The assets of ``desk`` that are made again.
        steps: The training steps of ``desk`` that are done again.
    """

    what: str
    file: str
    old: str
    new: str
    calls: dict[str, int] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    steps: int = 0


EVERY = dict.fromkeys(NAMES, EACH)
AFTER_PROGRAMS = set(ALL) - {"scenarios"}
EDITS = [
    Edit("a comment", "chatbots/desk.py", "def formal", "# why\ndef formal", made={"autogram"}),
    Edit(
        "an instruction",
        "chatbots/desk.py",
        "Think about",
        "Consider",
        calls={"desk": EACH},
        made=AFTER_PROGRAMS,
        steps=SFT + DPO,
    ),
    Edit(
        "what a supervisor answers",
        "chatbots/desk.py",
        "we noted",
        "we wrote down",
        made=AFTER_PROGRAMS,
        steps=SFT + DPO,
    ),
    Edit(
        "a helper module that two import",
        "chatbots/_wording.py",
        'INSTRUCTION = "',
        'INSTRUCTION = "Well. ',
        calls={"desk": EACH, "kiosk": EACH},
        made=AFTER_PROGRAMS,
        steps=SFT + DPO,
    ),
    Edit(
        "one scenario",
        "scenarios/items.json",
        "lamp",
        "table",
        calls=dict.fromkeys(NAMES, 1),
        made=set(ALL) - {"autogram"},
        steps=SFT + DPO,
    ),
    Edit("the layout of the scenarios", "scenarios/items.json", ", ", ",  ", made={"scenarios"}),
    Edit(
        "what the userbot says",
        "userbots/customer.py",
        "question",
        "complaint",
        calls=EVERY,
        made=AFTER_PROGRAMS,
        steps=SFT + DPO,
    ),
    Edit(
        "the DPO recipe",
        "autograms.toml",
        "[defaults.dpo]",
        "[defaults.dpo]\nbeta = 0.3",
        made=MODELS - {"sft_model"},
        steps=DPO,
    ),
    Edit(
        "the SFT recipe",
        "autograms.toml",
        "[defaults.sft]",
        "[defaults.sft]\nlearning_rate = 0.002",
        made=MODELS,
        steps=SFT + DPO,
    ),
    Edit(
        "the longest row of the SFT recipe, where all fit",
        "autograms.toml",
        "[defaults.sft]",
        "[defaults.sft]\nmax_length = 1000",
        made={"sft_dataset", "sft_model"},
        steps=SFT,
    ),
    Edit(
        "the model",
        "autograms.toml",
        "openai/small",
        "openai/large",
        calls=EVERY,
        made=set(ALL) - {"autogram", "scenarios"},
        steps=SFT + DPO,
    ),
    Edit(
        "the temperature",
        "autograms.toml",
        "base_url",
        "config = { chatbot_generation_args = { temperature = 0.3 } }\nbase_url",
        calls=EVERY,
        made=set(ALL) - {"autogram", "scenarios"},
        steps=SFT + DPO,
    ),
    Edit("settings that do not matter", "autograms.toml", "base_url", "concurrency = 2\nbase_url"),
    Edit("the settings of another autogram", "autograms.toml", "[autograms.alone]", "[autograms.alone]\nseed = 5"),
]


@pytest.fixture
def paying(chain: Chain, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> Chain:
    """Three autograms that ask the endpoint; two of them import the same module, and their thought is made in it."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    project = chain.project
    project.write("chatbots/_wording.py", WORDING + 'INSTRUCTION = "Think about the customer."\n')
    shared = CHATBOT.replace("import GREETING", "import GREETING, INSTRUCTION")
    project.add("desk", shared.replace('"Think about the customer."', 'INSTRUCTION + " Think about the reasons."'))
    project.add("kiosk", shared.replace('"Think about the customer."', "INSTRUCTION"))
    project.add("alone", CHATBOT.replace("from _wording import GREETING", 'GREETING = "Hello,"'))
    project.write("autograms.toml", SETTINGS.format(url=endpoint.url))
    project.write("scenarios/items.json", scenario_rows(*ITEMS))
    return chain


def spent(
    chain: Chain, endpoint: Endpoint, *assets: str, name: str, tags: dict[str, str] | None = None
) -> tuple[Outcome, int]:
    """Materialize, and return what was done and how many calls reached the endpoint."""
    before = endpoint.stats()["requests"]
    outcome = chain.run(*assets, name=name, tags=tags)
    assert outcome.success, outcome.failures
    return outcome, endpoint.stats()["requests"] - before


def calls_of_all(chain: Chain, endpoint: Endpoint, tags: dict[str, str] | None = None) -> dict[str, int]:
    """Materialize every partition, as a backfill does, and return the calls of those that paid."""
    found = {name: spent(chain, endpoint, name=name, tags=tags)[1] for name in NAMES}
    return {name: calls for name, calls in found.items() if calls}


@pytest.mark.long
@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.what)
def test_an_edit_pays_for_what_it_made_stale(paying: Chain, endpoint: Endpoint, edit: Edit) -> None:
    assert calls_of_all(paying, endpoint) == EVERY
    paying.project.edit(edit.file, edit.old, edit.new)
    assert calls_of_all(paying, endpoint) == edit.calls


def test_a_backfill_of_all_partitions_pays_nothing_and_force_pays_all(paying: Chain, endpoint: Endpoint) -> None:
    calls_of_all(paying, endpoint)
    assert calls_of_all(paying, endpoint) == {}
    assert calls_of_all(paying, endpoint, {"autograms/force": "true"}) == EVERY


def test_the_sensor_runs_what_changed_and_pays_for_no_more(
    paying: Chain, endpoint: Endpoint, project: ScratchProject, instance: dg.DagsterInstance
) -> None:
    daemon = Daemon(project, instance)
    assert daemon.runs() == list(NAMES)
    assert calls_of_all(paying, endpoint) == EVERY
    assert daemon.runs() == []
    project.edit("chatbots/desk.py", "def formal", "# why\ndef formal")
    assert daemon.runs() == []
    project.edit("chatbots/_wording.py", 'INSTRUCTION = "', 'INSTRUCTION = "Well. ')
    launched = daemon.runs()
    assert launched == ["desk", "kiosk"]
    assert [spent(paying, endpoint, name=str(name))[1] for name in launched] == [EACH, EACH]


@pytest.mark.long
@pytest.mark.timeout(900)
def test_an_edit_trains_what_it_made_stale(paying: Chain, endpoint: Endpoint) -> None:
    first, _ = spent(paying, endpoint, *ALL, name="desk")
    assert (first.made, steps_of(first)) == (set(ALL), SFT + DPO)
    again, calls = spent(paying, endpoint, *ALL, name="desk")
    assert (again.reused, steps_of(again), calls) == (set(ALL), 0, 0)
    found, expected = {}, {}
    for edit in EDITS:
        paying.project.edit(edit.file, edit.old, edit.new)
        outcome, calls = spent(paying, endpoint, *ALL, name="desk")
        found[edit.what] = (outcome.made, calls, steps_of(outcome))
        expected[edit.what] = (edit.made, edit.calls.get("desk", 0), edit.steps)
    assert found == expected
    forced, calls = spent(paying, endpoint, *ALL, name="desk", tags={"autograms/force": "true"})
    assert (forced.made, calls, steps_of(forced)) == (set(ALL), EACH, SFT + DPO)


def steps_of(outcome: Outcome) -> int:
    """Return how many training steps were done; those of a reused model were done before."""
    return sum(int(outcome.metadata[model]["steps"]) for model in outcome.made & {"sft_model", "dpo_model"})


def test_the_table_for_people_names_every_edit() -> None:
    text = (Path(__file__).parents[2] / "docs" / "dagster.md").read_text(encoding="utf-8")
    missing = [edit.what for edit in EDITS if f"| {edit.what} |" not in text]
    assert missing == []
