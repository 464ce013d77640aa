import pytest

from autograms.errors import ModelError, SettingsError
from autograms.models import OfflineModel
from autograms.models.base import identity_of
from autograms.settings import load_project
from autograms.simulation.budget import Budget
from autograms.simulation.project import budget_of, identities, open_simulator, scenarios_of
from autograms.simulation.ray_engine import RayEngine

PROGRAM = 'def chatbot():\n    while True:\n        reply("hello")\n'


@pytest.fixture
def project(tmp_path):
    def project(settings="", cases='[{"user_kwargs": {"n": 1}}, {"num_turns": 0}, {}]'):
        for folder in ("chatbots", "userbots", "scenarios"):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / "bot.py").write_text("from autograms.functional import reply\n" + PROGRAM)
        (tmp_path / "scenarios" / "cases.json").write_text(cases)
        (tmp_path / "autograms.toml").write_text(f'[autograms.bot]\nmodel = "offline/demo"\n{settings}\n')
        return load_project(tmp_path)

    return project


def test_the_settings_name_everything(project):
    found = project('userbot = "bot"\nconcurrency = 3\nbudget_usd = 2.5\nbudget_calls = 7\nnum_examples = 4')
    simulator = open_simulator(found, "bot")
    assert (simulator.chatbot.name, simulator.userbot.side, simulator.concurrency) == ("bot", "user", 3)
    assert budget_of(found.settings("bot")) == Budget(2.5, 7)
    memories = simulator.run(scenarios_of(found, found.settings("bot"))).memories
    assert [memory.status for memory in memories] == ["completed"] * 4


def test_an_unasked_model_needs_no_key(project):
    simulator = open_simulator(project('user_model = "openai/gpt-4o"'), "bot", unasked=True)
    assert (simulator.chatbot.model.name, simulator.userbot.model.name) == ("offline/demo", "openai/gpt-4o")


def test_a_plan_decides_by_the_model_that_decides(project, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    found = project('base_url = "http://gpu/v1"\nconfig = { classifier_type = "openai", classifier_path = "judge" }')
    planned, played = (open_simulator(found, "bot", unasked=unasked).chatbot for unasked in (True, False))
    assert identity_of(planned.classifier) == identity_of(played.classifier) == "openai/judge@http://gpu/v1"
    assert planned.model.name == played.model.name == "offline/demo"


@pytest.mark.parametrize("deployed", ["offline/demo", OfflineModel()])
def test_the_deployed_model_decides_itself(project, deployed):
    found = project('config = { classifier_path = "judge", base_url = "http://gpu/v1" }')
    assert open_simulator(found, "bot", deployed=deployed).chatbot.classifier is None


def test_models_are_told_apart_by_their_endpoints_and_files(project, tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    found = project(
        f'rejected = "student"\nstudent = "checkpoint/{tmp_path}/model"\nuser_model = "openai/small"\n'
        f'user_config = {{ classifier_type = "checkpoint", classifier_path = "{tmp_path}/model" }}'
    ).settings("bot")
    before = identities(found, "bot")
    assert identities(found, "bot") == before
    monkeypatch.setenv("OPENAI_BASE_URL", "http://gpu/v1")
    (tmp_path / "model" / "config.json").write_text('{"trained": "again"}')
    after = identities(found, "bot")
    assert {who for who in after if after[who] != before[who]} == {"user", "user decides", "student"}


@pytest.mark.parametrize(
    "judge", ['judge = "checkpoint/./not/there"', 'judge = "openai/j"\njudge_base_url = "nowhere"']
)
def test_a_judge_that_is_not_there_is_not_looked_for(project, judge):
    found = project(f"[autograms.bot.evaluation]\n{judge}").settings("bot")
    assert identities(found, "bot", of=["chatbot", "user"]) == {"chatbot": "offline/demo", "user": "offline/demo"}
    with pytest.raises(ModelError):
        identities(found, "bot", of=["judge"])


def test_wrong_rows_are_left_out_where_the_settings_say_so(project):
    found = project('scenarios = "cases.json"\nskip_bad_scenarios = true')
    with pytest.warns(UserWarning, match="scenario 2: num_turns"):
        assert len(scenarios_of(found, found.settings("bot"))) == 2


def test_a_sample_is_drawn(project):
    found = project('scenarios = "cases.json"\nsample = { n = 2, seed = 1 }', "[{}, {}, {}, {}]")
    assert len(scenarios_of(found, found.settings("bot"))) == 2


def test_a_wrong_option_is_named_with_its_place(project):
    with pytest.raises(SettingsError, match=r"\[autograms.bot.config\].*max_tokenz"):
        open_simulator(project("config = { max_tokenz = 3 }"), "bot")


def test_branches_and_a_student_come_from_the_settings(project):
    found = project('branches = { at = "turn", n = 2 }\nrejected = "student"\nstudent = "openai/small"')
    simulator = open_simulator(found, "bot", unasked=True)
    assert (simulator.branches.at, simulator.branches.n, simulator.student.name) == ("turn", 2, "openai/small")


def test_the_engine_is_a_setting(project):
    assert open_simulator(project(), "bot").engine is None
    simulator = open_simulator(project('engine = "ray"\nray_address = "h:6379"\nray_workers = 3'), "bot")
    assert simulator.engine == RayEngine("h:6379", 3)
    assert open_simulator(project('engine = "ray"'), "bot", deployed="offline/demo").engine is None
    with pytest.raises(SettingsError, match=r"engine.*'local' or 'ray'"):
        project('engine = "spark"').settings("bot")
