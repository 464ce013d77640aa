import os
from pathlib import Path

import pytest

from autograms.models import files
from autograms.models.files import model_files, model_version, tokenizer_version

TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "tokenizer.model", "vocab.json", "merges.txt", "added_tokens.json"),
    *("special_tokens_map.json", "chat_template.jinja"),
)
OTHERS = ("generation_config.json", "model-00001.safetensors", "model.safetensors.index.json", "adapter_config.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("config.json", *TOKENIZER, *OTHERS, "README.md", "training.json", "loss.png", "pytorch_model.bin"):
        (tmp_path / name).write_text("1")
    return tmp_path


@pytest.mark.parametrize("name", ["config.json", *TOKENIZER, *OTHERS])
def test_each_of_a_models_files_counts(folder: Path, name: str) -> None:
    before = model_version(folder), tokenizer_version(folder)
    (folder / name).write_text("2 and more")
    assert model_version(folder) != before[0]
    assert (tokenizer_version(folder) != before[1]) == (name not in OTHERS)


def test_what_is_no_part_of_the_model_does_not_count(folder: Path) -> None:
    before = model_version(folder)
    for name in ("README.md", "training.json", "loss.png", "pytorch_model.bin"):
        (folder / name).write_text("2 and more")
    assert model_version(folder) == before
    assert {path.name for path in model_files(folder)} == {"config.json", *TOKENIZER, *OTHERS}


def test_large_weights_are_known_without_reading_them_whole(folder: Path) -> None:
    weights, size = folder / "model-00001.safetensors", 64 * 1024 * 1024 + 1

    def version(place: int, byte: bytes, mtime: int) -> str:
        with weights.open("r+b") as file:  # a file with holes takes no room
            file.truncate(size)
            file.seek(place)
            file.write(byte)
        os.utime(weights, ns=(mtime, mtime))
        files._content.cache_clear()  # as another process
        return model_version(folder)

    first = version(0, b"a", 1)
    assert version(size // 2, b"a", 1) == first
    assert len({first, version(0, b"b", 1), version(size - 1, b"c", 1), version(size - 1, b"c", 2)}) == 4


def test_a_model_of_the_hub_goes_by_its_name() -> None:
    assert model_version("nobody/nothing") == tokenizer_version("nobody/nothing") == "nobody/nothing"
