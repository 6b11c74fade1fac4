"""The search for the best student that fits: all of them, or those that Optuna asks for."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import CapacityError, ConfigError
from pipeline.config.size import SizeConfig
from pipeline.sizing.assessment import Assessment
from pipeline.sizing.journal import journal
from pipeline.sizing.space import ENUMERATED, Chosen, Space, key_of

ASKS = 20
"""Candidates that Optuna may propose for one that is trained; those that do not fit cost no training."""

Score = Callable[[Chosen, Assessment], float]
"""From a candidate to its accuracy on the validation split."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Scored:
    """A candidate, what it takes, and its accuracy after a short distillation."""

    chosen: Chosen
    assessment: Assessment
    accuracy: float


def search(
    space: Space, settings: SizeConfig, score: Score, seed: int, progress: Progress
) -> tuple[list[Scored], str]:
    """Score candidates that fit, and tell how they were found: "enumerate" or "optuna".

    Raises:
        ConfigError: more combinations than can be enumerated, which the build asks for.
        CapacityError: nothing fits.
    """
    small = space.count <= ENUMERATED
    if settings.search == "enumerate" and not small:
        raise ConfigError(
            f"size.search: {space.count} combinations are too many to enumerate, {ENUMERATED} is the most;"
            " leave fewer numbers open, or take 'optuna'"
        )
    if settings.search != "optuna" and small:
        fitting = list(_fitting(space))
        if settings.search == "enumerate" or len(fitting) <= settings.trials:
            return _enumerated(space, fitting, score, progress), "enumerate"
    return _optimized(space, settings, score, seed, progress), "optuna"


def _fitting(space: Space) -> Iterator[dict[str, int]]:
    """All that fit, no network twice."""
    seen: set[str] = set()
    for chosen in space.candidates():
        plain = space.canonical(chosen)
        if key_of(plain) not in seen and space.fitting(plain) is not None:
            yield plain
        seen.add(key_of(plain))


def _enumerated(
    space: Space, fitting: list[dict[str, int]], score: Score, progress: Progress
) -> list[Scored]:
    found = []
    for index, chosen in enumerate(fitting):
        progress("students that fit", index, len(fitting))
        assessment = space.fitting(chosen)
        assert assessment is not None
        found.append(Scored(chosen, assessment, score(chosen, assessment)))
    progress("students that fit", len(fitting), len(fitting))
    return _checked(found, space)


def _checked(found: list[Scored], space: Space) -> list[Scored]:
    if not found:
        raise CapacityError(
            f"size: no student fits; of {space.count} combinations were rejected {space.rejections()};"
            " open smaller choices, or ask for fewer frames a second"
        )
    return found


def _optimized(
    space: Space, settings: SizeConfig, score: Score, seed: int, progress: Progress
) -> list[Scored]:
    """Ask a tree-structured Parzen estimator (Bergstra et al., NIPS 2011), until `trials` are scored.

    Each question has a generator of its own, seeded by its number, so that a run that was killed asks the
    same questions again, and finds the scores that it has.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    name = f"{space.config.name} {space.digest} {seed}"
    with nullcontext() if settings.journal is None else journal(Path(settings.journal)) as storage:
        study = optuna.create_study(
            study_name=name, storage=storage, direction="maximize", load_if_exists=True
        )
    for number in range(ASKS * settings.trials):
        done = len(_finished(study))
        progress("students that fit", min(done, settings.trials), settings.trials)
        if done >= settings.trials:
            break
        study.sampler = optuna.samplers.TPESampler(seed=_seed(seed, number))
        _ask(study, space, score)
    found = []
    for chosen, accuracy in _finished(study).values():
        assessment = space.fitting(chosen)
        assert assessment is not None
        found.append(Scored(chosen, assessment, accuracy))
    return _checked(found, space)


def _seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _ask(study: Any, space: Space, score: Score) -> None:
    """One candidate: told to be infeasible, or scored."""
    from optuna.trial import TrialState

    trial = study.ask()
    picked = {
        key: values[trial.suggest_int(key, 0, len(values) - 1)] for key, values in space.choices.items()
    }
    chosen = space.canonical(picked)
    assessment = space.fitting(chosen)
    trial.set_constraint("fits", space.excess(chosen))
    if assessment is None:
        study.tell(trial, state=TrialState.PRUNED)
        return
    trial.set_user_attr("chosen", chosen)
    study.tell(trial, score(chosen, assessment))


def _finished(study: Any) -> dict[str, tuple[dict[str, int], float]]:
    """The candidates that are scored, and their scores."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    pairs = [(dict(trial.user_attrs["chosen"]), float(trial.value)) for trial in trials]
    return {key_of(chosen): (chosen, accuracy) for chosen, accuracy in pairs}


def best(found: list[Scored]) -> Scored:
    """The most accurate; of equals the one that takes the least of the board."""
    return max(found, key=lambda each: (each.accuracy, -each.assessment.share, key_of(each.chosen)))
