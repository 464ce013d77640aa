"""From the autogram to the datasets: what is made, what is reused, what fails and how."""

import base64
import json
import xml.etree.ElementTree as ElementTree

import pyarrow.parquet as pq
import pytest

from tests.autograms_assets.chains import TO_DATASETS, Chain, scenario_rows
from tests.autograms_assets.projects import CHATBOT, ITEMS, SETTINGS, ScratchProject

ALL = set(TO_DATASETS)


def test_makes_everything_and_then_reuses_everything(chain: Chain) -> None:
    first = chain.run()
    assert (first.success, first.made, first.failures) == (True, ALL, {})
    again = chain.run()
    assert (again.success, again.reused) == (True, ALL)
    assert again.versions == first.versions
    assert again.checks == first.checks


def test_each_table_is_one_parquet_file(ready: Chain) -> None:
    rows = {asset: pq.read_metadata(ready.stored(asset)).num_rows for asset in TO_DATASETS}
    assert rows == {
        "autogram": 3,
        "scenarios": 10,
        "conversation_memories": 10,
        "sft_dataset": 10,
        "dpo_dataset": 10,
    }
    assert not list(ready.storage.rglob("*.tmp"))


def test_metadata_says_what_people_look_for(chain: Chain) -> None:
    first = chain.run()
    memories = first.metadata["conversation_memories"]
    assert (memories["conversations"], memories["failed"], memories["paid calls"]) == (10, 0, 0)
    assert memories["supervised calls"] == 10
    assert memories["dagster/row_count"] == 10
    assert {"autogram", "scenario", "calls"} <= {column.name for column in memories["dagster/column_schema"].columns}
    samples = [memories[f"sample {number}"] for number in (1, 2, 3)]
    assert all("Dear customer, we noted" in sample for sample in samples)
    assert samples[0].startswith("*item: lamp* (completed, 1 call)")
    assert memories["scores"] == "calls by score: all 10 at 1"
    assert first.metadata["sft_dataset"]["train rows"] == 8
    assert "10 rows** (8 train, 2 validation)" in first.metadata["sft_dataset"]["report"]
    assert "```python" in first.metadata["autogram"]["program"]


def test_the_flow_of_a_program_is_shown(chain: Chain, project: ScratchProject) -> None:
    shown = chain.run("autogram").metadata["autogram"]
    picture = base64.b64decode(shown["flow"].removeprefix("![flow of desk](data:image/svg+xml;base64,").rstrip(")"))
    assert ElementTree.fromstring(picture).tag.endswith("svg")
    assert b"Answer formally." in picture
    project.add("desk", "from _bot import chatbot")
    project.write("chatbots/_bot.py", CHATBOT)
    outcome = chain.run("autogram", "scenarios", "conversation_memories")
    assert outcome.success, outcome.failures
    assert "not shown: " in outcome.metadata["autogram"]["flow"]


def test_what_is_reused_tells_the_same_again(chain: Chain) -> None:
    first, again = chain.run().metadata["sft_dataset"], chain.run().metadata["sft_dataset"]
    assert "seconds" not in again
    differ = {key for key in first if first[key] != again.get(key)}
    assert differ == {"reused", "seconds", "made because"}


@pytest.mark.parametrize(
    ("file", "old", "new", "made"),
    [
        ("chatbots/desk.py", "def formal", "# why\ndef formal", {"autogram"}),
        ("chatbots/desk.py", "we noted", "we wrote down", ALL - {"scenarios"}),
        ("chatbots/_wording.py", "Dear", "Esteemed", ALL - {"scenarios"}),
        ("chatbots/desk.py", "import autograms_function\n", "import autograms_function as autograms_function\n", {
            "autogram", "conversation_memories",
        }),
        ("userbots/customer.py", "question", "complaint", ALL - {"scenarios"}),
        ("userbots/customer.py", "Thank you.", "Thanks.", {"autogram", "conversation_memories"}),
        ("scenarios/items.json", "lamp", "table", ALL - {"autogram"}),
        ("scenarios/items.json", ", ", ",  ", {"scenarios"}),
        ("autograms.toml", "num_turns = 1", "num_turns = 3", {"scenarios"}),
        ("autograms.toml", 'userbot =', 'concurrency = 3\nuserbot =', set()),
        ("autograms.toml", "[defaults.sft]", "[defaults.dataset]\nsplit_seed = 1\n[defaults.sft]", {
            "sft_dataset", "dpo_dataset",
        }),
        ("autograms.toml", "[defaults.dpo]", "[defaults.dpo]\nbeta = 0.2", set()),
    ],
)  # fmt: skip
def test_an_edit_makes_again_what_it_made_stale(ready: Chain, file: str, old: str, new: str, made: set[str]) -> None:
    ready.project.edit(file, old, new)
    outcome = ready.run()
    assert (outcome.success, outcome.made) == (True, made)


def test_says_why_it_was_made_again(chain: Chain, project: ScratchProject) -> None:
    assert chain.run().metadata["conversation_memories"]["made because"] == "nothing is stored yet"
    project.edit("chatbots/desk.py", "we noted", "we wrote down")
    assert chain.run().metadata["conversation_memories"]["made because"] == "changed: programs"


def test_going_back_makes_the_same_again(chain: Chain, project: ScratchProject) -> None:
    first = chain.run()
    for old, new in (("we noted", "we wrote down"), ("we wrote down", "we noted")):
        project.edit("chatbots/desk.py", old, new)
        last = chain.run()
    assert last.versions == first.versions


def test_force_makes_again(chain: Chain) -> None:
    first = chain.run()
    assert chain.run(force=("scenarios",)).made == {"scenarios"}
    forced = chain.run(tags={"autograms/force": "true"})
    assert forced.made == ALL
    assert forced.versions == first.versions


def test_one_asset_alone_reads_what_is_stored(ready: Chain) -> None:
    assert ready.run("sft_dataset", force=("sft_dataset",)).made == {"sft_dataset"}


def test_a_removed_file_is_made_again(ready: Chain) -> None:
    ready.stored("scenarios").unlink()
    outcome = ready.run()
    assert outcome.made == {"scenarios"}


def test_a_damaged_file_is_made_again(ready: Chain) -> None:
    for asset in ("conversation_memories", "sft_dataset"):
        ready.stored(asset).write_bytes(ready.stored(asset).read_bytes()[:-10])
    outcome = ready.run()
    assert (outcome.success, outcome.made) == (True, {"conversation_memories", "sft_dataset"})


def test_a_damaged_upstream_file_is_named(ready: Chain) -> None:
    ready.stored("conversation_memories").write_bytes(b"PAR1 no more")
    outcome = ready.run("sft_dataset")
    assert not outcome.success
    assert "conversation_memories/desk.parquet" in outcome.failures["sft_dataset"]
    assert "materialize it again" in outcome.failures["sft_dataset"]


def test_a_missing_upstream_names_the_remedy(chain: Chain) -> None:
    outcome = chain.run("sft_dataset")
    assert "conversation_memories has nothing stored for 'desk'" in outcome.failures["sft_dataset"]
    assert "--select '*sft_dataset'" in outcome.failures["sft_dataset"]


def test_a_program_that_changed_since_its_snapshot_is_refused(ready: Chain) -> None:
    ready.project.edit("chatbots/desk.py", "we noted", "we wrote down")
    outcome = ready.run("conversation_memories")
    assert "changed since its snapshot" in outcome.failures["conversation_memories"]


BROKEN = [
    ("chatbots/desk.py", "def chatbot(:", "autogram", r"desk.py:1: invalid syntax"),
    ("chatbots/_wording.py", "(", "autogram", "_wording.py:1: "),
    ("chatbots/desk.py", "x = 1", "autogram", "desk.py defines no chatbot()"),
    ("userbots/customer.py", "raise ValueError('oops')", "conversation_memories", "oops"),
    ("scenarios/items.json", "[{]", "scenarios", "items.json: not valid JSON"),
    ("scenarios/items.json", '[{"num_turn": 1}]', "scenarios", "unknown field 'num_turn'; did you mean 'num_turns'"),
    ("autograms.toml", '[autograms.desk]\nmodel = "offline/dmo"', "conversation_memories", "offline/dmo"),
    ("autograms.toml", "[autograms.desk]\nmodell = 1", "autogram", "unknown key 'modell'; did you mean 'model'"),
    ("autograms.toml", '[autograms.desk]\nscenarios = "x.json"', "scenarios", "x.json, which does not exist"),
    ("autograms.toml", '[autograms.desk]\nmodel = "openai/gpt-4o-mini"', "conversation_memories", "OPENAI_API_KEY"),
]


@pytest.mark.parametrize(("file", "text", "step", "message"), BROKEN)
def test_what_is_broken_is_one_clear_failure(
    chain: Chain, project: ScratchProject, file: str, text: str, step: str, message: str
) -> None:
    project.write(file, text)
    outcome = chain.run()
    assert list(outcome.failures) == [step]
    assert message in outcome.failures[step]
    assert "Traceback" not in outcome.failures[step]
    assert not chain.stored(step).exists()


def test_a_broken_autogram_breaks_its_own_partition_only(chain: Chain, project: ScratchProject) -> None:
    project.add("other", "def chatbot(:")
    assert not chain.run(name="other").success
    assert chain.run(name="desk").success


def test_a_failure_leaves_what_was_stored(ready: Chain) -> None:
    before = ready.stored("scenarios").read_bytes()
    ready.project.write("scenarios/items.json", "[{]")
    assert not ready.run().success
    assert ready.stored("scenarios").read_bytes() == before


@pytest.mark.parametrize("name", ["nobody", "../desk", "a b"])
def test_a_partition_without_an_autogram_says_so(chain: Chain, name: str) -> None:
    outcome = chain.run("autogram", name=name)
    assert f"no autogram {name!r}" in outcome.failures["autogram"]
    assert not list(chain.storage.rglob("*.parquet"))


RAISES = CHATBOT.replace("    text = extract", '    raise RuntimeError("the rules end here")\n    text = extract')


def test_failed_conversations_are_counted_and_block(chain: Chain, project: ScratchProject) -> None:
    project.add("desk", RAISES)
    outcome = chain.run()
    memories = outcome.metadata["conversation_memories"]
    assert (memories["failed"], memories["errors"]) == (10, {"RuntimeError": 10})
    assert outcome.checks["conversation_memories:some_completed"] is False
    assert set(outcome.failures) == {"conversation_memories"}
    assert "sft_dataset" not in outcome.metadata


ANSWER = "the customer's own words"


def test_what_failed_conversations_say_is_told_by_no_check(chain: Chain, project: ScratchProject) -> None:
    project.add("desk", RAISES.replace("the rules end here", ANSWER))
    outcome = chain.run("autogram", "scenarios", "conversation_memories")
    told = outcome.told["conversation_memories:few_failed"]
    assert "10 of 10 conversations failed; most often: RuntimeError of the chatbot at " in told
    assert outcome.told["conversation_memories:some_completed"] == f"0 of 10 conversations were completed: {told}"
    assert "desk.py:" in told
    assert ANSWER not in " ".join([*outcome.told.values(), *outcome.failures.values()])
    project.add("desk", RAISES.replace("    raise", '    if "clock" in extract_last_user_reply(): raise'))
    shown = chain.run("autogram", "scenarios", "conversation_memories").metadata["conversation_memories"]
    assert "the rules end here" in shown["a failed conversation"]


def test_a_few_failures_are_a_warning(chain: Chain, project: ScratchProject) -> None:
    project.add("desk", RAISES.replace("    raise", '    if "lamp" in extract_last_user_reply(): raise'))
    outcome = chain.run()
    assert outcome.success
    assert outcome.checks["conversation_memories:some_completed"] is True
    assert outcome.checks["conversation_memories:few_failed"] is False
    assert chain.run().reused == ALL


def test_a_dataset_without_rows_blocks(chain: Chain, project: ScratchProject) -> None:
    project.write("autograms.toml", SETTINGS + '\n[defaults.dataset]\ntag_query = "nothing"\n')
    outcome = chain.run()
    assert outcome.checks["sft_dataset:has_rows"] is False
    assert "sft_dataset" in outcome.failures
    assert outcome.checks["dpo_dataset:has_pairs"] is False
    assert "dpo_dataset" not in outcome.failures


def test_few_rows_are_a_warning(chain: Chain) -> None:
    outcome = chain.run()
    assert outcome.checks["sft_dataset:enough_rows"] is False
    assert outcome.checks["sft_dataset:no_leakage"] is True


def test_secrets_are_found_and_not_shown(chain: Chain, project: ScratchProject) -> None:
    secret = "sk-" + "a1" * 20
    project.write("scenarios/items.json", scenario_rows(*ITEMS, secret))
    outcome = chain.run()
    assert outcome.checks["sft_dataset:no_secrets"] is False


def test_without_scenarios_or_userbot_a_plain_user_plays(chain: Chain, project: ScratchProject) -> None:
    project.write("autograms.toml", '[defaults]\nmodel = "offline/demo"\nnum_examples = 4\nnum_turns = 1\n')
    outcome = chain.run("autogram", "scenarios", "conversation_memories")
    memories = outcome.metadata["conversation_memories"]
    assert (memories["conversations"], memories["failed"]) == (4, 0)
    assert memories["paid calls"] >= 4


def test_stamps_hold_what_another_program_can_read(ready: Chain) -> None:
    metadata = pq.read_schema(ready.stored("sft_dataset")).metadata
    stamp = json.loads(metadata[b"autograms.stamp"])
    assert set(stamp["inputs"]) == {"memories", "settings", "versions", "tokenizer", "longest row"}
    assert stamp["summary"]["rows"] == 10


def test_every_column_is_described(chain: Chain) -> None:
    for asset, found in chain.run().metadata.items():
        without = [column.name for column in found["dagster/column_schema"].columns if not column.description]
        assert (asset, without) == (asset, [])


def test_a_sample_of_the_scenarios(chain: Chain, project: ScratchProject) -> None:
    project.edit("autograms.toml", "[defaults.sft]", "[defaults.sample]\nn = 3\n[defaults.sft]")
    assert chain.run("autogram", "scenarios").metadata["scenarios"]["dagster/row_count"] == 3


def test_wrong_scenarios_can_be_left_out(chain: Chain, project: ScratchProject) -> None:
    rows = json.loads(scenario_rows("lamp", "desk"))
    project.write("scenarios/items.json", json.dumps([*rows, {"num_turns": -1}]))
    assert "scenarios" in chain.run("autogram", "scenarios").failures
    project.edit("autograms.toml", "num_turns = 1", "num_turns = 1\nskip_bad_scenarios = true")
    assert chain.run("autogram", "scenarios").metadata["scenarios"]["dagster/row_count"] == 2
