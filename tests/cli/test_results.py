import pickle

import pytest

from autograms.cli.results import read_saved_conversation, write_results
from autograms.errors import RecordError
from autograms.models import ScriptedModel
from autograms.simulation import Simulator, plain_scenarios
from tests.memories import desk_memory
from tests.programs import bot


def test_examples_of_a_longer_simulation_go_and_others_stay(tmp_path):
    write_results(tmp_path, [desk_memory() for _ in range(4)])
    (tmp_path / "example0_good.pkl").write_bytes((tmp_path / "example0.pkl").read_bytes())
    write_results(tmp_path, [desk_memory() for _ in range(3)])
    assert sorted(path.name for path in tmp_path.glob("*.pkl")) == [
        *("example0.pkl", "example0_good.pkl", "example1.pkl", "example2.pkl")
    ]


def test_a_simulated_conversation_can_be_gone_on_with(tmp_path):
    chatbot = bot("def chatbot():\n    while True:\n        reply_instruction('Answer.')\n", lambda request: "answer")
    chatbot._model = ScriptedModel(lambda request: "answer")
    memories = Simulator(chatbot).run(plain_scenarios(1, num_turns=2, seed=0)).memories
    assert {call.side for call in memories[0].calls} == {"chatbot", "user"}
    write_results(tmp_path, memories)
    saved = read_saved_conversation(tmp_path / "example0.pkl")
    assert chatbot.reply("and?", chatbot.deserialize(saved))[0] == "answer"


def test_a_pickle_with_values_of_the_wrong_type_is_refused(tmp_path):
    data = desk_memory().to_dict()
    data["messages"][0][1] = ["no text"]
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(data))
    with pytest.raises(RecordError, match="damaged"):
        read_saved_conversation(tmp_path / "m.pkl")
