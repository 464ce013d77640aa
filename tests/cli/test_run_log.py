"""Dagster's log, told shortly."""

from __future__ import annotations

import io

from autograms.cli.run_log import RunLog

RUN = "2026-11-23 06:19:46 +0000 - dagster - {} - __ASSET_JOB - 8e0bf328-f208-44bb-bdd1-34f2fd0d95b7 - {}"


def told(*lines: str, status: int = 0) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    log = RunLog(out, err)
    log.feed(lines)
    return log.close(status), out.getvalue(), err.getvalue()


def test_what_an_asset_says() -> None:
    line = RUN.format("INFO", "sft_model - step 3/9 | loss 0.5")
    assert told(line) == (0, "sft_model              step 3/9 | loss 0.5\n", "")


def test_events_and_strays_are_left_out() -> None:
    event = RUN.format("DEBUG", "123 - sft_model - STEP_START - Started execution.")
    opened = RUN.format("INFO", "sft_model - [pipes] external process successfully opened dagster pipes.")
    assert told("some warning", event, opened, RUN.format("DEBUG", "123 - RUN_SUCCESS - Finished.")) == (0, "", "")


def test_warnings_are_marked() -> None:
    assert told(RUN.format("WARNING", "scenarios - odd"))[1] == "scenarios              warning: odd\n"


def test_a_clear_failure_is_one_message_and_status_2() -> None:
    lines = [
        RUN.format("ERROR", '99 - scenarios - STEP_FAILURE - Execution of step "scenarios" failed.'),
        "",
        "dagster._core.definitions.events.Failure: no such file",
        "  a second line",
        "",
        "Stack Trace:",
        '  File "x.py", line 1',
        RUN.format("ERROR", "sft_dataset - Dependencies for step sft_dataset failed: ['scenarios']. Not executing."),
        RUN.format("ERROR", '98 - RUN_FAILURE - Execution of run failed. Steps failed: ["scenarios"].'),
        "dagster._core.definitions.events.Failure: no such file",
        "Error: Materialization failed.",
    ]
    assert told(*lines, status=1) == (2, "", "error: scenarios: no such file\n  a second line\n")


def test_a_mistake_keeps_its_traceback_and_status() -> None:
    lines = [
        RUN.format("ERROR", '99 - scenarios - STEP_FAILURE - Execution of step "scenarios" failed.'),
        "dagster._core.errors.DagsterExecutionStepExecutionError: Error occurred",
        "ZeroDivisionError: division by zero",
    ]
    status, out, err = told(*lines, status=1)
    assert (status, out) == (1, "")
    assert "ZeroDivisionError" in err


def test_what_dagster_refuses_is_one_message() -> None:
    lines = ["Traceback (most recent call last):", "dagster._core.errors.DagsterInvalidSubsetError: no asset 'x'"]
    assert told(*lines, status=1) == (2, "", "error: Dagster: no asset 'x'\n")


def test_an_unknown_end_shows_what_there_was() -> None:
    assert told("Killed", status=137) == (137, "", "Killed\n")
