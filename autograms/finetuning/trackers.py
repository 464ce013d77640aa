"""The trackers that a training reports to: TensorBoard, W&B, MLflow and whatever else transformers knows.

What belongs here: refusing one that is not there before anything is trained, and the place of TensorBoard's files. What
does not: reporting, which transformers does.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from autograms.errors import TrainingError, nearest

__all__ = ["LOGS", "keep_logs", "require_trackers", "set_log_folder"]

LOGS = "runs"
"""Folder of TensorBoard's files: in the job's folder while it trains, in the model's folder afterwards."""

_LOG_FOLDER = "TENSORBOARD_LOGGING_DIR"


def require_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that this process cannot report to.

    Args:
        names: The recipe's ``report_to``.

    Raises:
        TrainingError: Where transformers knows no such tracker, or its package is not installed.
    """
    if not names:
        return
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK

    for name in names:
        if name not in INTEGRATION_TO_CALLBACK:
            known = sorted(INTEGRATION_TO_CALLBACK)
            raise TrainingError(
                f"report_to names {name!r}, which is no tracker{nearest(name, known)} (expected some of: "
                f"{', '.join(known)})"
            )
        try:
            INTEGRATION_TO_CALLBACK[name]()
        except (RuntimeError, ImportError) as error:
            raise TrainingError(
                f"report_to names {name!r}, whose package is not installed where the training runs ({error}); install "
                "it there, or take the name out"
            ) from None


def set_log_folder(work: Path) -> None:
    """Have TensorBoard's files written into the job's folder, unless the environment names another one."""
    os.environ.setdefault(_LOG_FOLDER, str(work / LOGS))


def keep_logs(work: Path, model: Path) -> None:
    """Move TensorBoard's files, where there are any, from the job's folder into the finished model's."""
    if (work / LOGS).is_dir():
        shutil.rmtree(model / LOGS, ignore_errors=True)
        shutil.move(work / LOGS, model / LOGS)
