def test_calls_of_tools_are_shown_in_conversations_and_rows():
    from autograms.datasets import build_sft
    from autograms.settings import DatasetSettings
    from autograms_assets import datasets, memories
    from tests.programs import bot, talk

    program = """
    def look(at: str) -> int:
        return len(at)

    def chatbot():
        reply_instruction("Look.", tools=[look])
    """
    calls = {"tool_calls": [{"name": "look", "arguments": {"at": "tea"}}]}
    _, memory = talk(bot(program, [calls, "Three."]), ["How long is it?"])
    shown = memories._as_markdown(memory).replace("\\", "")
    assert '**assistant:** calls look(at="tea")' in shown
    assert "**tool:** 3" in shown
    rows = build_sft([memory], DatasetSettings(validation_fraction=0)).table.to_pylist()
    called, answered = (datasets._as_markdown(row, ("completion",)).replace("\\", "") for row in rows)
    assert '**completion:** calls look(at="tea")' in called
    assert "**tool:** 3" in answered
