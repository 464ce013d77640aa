from __future__ import annotations

import asyncio
import math
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

from autograms.errors import ModelError, ModelNameError
from autograms.models import CheckpointModel, Reply, Request
from autograms.models.base import identity_of
from autograms.models.local import Generation

TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}"
    "{% if message['content'] == 'forbidden' %}{{ raise_exception('not that') }}{% endif %}"
    "<|{{ message['role'] }}|>"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}<|end|>{% endgeneration %}"
    "{% else %}{{ message['content'] }}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
ROLES = ["<|system|>", "<|user|>", "<|assistant|>", "<|tool|>"]
CONTEXT = 128


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with random weights and a byte-level tokenizer."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|pad|>", "<|end|>", *ROLES],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    core.train_from_iterator(["Where is my parcel? It is on its way."] * 3, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<|pad|>", eos_token="<|end|>")
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        initializer_range=0.3,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    path = tmp_path_factory.mktemp("tiny")
    LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(folder: Path) -> CheckpointModel:
    return CheckpointModel(folder, max_tokens=12)


def asked(*texts: str, **options: Any) -> Request:
    roles = ("user", "assistant")
    messages = [{"role": roles[index % 2], "content": text} for index, text in enumerate(texts)]
    return Request(options.pop("kind", "text"), messages, **options)


def gather(model: CheckpointModel, *requests: Request) -> list[Any]:
    async def main() -> list[Any]:
        return await asyncio.gather(*[model.complete(request) for request in requests], return_exceptions=True)

    return asyncio.run(main())


def one(model: CheckpointModel, request: Request) -> Reply:
    (reply,) = gather(model, request)
    if isinstance(reply, BaseException):
        raise reply
    return reply


TEXTS = [f"Where is my parcel{' please' * (number % 7)} {number}?" for number in range(20)]


def test_a_batch_gives_what_single_requests_give(model: CheckpointModel) -> None:
    single = [one(model, asked(text)) for text in TEXTS]
    together = gather(model, *[asked(text) for text in TEXTS])
    assert together == single
    assert len({reply.text for reply in single}) > 5


def test_requests_that_arrive_together_share_a_batch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = CheckpointModel(folder, max_tokens=2, batch_size=8)
    one(model, asked("load"))
    assert model._local is not None
    sizes: list[int] = []
    generate = model._local._generate

    def counted(prompts: Any, generation: Generation) -> Any:
        sizes.append(len(prompts))
        return generate(prompts, generation)

    monkeypatch.setattr(model._local, "_generate", counted)
    gather(model, *[asked(text) for text in TEXTS])
    assert sum(sizes) == 20
    assert max(sizes) == 8
    assert len(sizes) <= 4


def test_usage_counts_tokens_and_costs_nothing(model: CheckpointModel) -> None:
    reply = one(model, asked("Hello", params={"max_tokens": 5}))
    assert reply.input_tokens > 3
    assert 1 <= reply.output_tokens <= 5
    assert reply.cost_usd == 0.0
    assert reply.model == model.name


def test_special_tokens_are_not_in_the_text(model: CheckpointModel) -> None:
    assert not any("<|" in reply.text for reply in gather(model, *[asked(text) for text in TEXTS]))


def test_a_stop_text_ends_the_answer_before_it(model: CheckpointModel) -> None:
    whole = one(model, asked("Hello")).text
    stop = whole[4:6]
    assert one(model, asked("Hello", params={"stop": stop})).text == whole.partition(stop)[0]


def test_a_seed_repeats_a_draw(model: CheckpointModel) -> None:
    drawn = [one(model, asked("Hello", params={"temperature": 1.5, "seed": seed})).text for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_different_keywords_do_not_share_an_answer(model: CheckpointModel) -> None:
    short, long = gather(model, asked("Hello", params={"max_tokens": 1}), asked("Hello", params={"max_tokens": 6}))
    assert short.output_tokens == 1
    assert long == one(model, asked("Hello", params={"max_tokens": 6}))


def test_a_keyword_without_effect_is_warned_about(model: CheckpointModel) -> None:
    with pytest.warns(UserWarning, match="presence_penalty"):
        one(model, asked("Hello", params={"presence_penalty": 0.5}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one(model, asked("Hello", params={"logprobs": True, "top_logprobs": 20, "n": 1}))


def test_a_choice_is_the_likeliest_answer(model: CheckpointModel, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    choices = ("Yes", "No", "It is on its way", "Perhaps later")
    reply = one(model, asked("Is it here?", kind="choice", choices=choices))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    plain = AutoModelForCausalLM.from_pretrained(folder)
    prompt = tokenizer("<|user|>Is it here?<|end|><|assistant|>", return_tensors="pt").input_ids
    scores = []
    for choice in choices:
        ids = tokenizer(f"<|user|>Is it here?<|end|><|assistant|>{choice}<|end|>", return_tensors="pt").input_ids
        likelihoods = torch.log_softmax(plain(ids).logits[0], -1).detach()
        start = prompt.shape[1]
        scores.append(sum(float(likelihoods[at - 1, ids[0, at]]) for at in range(start, ids.shape[1])))
    weights = [math.exp(score - max(scores)) for score in scores]
    assert reply.text == choices[scores.index(max(scores))]
    assert reply.probabilities == pytest.approx([weight / sum(weights) for weight in weights], abs=1e-4)


def test_choices_in_a_batch_are_those_asked_alone(model: CheckpointModel) -> None:
    requests = [asked(text, kind="choice", choices=("Yes", "No", f"Maybe {len(text)}")) for text in TEXTS]
    together = gather(model, *requests, asked("Hello"))
    for request, reply in zip(requests, together, strict=False):
        alone = one(model, request)
        assert reply.text == alone.text
        assert reply.text in request.choices
        assert reply.probabilities == pytest.approx(alone.probabilities, abs=1e-4)


def test_messages_that_the_template_refuses_fail_alone(model: CheckpointModel) -> None:
    refused = Request("text", [{"role": "tool", "content": "x"}])
    good, bad = gather(model, asked("Hello"), refused)
    assert isinstance(good, Reply)
    assert isinstance(bad, ModelError)
    assert "no tools here" in str(bad)


def test_a_choice_that_the_template_refuses_fails_alone(model: CheckpointModel) -> None:
    choices = {"kind": "choice", "choices": ["yes", "no"]}
    good, bad = gather(model, asked("Hello", **choices), asked("Hello", **choices | {"choices": ["yes", "forbidden"]}))
    assert isinstance(good, Reply)
    assert isinstance(bad, ModelError)
    assert "not that" in str(bad)


def test_a_prompt_beyond_the_context_is_not_cut(model: CheckpointModel) -> None:
    with pytest.raises(ModelError, match=f"the model's context {CONTEXT}"):
        one(model, asked("word " * 400))


def test_an_answer_ends_at_the_context(folder: Path) -> None:
    reply = one(CheckpointModel(folder, max_tokens=10_000), asked("word " * 10))
    assert reply.input_tokens + reply.output_tokens <= CONTEXT


def test_another_model_cannot_be_asked(model: CheckpointModel) -> None:
    with pytest.raises(ModelNameError, match="gpt-4o"):
        one(model, asked("Hello", model="gpt-4o"))


def test_a_cancelled_request_holds_up_no_other(folder: Path) -> None:
    model = CheckpointModel(folder, max_tokens=4)

    async def main() -> Reply:
        cancelled = asyncio.create_task(model.complete(asked("one")))
        other = asyncio.create_task(model.complete(asked("two")))
        await asyncio.sleep(0)
        cancelled.cancel()
        return await other

    assert asyncio.run(main()) == one(model, asked("two"))


def test_it_is_loaded_again_after_close(folder: Path) -> None:
    model = CheckpointModel(folder, max_tokens=4)

    async def main() -> list[Reply]:
        replies = []
        for _ in range(2):
            replies.append(await model.complete(asked("Hello")))
            await model.close()
            assert model._local is None
        return replies

    first, second = asyncio.run(main())
    assert first == second


def test_it_has_no_embeddings(model: CheckpointModel) -> None:
    with pytest.raises(ModelError, match="embedding"):
        asyncio.run(model.embed(["x"]))


def test_a_folder_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelNameError, match="is not a model that can be loaded") as raised:
        one(CheckpointModel(tmp_path), asked("Hello"))
    assert str(tmp_path) in str(raised.value)


def test_weights_in_a_pickle_are_refused(folder: Path, tmp_path: Path) -> None:
    import torch

    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelNameError, match="safetensors"):
        one(CheckpointModel(tmp_path), asked("Hello"))


def test_a_name_that_the_hub_does_not_give_is_named() -> None:
    with pytest.raises(ModelNameError, match="'nobody/nothing' is neither a folder nor a model of the hub"):
        one(CheckpointModel("nobody/nothing"), asked("Hello"))


def test_loading_says_nothing(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from transformers.utils import logging

    logging.enable_progress_bar()
    one(CheckpointModel(folder), asked("Hello", params={"max_tokens": 1}))
    assert capfd.readouterr() == ("", "")
    assert logging.is_progress_bar_enabled()


def test_a_model_without_a_template_is_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        if file.suffix != ".jinja":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ModelError, match="chat template"):
        one(CheckpointModel(tmp_path), asked("Hello"))


@pytest.mark.parametrize("params", [{"temperature": "hot"}, {"max_tokens": "many"}, {"stop": 3}])
def test_wrong_keywords_are_errors(params: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="wrong form"):
        Generation.from_params(params, max_tokens=5)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"top_p": 5}, "top_p=5.0 .* from 0 to 1"),
        ({"top_p": math.nan}, "top_p=nan .* from 0 to 1"),
        ({"temperature": -1}, "temperature=-1.0 .* 0 or more"),
        ({"temperature": math.inf}, "temperature=inf .* 0 or more"),
        ({"max_tokens": 0}, "max_tokens=0 .* 1 or more"),
        ({"max_completion_tokens": -3}, "max_tokens=-3 .* 1 or more"),
        ({"stop": ["end", ""]}, "stop=.* not empty"),
        ({"stop": [1]}, "stop=.* texts"),
        ({"seed": 2**64}, "seed=18446744073709551616 .* 64 bits"),
    ],
)
def test_keywords_out_of_range_are_errors(params: dict[str, Any], expected: str) -> None:
    with pytest.raises(ModelError, match=expected):
        Generation.from_params(params, max_tokens=5)


def test_keywords_without_value_are_the_defaults() -> None:
    names = ("max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "seed")
    assert Generation.from_params(dict.fromkeys(names), max_tokens=5) == Generation(5)


def test_a_temperature_of_nearly_nothing_is_the_likeliest_answer(model: CheckpointModel) -> None:
    cold = one(model, asked("Hello", params={"temperature": 1e-40, "seed": 1}))
    assert cold.text == one(model, asked("Hello")).text


def test_a_group_that_fails_fails_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = CheckpointModel(folder, max_tokens=2)
    one(model, asked("load"))
    assert model._local is not None
    generate = model._local._generate

    def failing(prompts: Any, generation: Generation) -> Any:
        if generation.seed == 13:
            raise RuntimeError("out of memory")
        return generate(prompts, generation)

    monkeypatch.setattr(model._local, "_generate", failing)
    bad, text, choice = gather(
        model, asked("one", params={"seed": 13}), asked("two"), asked("three", kind="choice", choices=["yes", "no"])
    )
    assert str(bad) == "out of memory"
    assert isinstance(text, Reply)
    assert isinstance(choice, Reply)


def test_a_folder_that_holds_another_model_is_another_model(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    before = identity_of(CheckpointModel(tmp_path / "model"))
    (tmp_path / "model" / "README.md").write_text("a card")
    assert identity_of(CheckpointModel(tmp_path / "model")) == before
    with (tmp_path / "model" / "model.safetensors").open("ab") as file:
        file.write(b"0")
    assert identity_of(CheckpointModel(tmp_path / "model")) != before
    assert identity_of(CheckpointModel("nobody/nothing")) == "checkpoint/nobody/nothing"
