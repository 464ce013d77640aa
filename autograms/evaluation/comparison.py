"""``comparison.html``: what each model said in each held-out conversation, beside what the supervisors said.

One file that needs nothing else: no script, nothing from a network. All text comes from models and users, so it is
escaped, characters that do not show are replaced, and a policy in the page forbids scripts and requests on top. What
does not belong here: measuring.
"""

from __future__ import annotations

import difflib
import html
import json
from collections.abc import Mapping, Sequence

from autograms.conversation.record import Memory
from autograms.conversation.tool_calls import readable
from autograms.evaluation.agreement import said
from autograms.evaluation.metrics import Estimate
from autograms.evaluation.report import figure_rows

__all__ = ["render_comparison"]

_SHOWN = frozenset("\n\t\u200c\u200d")
_LONGEST_MARKED = 400
"""Words of a text up to which differences are marked; finding them takes time that grows with the square."""

_LONGEST_HEADING = 300

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --user: #8882; --bot: #4a7dff22; --good: #1a7f37; --bad: #b35900;
  --worst: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --good: #4ac26b; --bad: #e3a04f; --worst: #ff7b72; } }
* { box-sizing: border-box; }
body { font: 16px/1.45 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 110rem; }
h1 { font-size: 1.4rem; margin: 0 0 .5rem; }
h2 { font-size: 1rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h3 { font-size: .85rem; margin: 0 0 .4rem; }
table { border-collapse: collapse; margin: .5rem 0 1rem; }
.wide { overflow-x: auto; }
th, td { border-bottom: 1px solid var(--line); padding: .2rem .8rem .2rem 0; text-align: right; }
th:first-child { text-align: left; }
td { white-space: nowrap; }
section { border-top: 1px solid var(--line); padding: 1rem 0; }
.models { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(15rem, 100%), 1fr)); gap: .8rem; }
.turn { border-radius: .6rem; padding: .4rem .6rem; margin: 0 0 .4rem; white-space: pre-wrap; overflow-wrap: anywhere;
  max-height: 15rem; overflow-y: auto; }
.user { background: var(--user); margin-right: 1.5rem; }
.assistant { background: var(--bot); margin-left: 1.5rem; }
.tool { border: 1px dashed var(--line); font-size: .85rem; margin-left: 3rem; }
.note { font-size: .8rem; font-weight: normal; }
.same { color: var(--good); } .differs { color: var(--bad); } .failed { color: var(--worst); }
mark { background: #e3a04f66; color: inherit; border-radius: .2rem; }
label { display: inline-block; padding: .4rem 0; }
body:has(#only:checked) section.agreed { display: none; }
"""

_NAMES = {"base": "Base", "sft": "SFT", "dpo": "DPO"}
_SUPERVISOR = "Supervisor"


_ONLY = '<label><input type="checkbox" id="only"> only conversations in which a trained model differs</label>'
_NONE = "<p>In all of them the trained models say what the supervisor says.</p>"


def render_comparison(
    title: str,
    conversations: Mapping[str, Sequence[Memory]],
    supervised: Sequence[Memory],
    *,
    verdict: str = "",
    figures: Mapping[str, Mapping[str, Estimate | None]] | None = None,
) -> str:
    """Return the page.

    Args:
        title: What was evaluated.
        conversations: For each model (``base``, ``sft``, ``dpo``) its conversations in deployment.
        supervised: The conversations of the same scenarios under supervision; none where there are none.
        verdict: One sentence.
        figures: For each model: for each measure over the held-out rows its estimate.
    """
    columns = {_NAMES.get(key, key): _by_scenario(memories) for key, memories in conversations.items()}
    expected = _by_scenario(supervised)
    scenarios = list(dict.fromkeys(key for found in columns.values() for key in found))
    body = [f"<h1>{_text(title)}</h1>"]
    if verdict:
        body.append(f"<p>{_text(verdict)}.</p>")
    if figures:
        body.append(_figures(figures))
    body.append("<h2>Held-out conversations, with each model deployed</h2>")
    body.append(_summary(columns, expected, scenarios))
    sections = [_conversation(key, columns, expected.get(key)) for key in scenarios]
    if any(key in expected for key in scenarios):
        body.append('<p class="note">Marked: words that the supervisor did not say there.</p>')
        body.append(_NONE if all(section.startswith("<section class=agreed") for section in sections) else _ONLY)
    body += sections
    return _PAGE.format(title=_text(title), style=_STYLE, body="\n".join(body))


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def _by_scenario(memories: Sequence[Memory]) -> dict[str, Memory]:
    return {memory.scenario: memory for memory in memories}


def _figures(figures: Mapping[str, Mapping[str, Estimate | None]]) -> str:
    names = "".join(f"<th>{_text(_NAMES.get(key, key))}</th>" for key in figures)
    lines = [
        f"<tr><th>{_text(label)}</th>{''.join(f'<td>{_text(value)}</td>' for value in values)}</tr>"
        for label, values in figure_rows(figures)
    ]
    note = (
        "In brackets the 95 % interval, a bootstrap over conversations. The verdict's score is exact match for "
        "decisions, ROUGE-L for everything else."
    )
    table = f"<table><tr><th></th>{names}</tr>{''.join(lines)}</table>"
    return f'<h2>Held-out measures</h2><div class="wide">{table}</div><p class="note">{note}</p>'


def _summary(columns: Mapping[str, Mapping[str, Memory]], expected: Mapping[str, Memory], keys: Sequence[str]) -> str:
    rows = []
    for name, found in columns.items():
        agreed = sum(_state(found.get(key), expected.get(key)) == "same" for key in keys)
        failed = sum(memory.status == "failed" for memory in found.values())
        rows.append(f"<tr><th>{_text(name)}</th><td>{len(found)}</td><td>{agreed}</td><td>{failed}</td></tr>")
    head = "<tr><th></th><th>conversations</th><th>as supervised</th><th>failed</th></tr>"
    return f'<div class="wide"><table>{head}{"".join(rows)}</table></div>'


def _conversation(key: str, columns: Mapping[str, Mapping[str, Memory]], expected: Memory | None) -> str:
    states = {name: _state(found.get(key), expected) for name, found in columns.items()}
    cells = [_column(name, found.get(key), expected, states[name]) for name, found in columns.items()]
    if expected is not None:
        cells.append(_column(_SUPERVISOR, expected, None, ""))
    trained = [state for name, state in states.items() if name != _NAMES["base"]] or list(states.values())
    agreed = " class=agreed" if set(trained) == {"same"} else ""
    played = [expected, *(found.get(key) for found in columns.values())]
    about = next((_about(memory) for memory in played if memory is not None), "")
    head = f'<h2>{_text(key)} <span class="note">{about}</span></h2>'
    return f'<section{agreed}>{head}<div class="models">{"".join(cells)}</div></section>'


def _about(memory: Memory) -> str:
    """Return what the scenario hands to its programs, so that people know a conversation by more than its key."""
    try:
        scenario = json.loads(memory.scenario_data or "{}")
        given = {**scenario.get("chatbot_kwargs", {}), **scenario.get("user_kwargs", {})}
    except (ValueError, AttributeError, TypeError):
        return ""
    told = (f"{name}: {value if isinstance(value, str) else json.dumps(value)}" for name, value in given.items())
    return _text(" \u00b7 ".join(told)[:_LONGEST_HEADING])


def _column(name: str, memory: Memory | None, expected: Memory | None, state: str) -> str:
    note = {"same": "as supervised", "differs": "differs", "failed": "failed"}.get(state, "")
    parts = [f'<h3>{_text(name)} <span class="note {state}">{note}</span></h3>']
    wanted = said(expected) if expected is not None else None
    spoken = 0
    for turn in memory.transcript() if memory is not None else ():
        content = _text(readable(turn))
        if turn["role"] == "assistant" and "tool_calls" not in turn:
            if wanted is not None:
                content = _marked(turn["content"], wanted[spoken] if spoken < len(wanted) else "")
            spoken += 1
        parts.append(f'<div class="turn {turn["role"]}" dir="auto">{content}</div>')
    if memory is not None and memory.status == "failed":
        parts.append(f'<div class="turn failed">{_text(memory.error_message or memory.error or "failed")}</div>')
    return f"<div>{''.join(parts)}</div>"


def _state(memory: Memory | None, expected: Memory | None) -> str:
    if memory is None:
        return ""
    if memory.status == "failed":
        return "failed"
    if expected is None:
        return ""
    return "same" if said(memory) == said(expected) else "differs"


def _marked(text: str, expected: str) -> str:
    """Return a text as HTML, the words marked that the expected text does not have there."""
    words, wanted = text.split(" "), expected.split(" ")
    if text == expected or max(len(words), len(wanted)) > _LONGEST_MARKED:
        return _text(text)
    parts = []
    for kind, start, stop, _, _ in difflib.SequenceMatcher(None, words, wanted, autojunk=False).get_opcodes():
        piece = _text(" ".join(words[start:stop]))
        if start < stop:
            parts.append(piece if kind == "equal" else f"<mark>{piece}</mark>")
    return " ".join(parts)


def _text(text: str) -> str:
    shown = (character if character.isprintable() or character in _SHOWN else "\ufffd" for character in text)
    return html.escape("".join(shown))
