"""``autograms scenarios``: what it writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

from autograms.simulation.scenarios import load_scenarios
from tests.cli.conftest import Run, assert_one_message
from tests.endpoint import Endpoint


def test_scenarios_are_written_to_a_file(run: Run, endpoint: Endpoint, tmp_path: Path) -> None:
    wishes = [{"wish": "a refund"}, {"wish": "a refund"}, {"wish": "an invoice by post"}]
    endpoint.script(answers=[{"last": "Write", "answer": {"scenarios": wishes}}])
    output = tmp_path / "scenarios" / "shop.json"
    command = ("scenarios", "--description", "a shop", "--fields", "wish", "--count", 2, "--output", output)
    ended = run(*command, "--model", "openai/test", "--base_url", endpoint.url)
    assert ended.status == 0, ended.err
    assert "wrote 2 scenarios" in ended.out
    assert [each.user_kwargs["wish"] for each in load_scenarios(output)] == ["a refund", "an invoice by post"]
    assert_one_message(run(*command, "--model", "openai/test"), "--allow_overwrite")


def test_fields_are_asked_for_before_anything_is_paid(run: Run, tmp_path: Path) -> None:
    ended = run("scenarios", "--description", "a shop", "--output", tmp_path / "shop.json", "--model", "offline/demo")
    assert_one_message(ended, "--fields")
