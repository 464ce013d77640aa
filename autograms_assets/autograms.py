"""The asset ``autogram``: a snapshot of a program's sources, and the fingerprint that everything after it rests on.

What does not belong here: running the program.
"""

from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa

from autograms.conversation.markdown import code, fenced
from autograms.errors import ProgramFileError, SettingsError
from autograms_assets.describe import PROGRAMS, described
from autograms_assets.failures import clear_failures
from autograms_assets.fingerprints import Program, value_version
from autograms_assets.opened import unnamed_files
from autograms_assets.partitions import AUTOGRAMS
from autograms_assets.pictures import inline_svg
from autograms_assets.reuse import AssetConfig, Made, Request, reuse_or_make
from autograms_assets.stored import Stored
from autograms_assets.workspace import Sources, Workspace

__all__ = ["autogram", "refuse_changed"]

_SCHEMA = pa.schema(
    [
        pa.field("role", pa.string(), nullable=False),
        pa.field("file", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("digest", pa.string(), nullable=False),
    ]
)
_LONGEST_SHOWN = 20_000
_NOT_NAMED = "a change of it makes nothing again; name it in the autogram's files, in autograms.toml"


@dg.asset(
    partitions_def=AUTOGRAMS,
    dagster_type=dg.Any,
    **described(PROGRAMS, "python"),
)
def autogram(
    context: dg.AssetExecutionContext, config: AssetConfig, workspace: dg.ResourceParam[Workspace]
) -> dg.MaterializeResult:
    """The program as it is now: its file, its userbot, the local modules that both import, and their data files.

    Its data version is the hash of the syntax trees: a comment or a blank line changes the snapshot and nothing after.
    """
    name = context.partition_key
    with clear_failures(workspace.storage):
        sources = workspace.sources(name)
        table = _table(sources)
        texts = dict(zip(table["file"].to_pylist(), table["source"].to_pylist(), strict=True))
        depends_on = {"sources": value_version([texts, sources.data] if sources.data else texts)}
        place, request = workspace.stored("autogram", name), Request.of(context, config)
        made = reuse_or_make(place, depends_on, lambda: _made(sources, table), request=request)
    opened = unnamed_files(sources, workspace.root)
    for file, source in opened.items():
        request.log.warning(f"{source} seems to open {file}: {_NOT_NAMED}")
    unnamed = {"files that are not named": f"{', '.join(opened)}: {_NOT_NAMED}"} if opened else {}
    return made._replace(metadata={**(made.metadata or {}), **unnamed})


def refuse_changed(name: str, sources: Sources, snapshot: Stored) -> None:
    """Refuse to run a program that is not the one in the snapshot, so that the lineage stays true.

    Raises:
        SettingsError: Where the program changed since; comments and layout do not count.
    """
    if sources.digest != snapshot.version:
        raise SettingsError(
            f"{sources.chatbot.files[0].path} (or a module or userbot of {name}) changed since its snapshot was "
            "taken; materialize the asset 'autogram' too, so that everything after it is made from the same program"
        )


def _made(sources: Sources, table: pa.Table) -> Made:
    entry = sources.chatbot.files[0]
    text = entry.text if len(entry.text) <= _LONGEST_SHOWN else entry.text[:_LONGEST_SHOWN] + "\n# ..."
    summary = {
        "rows": table.num_rows,
        "files": {"md": "\n".join(f"- {code(row['file'])} ({row['role']})" for row in table.to_pylist())},
        "lines": entry.text.count("\n"),
        **_flow(entry.path),
        "program": {"md": fenced(text, "python")},
    }
    return Made(sources.digest, summary, table=table)


def _flow(path: Path) -> dict[str, Any]:
    from autograms.program.flow import program_graph

    try:
        graph = program_graph(path)
    except ProgramFileError as error:
        return {"flow": f"not shown: {error}"}
    return {"flow": inline_svg(graph.svg(), f"flow of {path.stem}")}


def _table(sources: Sources) -> pa.Table:
    rows = _rows("chatbot", sources.chatbot)
    if sources.userbot is not None:
        rows += _rows("userbot", sources.userbot)
    rows += [{"role": "data", "file": name, "source": "", "digest": digest} for name, digest in sources.data.items()]
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def _rows(role: str, program: Program) -> list[dict[str, str]]:
    return [
        {
            "role": role if index == 0 else f"imported by the {role}",
            "file": file.name,
            "source": file.text,
            "digest": file.digest,
        }
        for index, file in enumerate(program.files)
    ]
