from __future__ import annotations

from pathlib import Path

import pytest


@pytest.mark.long
def test_packed_rows_do_not_see_each_other(tiny: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    model = AutoModelForCausalLM.from_pretrained(tiny).eval()
    first, second = [5, 6, 7, 8, 9], [20, 21, 22, 23]
    row = {"input_ids": first + second, "labels": first + second, "seq_lengths": [5, 4]}
    batch = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True)([row])
    labels = batch.pop("labels")
    with torch.inference_mode():
        packed = model(**batch, use_cache=False).logits[0]
        apart = torch.cat([model(input_ids=torch.tensor([ids])).logits[0] for ids in (first, second)])
    assert torch.allclose(packed, apart, atol=1e-4)
    assert labels[0].tolist() == [-100, *first[1:], -100, *second[1:]]
