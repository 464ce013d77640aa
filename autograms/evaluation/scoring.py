"""One model on the held-out rows: its answers, its likelihoods, and the means of both.

What belongs here: scoring one model, and comparing two. What does not: files, reports and pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from autograms.evaluation.answers import Candidate, answer_with
from autograms.evaluation.likelihood import Likelihood, likelihoods
from autograms.evaluation.metrics import Estimate, estimate, exact_match, ratio, rouge_l, valid_object
from autograms.evaluation.rows import HeldOut
from autograms.settings import EvaluationSettings

if TYPE_CHECKING:
    from autograms.conversation.record import Memory

__all__ = ["Preference", "Scored", "better_by", "preference", "score_model", "summary"]


@dataclass(slots=True)
class Scored:
    """What one model did.

    Attributes:
        name: ``base``, ``sft`` or ``dpo``.
        answers: Its answer to each row.
        exact: For each row whether the answer is the expected one.
        rouge: For each row the answer's ROUGE-L.
        losses: For each row the likelihood of the expected answer; ``None`` where the model tells no likelihoods.
        pairs: For each preference pair the likelihoods of the chosen and the rejected answer; ``None`` likewise.
        cost_usd: What the answers cost in US dollars, ``None`` where a price is unknown.
        conversations: What the autogram and its users said to each other with this model deployed.
    """

    name: str
    answers: list[str]
    exact: list[float]
    rouge: list[float]
    losses: list[Likelihood] | None
    pairs: list[tuple[Likelihood, ...]] | None
    cost_usd: float | None = 0.0
    conversations: list[Memory] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Preference:
    """How a model tells chosen from rejected answers.

    Attributes:
        accuracy: Share of the pairs whose chosen answer it finds likelier, a token, than the rejected one.
        reward_accuracy: Share of the pairs in which training moved it towards the chosen answer.
        margin: Mean difference of the implicit rewards of both: beta times how much more likely than under the
            reference it finds the chosen answer, less the same of the rejected one.
    """

    accuracy: Estimate | None
    reward_accuracy: Estimate | None
    margin: Estimate | None


def score_model(
    name: str,
    model: Candidate,
    rows: Sequence[HeldOut],
    pairs: Sequence[HeldOut],
    settings: EvaluationSettings,
) -> Scored:
    """Ask one model all rows; in a folder, read too how likely it finds the expected, chosen and rejected answers."""
    batch_size = settings.batch_size
    answers = answer_with(model, rows, max_new_tokens=settings.max_new_tokens, batch_size=batch_size)
    losses = chances = None
    if isinstance(model, Path):
        together = likelihoods(model, [item.row for item in (*rows, *pairs)], batch_size=batch_size)
        losses, chances = [found[0] for found in together[: len(rows)]], together[len(rows) :]
    judged = list(zip(answers.texts, rows, strict=True))
    return Scored(
        name,
        answers.texts,
        [exact_match(answer, row.expected) for answer, row in judged],
        [rouge_l(answer, row.expected) for answer, row in judged],
        losses,
        chances,
        answers.cost_usd,
    )


def summary(scored: Scored, rows: Sequence[HeldOut], *, seed: int) -> dict[str, Estimate | None]:
    """Return the means of one model: ``eval_loss``, ``exact_match``, ``rouge_l``, ``agreement``, ``valid_json``.

    ``agreement`` is over the decisions alone, ``valid_json`` over the structured answers alone; ``None`` where there
    are none, and ``eval_loss`` where the model tells no likelihoods.
    """
    clusters = [row.cluster for row in rows]
    choices = [index for index, row in enumerate(rows) if row.kind == "choice"]
    objects = [index for index, row in enumerate(rows) if row.kind == "object"]
    valid = [valid_object(scored.answers[index], rows[index].schema) for index in objects]
    return {
        "eval_loss": None if scored.losses is None else _loss(scored.losses, clusters, seed),
        "exact_match": estimate(scored.exact, clusters, seed=seed),
        "rouge_l": estimate(scored.rouge, clusters, seed=seed),
        "agreement": estimate(
            [scored.exact[index] for index in choices], [clusters[index] for index in choices], seed=seed
        ),
        "valid_json": estimate(valid, [clusters[index] for index in objects], seed=seed),
    }


def _loss(losses: Sequence[Likelihood], clusters: Sequence[str], seed: int) -> Estimate | None:
    return ratio([-total for total, _ in losses], [float(count) for _, count in losses], clusters, seed=seed)


def preference(scored: Scored, reference: Scored, pairs: Sequence[HeldOut], *, beta: float, seed: int) -> Preference:
    """Return how a model tells chosen from rejected, beside a reference model; ``None`` without likelihoods.

    Args:
        scored: The model.
        reference: The model it was trained from.
        pairs: The held-out pairs.
        beta: ``beta`` of the training.
        seed: Seed of the intervals.
    """
    if scored.pairs is None:
        return Preference(None, None, None)
    clusters = [pair.cluster for pair in pairs]
    likelier = [chosen[0] / chosen[1] > rejected[0] / rejected[1] for chosen, rejected in scored.pairs]
    accuracy = estimate([float(found) for found in likelier], clusters, seed=seed)
    if reference.pairs is None:
        return Preference(accuracy, None, None)
    chances = [chosen[0] - rejected[0] for chosen, rejected in scored.pairs]
    before = [chosen[0] - rejected[0] for chosen, rejected in reference.pairs]
    margins = [beta * (now - then) for now, then in zip(chances, before, strict=True)]
    return Preference(
        accuracy,
        estimate([float(margin > 0) for margin in margins], clusters, seed=seed),
        estimate(margins, clusters, seed=seed),
    )


def better_by(scored: Scored, base: Scored, rows: Sequence[HeldOut], *, seed: int) -> Estimate | None:
    """Return by how much a model's answers are better than the base's, row by row.

    A row's score is exact match for a decision and ROUGE-L for everything else.
    """
    differences = []
    for index, row in enumerate(rows):
        now, then = (scored.exact, base.exact) if row.kind == "choice" else (scored.rouge, base.rouge)
        differences.append(now[index] - then[index])
    return estimate(differences, [row.cluster for row in rows], seed=seed)
