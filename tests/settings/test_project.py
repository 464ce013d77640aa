from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autograms.errors import SettingsError
from autograms.settings import Place, Project, find_project, load_project


def project(root: Path, settings: str = "", *, chatbots: tuple[str, ...] = ("desk",)) -> Project:
    (root / "chatbots").mkdir(exist_ok=True)
    for name in chatbots:
        (root / "chatbots" / f"{name}.py").write_text("")
    (root / "autograms.toml").write_text(settings)
    return load_project(root)


def test_a_project_without_settings_has_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "chatbots").mkdir()
    assert load_project(tmp_path).settings("desk").num_turns == 2


def test_an_autograms_table_wins_over_the_defaults(tmp_path: Path) -> None:
    found = project(tmp_path, "[defaults]\nnum_turns = 3\nseed = 5\n[autograms.desk]\nnum_turns = 4\n").settings("desk")
    assert (found.num_turns, found.seed) == (4, 5)


def test_nested_tables_are_laid_over_key_by_key(tmp_path: Path) -> None:
    text = "[defaults.sft]\nmax_steps = 7\nseed = 1\n[autograms.desk.sft]\nseed = 2\n"
    found = project(tmp_path, text).settings("desk").sft
    assert (found.max_steps, found.seed) == (7, 2)


KEYS = st.sampled_from(("num_turns", "num_examples", "concurrency"))
TABLES = st.dictionaries(KEYS, st.integers(1, 99))


@given(defaults=TABLES, table=TABLES)
def test_each_key_is_the_tables_else_the_defaults_else_the_models(
    defaults: dict[str, int], table: dict[str, int]
) -> None:
    found = Project(Path(), {**defaults}, {"desk": table}).settings("desk")
    plain = Project(Path(), {}, {}).settings("desk")
    for key in ("num_turns", "num_examples", "concurrency"):
        assert getattr(found, key) == table.get(key, defaults.get(key, getattr(plain, key)))


def test_laying_over_changes_no_defaults(tmp_path: Path) -> None:
    both = project(tmp_path, "[defaults.sft]\nseed = 1\n[autograms.desk.sft]\nseed = 2\n", chatbots=("desk", "kiosk"))
    assert both.settings("desk").sft.seed == 2
    assert both.settings("kiosk").sft.seed == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[defaults]\nnum_turn = 3\n", r"unknown key 'num_turn'.*did you mean 'num_turns'"),
        ("[autograms.desk.sft]\nmax_step = 3\n", r"\[autograms.desk\].sft: unknown key 'max_step'.*'max_steps'"),
        ("[autograms.desk]\nnum_turns = 0\n", r"num_turns: .*greater than or equal to 1.*got 0"),
        ('[autograms.desk]\nrejected = "student"\n', "set student"),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        project(tmp_path, text).settings("desk")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[default]\n", r"unknown table \[default\].*did you mean 'defaults'"),
        ("defaults = 3\n", r"expected a table \[defaults\]"),
        ("[autograms]\ndesk = 3\n", r"expected tables such as \[autograms.desk\]"),
        ("[defaults\n", "not valid TOML"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        project(tmp_path, text)


def test_a_table_of_no_autogram_is_warned_about(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"\[autograms.dekc\] has no effect.*did you mean 'desk'"):
        project(tmp_path, "[autograms.dekc]\nseed = 1\n")


def test_names_are_sorted_and_leave_helpers_out(tmp_path: Path) -> None:
    assert project(tmp_path, chatbots=("kiosk", "desk", "_shared")).names() == ["desk", "kiosk"]


def test_a_missing_autogram_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no autogram 'dekc'.*did you mean 'desk'.*autograms there: desk"):
        project(tmp_path).chatbot_file("dekc")


@pytest.mark.parametrize(("key", "method"), [("userbot", "userbot_file"), ("scenarios", "scenario_file")])
def test_a_missing_file_is_named_with_the_key(tmp_path: Path, key: str, method: str) -> None:
    found = project(tmp_path, f'[autograms.desk]\n{key} = "nowhere"\n')
    with pytest.raises(SettingsError, match=f"{key} names .*nowhere.*does not exist"):
        getattr(found, method)(found.settings("desk"))


def test_a_missing_folder_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="set AUTOGRAMS_PROJECT"):
        load_project(tmp_path / "nowhere")


def test_the_environment_names_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "autograms.toml").write_text("")
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(tmp_path))
    assert load_project().root == tmp_path.resolve()


def test_the_nearest_project_upward_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outer, inner = tmp_path, tmp_path / "work/mine"
    (inner / "chatbots/deep").mkdir(parents=True)
    (outer / "autograms.toml").write_text("")
    for folder, found in (("work/mine/chatbots/deep", inner), ("work/mine", inner), ("work", outer), (".", outer)):
        monkeypatch.chdir(tmp_path / folder)
        assert find_project() == Place(found, found)
        assert find_project().storage == str(found / "storage")
        assert load_project().root == found


def test_the_demo_is_found_where_there_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples/chatbots").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find_project() == Place(tmp_path / "examples", tmp_path)
    assert find_project().storage == str(tmp_path / "storage")


def test_a_named_project_leaves_its_results_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mine", "other"):
        (tmp_path / name / "chatbots").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "mine")
    monkeypatch.setenv("AUTOGRAMS_PROJECT", "../other")
    assert find_project() == Place(tmp_path / "other", tmp_path / "mine")


@pytest.mark.parametrize(
    ("given", "storage"), [("elsewhere", "{here}/elsewhere"), ("file:///x", "/x"), ("s3://bucket/a", "s3://bucket/a")]
)
def test_the_storage_that_is_named_is_taken_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, storage: str
) -> None:
    (tmp_path / "chatbots").mkdir()
    monkeypatch.chdir(tmp_path / "chatbots")
    monkeypatch.setenv("AUTOGRAMS_STORAGE", given)
    assert find_project().storage == storage.format(here=tmp_path / "chatbots")
    assert find_project().beside == tmp_path / "storage"


def test_no_project_says_what_was_looked_for_and_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError) as refused:
        load_project()
    for part in (str(tmp_path), "chatbots/", "autograms.toml", "examples", "autograms init", "AUTOGRAMS_PROJECT"):
        assert part in str(refused.value)


def test_a_named_folder_that_is_no_project_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOGRAMS_PROJECT", str(tmp_path))
    with pytest.raises(SettingsError, match=r"AUTOGRAMS_PROJECT=.* names no project"):
        load_project()


def test_data_files_are_paths_and_patterns(tmp_path: Path) -> None:
    for name in ("data/a.json", "data/b.json", "data/deep/c.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    found = project(tmp_path, '[autograms.desk]\nfiles = ["data/*.json", "data/**/*.csv", "data/a.json"]\n')
    names = [path.relative_to(tmp_path).as_posix() for path in found.data_files(found.settings("desk"))]
    assert names == ["data/a.json", "data/b.json", "data/deep/c.csv"]


@pytest.mark.parametrize("pattern", ["/etc/hostname", "../x.json", "data/../../x", "", "data/none.json", "data"])
def test_data_files_that_cannot_be(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "data").mkdir()
    found = project(tmp_path, f'[autograms.desk]\nfiles = ["{pattern}"]\n')
    with pytest.raises(SettingsError, match="files names"):
        found.data_files(found.settings("desk"))
