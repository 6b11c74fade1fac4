"""The students that a build file leaves open, and the search for the best one that fits."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import CapacityError, ConfigError
from hw.boards.boards import find
from pipeline.config.build import Build, SizeConfig
from pipeline.sizing.assessment import Assessment, assess
from pipeline.sizing.journal import journal
from pipeline.sizing.limits import TITLES, title_of

Chosen = Mapping[str, int]

ENUMERATED = 1000
"""The most combinations that are gone through one by one: some minutes of closed-form costs."""

ASKS = 20
"""Candidates that Optuna may propose for one that is trained; those that do not fit cost no training."""

Score = Callable[[Chosen, Assessment], float]
"""From a candidate to its accuracy on the validation split."""
Progress = Callable[[str, int, int], None]


def key_of(chosen: Chosen) -> str:
    """A candidate as text, the same for the same choices."""
    return ", ".join(f"{key}={value}" for key, value in sorted(chosen.items()))


@dataclass
class SearchSpace:
    """All combinations of a build's open numbers.

    `rejected` counts those that were found not to fit, by the limit that they exceed most, or by `shape`
    where the layers do not fit each other.
    """

    config: Build
    input_shape: tuple[int, ...]
    rejected: Counter[str] = field(default_factory=Counter)
    _known: dict[str, tuple[Assessment | None, float]] = field(default_factory=dict)

    @property
    def choices(self) -> dict[str, tuple[int, ...]]:
        """The open numbers and what each may be, in ascending order."""
        return {key: tuple(sorted(values)) for key, values in self.config.student.choices.items()}

    @property
    def count(self) -> int:
        """Number of combinations; those that differ only in a layer left out are counted each."""
        return prod(len(values) for values in self.choices.values())

    @property
    def digest(self) -> str:
        """Tells one search from another: all that scores depend on."""
        config = self.config.model_dump(mode="json", exclude={"verify"})
        return hashlib.sha256(json.dumps([config, self.input_shape]).encode()).hexdigest()[:16]

    def candidates(self) -> Iterator[dict[str, int]]:
        """All of them, in a fixed order."""
        choices = self.choices
        for values in product(*choices.values()):
            yield dict(zip(choices, values, strict=True))

    def canonical(self, chosen: Chosen) -> dict[str, int]:
        """The choice with every number of a layer left out at its least."""
        choices = self.choices
        present = {key.removesuffix("present"): value for key, value in chosen.items() if "present" in key}
        absent = tuple(layer for layer, value in present.items() if not value)
        return {key: choices[key][0] if key.startswith(absent) else value for key, value in chosen.items()}

    def fitting(self, chosen: Chosen) -> Assessment | None:
        """The candidate's assessment; None, counted once, where it does not fit."""
        return self._look(chosen)[0]

    def excess(self, chosen: Chosen) -> float:
        """By what share of its budget a candidate exceeds its worst limit; 0 where it fits."""
        return self._look(chosen)[1]

    def _look(self, chosen: Chosen) -> tuple[Assessment | None, float]:
        key = key_of(chosen)
        if key not in self._known:
            self._known[key] = self._assessed(chosen)
        return self._known[key]

    def _assessed(self, chosen: Chosen) -> tuple[Assessment | None, float]:
        try:
            found = assess(self.config.student.topology(self.input_shape, chosen), self.config)
        except (ConfigError, CapacityError) as error:
            self.rejected["shape" if isinstance(error, ConfigError) else "cycles"] += 1
            return None, 1.0
        if found.fits:
            return found, 0.0
        self.rejected[found.binding.name] += 1
        return None, found.binding.load - 1

    def rejections(self) -> str:
        """Why candidates were rejected, as text."""
        budget = find(self.config.board.name).budget
        titles = {name: title_of(name, budget) for name in TITLES} | {
            "shape": "layers that do not fit each other"
        }
        return ", ".join(f"{count} by {titles[name]}" for name, count in self.rejected.most_common())


@dataclass(frozen=True)
class Scored:
    """A candidate, what it takes, and its accuracy after a short distillation."""

    chosen: Chosen
    assessment: Assessment
    accuracy: float


def search(
    space: SearchSpace, settings: SizeConfig, score: Score, seed: int, progress: Progress
) -> tuple[list[Scored], str]:
    """Score candidates that fit, and tell how they were found: "enumerate" or "optuna".

    Raises `ConfigError`: more combinations than can be enumerated, which the build asks for. Raises
    `CapacityError`: nothing fits.
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
            scored = []
            for index, (chosen, found) in enumerate(fitting):
                progress("students that fit", index, len(fitting))
                scored.append(Scored(chosen, found, score(chosen, found)))
            progress("students that fit", len(fitting), len(fitting))
            return _checked(scored, space), "enumerate"
    return _optimized(space, settings, score, seed, progress), "optuna"


def _fitting(space: SearchSpace) -> Iterator[tuple[dict[str, int], Assessment]]:
    """All that fit, no network twice."""
    seen: set[str] = set()
    for chosen in space.candidates():
        plain = space.canonical(chosen)
        if key_of(plain) not in seen and (found := space.fitting(plain)) is not None:
            yield plain, found
        seen.add(key_of(plain))


def _checked(scored: list[Scored], space: SearchSpace) -> list[Scored]:
    if not scored:
        raise CapacityError(
            f"size: no student fits; of {space.count} combinations were rejected {space.rejections()};"
            " open smaller choices, or ask for fewer frames a second"
        )
    return scored


def _optimized(
    space: SearchSpace, settings: SizeConfig, score: Score, seed: int, progress: Progress
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
    found = [(chosen, space.fitting(chosen), accuracy) for chosen, accuracy in _finished(study).values()]
    return _checked([Scored(chosen, each, accuracy) for chosen, each, accuracy in found if each], space)


def _seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1)[0])


def _ask(study: Any, space: SearchSpace, score: Score) -> None:
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
