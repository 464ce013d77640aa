"""The models that ``autograms evaluate`` compares: from its flags to folders, and to models at an endpoint.

What does not belong here: models of a project's storage (``stored_models``), and evaluating.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autograms.cli.configuration import read_openai_key
from autograms.errors import SettingsError

if TYPE_CHECKING:
    from autograms.evaluation import Candidate

__all__ = ["Candidates"]

_AT_ENDPOINT = "openai/"


class Candidates:
    """The models that the flags name, else those that ``finetune`` left in the simulation's folder.

    A flag names a model's folder, a folder that stands for an endpoint's model, or ``openai/NAME``.

    Args:
        save_dir: The simulation's folder.
        base_url: URL of the endpoint that is asked.
        api_key_file: File with its key; the environment's where unset.
    """

    def __init__(self, save_dir: Path, base_url: str | None, api_key_file: Path | None) -> None:
        self._save_dir, self._base_url = save_dir, base_url
        self._api_key = read_openai_key(api_key_file)

    def sft(self, given: str | None) -> Candidate:
        """Return the SFT model.

        Raises:
            SettingsError: Where there is none.
        """
        return self._found(given or str(self._save_dir / "sft_model"), "--sft_model", "autograms finetune")

    def dpo(self, given: str | None) -> Candidate | None:
        """Return the DPO model, ``None`` where no flag names one and none was trained.

        Raises:
            SettingsError: Where the one that the flag names is not there.
        """
        if given is None:
            folder = self._save_dir / "dpo_model"
            if not any((folder / file).is_file() for file in ("config.json", "model.json")):
                return None
            given = str(folder)
        return self._found(given, "--dpo_model", "autograms finetune --finetuning_type dpo")

    def base(self, given: str | None, sft: str | None) -> Candidate:
        """Return what the SFT model was trained from, as its folder says where no flag does.

        Raises:
            SettingsError: Where nothing says it.
        """
        from autograms.finetuning import read_openai_result, read_result

        if given is not None:
            return Path(given) if not given.startswith(_AT_ENDPOINT) else self._asked(given)
        if sft is not None and sft.startswith(_AT_ENDPOINT):
            raise SettingsError(f"--base is missing: name the model that {sft} was made from, such as openai/NAME")
        folder = Path(sft) if sft is not None else self._save_dir / "sft_model"
        at_endpoint = read_openai_result(folder)
        if at_endpoint is not None:
            return self._asked(_AT_ENDPOINT + at_endpoint.base)
        student = folder / "base"
        return student if student.is_dir() else Path(read_result(folder).base)

    def _found(self, given: str, flag: str, remedy: str) -> Candidate:
        from autograms.finetuning import read_openai_result

        if given.startswith(_AT_ENDPOINT):
            return self._asked(given)
        folder = Path(given)
        at_endpoint = read_openai_result(folder)
        if at_endpoint is not None:
            return self._asked(_AT_ENDPOINT + at_endpoint.model)
        if not (folder / "config.json").is_file():
            raise SettingsError(
                f"no model at {folder}: expected a Hugging Face model folder; name one with {flag}, or run {remedy}"
            )
        return folder

    def _asked(self, name: str) -> Candidate:
        from autograms.models import resolve_model

        return resolve_model(name, base_url=self._base_url, api_key=self._api_key)
