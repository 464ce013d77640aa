import errno
import os
import pickle
from contextlib import contextmanager

import pytest

from autograms.cli import results
from autograms.cli.results import alone, read_saved_conversation, write_results
from autograms.errors import RecordError
from autograms.models import ScriptedModel
from autograms.simulation import Simulator, plain_scenarios
from tests.cli.conftest import assert_one_message
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


def test_one_simulation_at_a_time_in_a_folder(run, chatbot, userbot, scenarios, tmp_path):
    folder = tmp_path / "d"
    command = ["simulate", "--autogram_file", chatbot, "--userbot_file", userbot, "--model", "offline/demo"]
    command += ["--simulation_list_file", scenarios]
    with alone(folder):
        (folder / "calls.journal").write_text("the first one's")
        assert_one_message(
            run(*command, "--save_dir", folder), "another command of autograms is at work", "another --save_dir"
        )
        assert (folder / "calls.journal").read_text() == "the first one's"
        assert_one_message(run("finetune", "--save_dir", folder, "--prepare_data_only"), "is at work in", "--save_dir")
        (folder / "calls.journal").unlink()
    assert not folder.exists()
    assert run(*command, "--save_dir", folder).status == 0
    assert not list(folder.glob(".*"))


def test_a_file_system_without_locks_is_told_of_and_works(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.warns(UserWarning, match="without locks"), alone(tmp_path / "d"):
        assert (tmp_path / "d").is_dir()
    assert not (tmp_path / "d").exists()


def test_another_failure_names_the_file_and_leaves_none(tmp_path, monkeypatch):
    def refuse(file, operation):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(OSError, match=r"\.autograms\.lock"), alone(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_results_of_a_simulation_that_ended_meanwhile_stay(run, chatbot, userbot, tmp_path, monkeypatch):
    @contextmanager
    def late(folder):
        with alone(folder):
            write_results(folder, [desk_memory()])
            yield

    monkeypatch.setattr(results, "alone", late)
    command = ["simulate", "--autogram_file", chatbot, "--userbot_file", userbot, "--model", "offline/demo"]
    assert_one_message(run(*command, "--save_dir", tmp_path / "d"), "holds results already")
    assert len(list((tmp_path / "d").glob("example*.pkl"))) == 1
