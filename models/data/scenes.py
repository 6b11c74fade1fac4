"""Generated scenes with templated questions and their answers, after CLEVR (arXiv:1612.06890).

A scene is a image of 3 by 3 cells of 4 by 4 pixels. Some cells hold an object, a glyph of 3 by 3 pixels in
some place of its cell, with a colour and a shape. A question comes from one of five templates, is encoded as
`QUESTION_BITS` flags, and has one of `ANSWERS`. Everything depends on the seed alone.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.data.dataset import Split

GRID, CELL, GLYPH = 3, 4, 3
COLOURS = {"red": (220, 50, 40), "green": (40, 200, 60), "blue": (50, 70, 230), "yellow": (220, 200, 40)}
SHAPES = {"square": ("###", "###", "###"), "cross": (".#.", "###", ".#."), "wedge": ("#..", "##.", "###")}
ATTRIBUTES = (*COLOURS, *SHAPES)
COUNTS = ("0", "1", "2", "3", "4")
ANSWERS = ("no", "yes", *COUNTS, *COLOURS, *SHAPES)
TEMPLATES = ("exists", "count", "colour", "shape", "more")
"""Is there a {colour} {shape}? How many {attribute}? What colour is the {shape}? What shape is the {colour}
one? Are there more {attribute} than {attribute}? Attributes of the last are two colours or two shapes.
"""
QUESTION_BITS = len(TEMPLATES) + 2 * len(ATTRIBUTES)
"""One-hot template, then flags of the attributes in the first place of the question, then in the second."""
FEWEST, MOST = 3, 7
TEST_QUESTIONS = 1000
DIMMEST, NOISE = 0.6, 30


@dataclass(frozen=True)
class Question:
    """A template and the attributes, places in `ATTRIBUTES`, that it asks for."""

    template: str
    first: tuple[int, ...]
    second: tuple[int, ...] = ()

    def encoded(self) -> NDArray[np.bool_]:
        """The flags, (QUESTION_BITS,)."""
        flags = np.zeros(QUESTION_BITS, np.bool_)
        flags[TEMPLATES.index(self.template)] = True
        flags[[len(TEMPLATES) + each for each in self.first]] = True
        flags[[len(TEMPLATES) + len(ATTRIBUTES) + each for each in self.second]] = True
        return flags


@dataclass(frozen=True, eq=False)
class Scene:
    """What is in a image: for each object its cell, 0 to 8, colour and shape, int64 (objects,) each."""

    cells: NDArray[np.int64]
    colours: NDArray[np.int64]
    shapes: NDArray[np.int64]

    def having(self, attribute: int) -> NDArray[np.bool_]:
        """Which objects have an attribute, (objects,)."""
        number = attribute - len(COLOURS)
        found: NDArray[np.bool_] = self.colours == attribute if number < 0 else self.shapes == number
        return found

    def answer(self, question: Question) -> str | None:
        """The right answer; None where there is none among `ANSWERS`."""
        found = np.logical_and.reduce([self.having(each) for each in question.first])
        count = int(found.sum())
        match question.template:
            case "exists":
                return "yes" if count else "no"
            case "count":
                return str(count) if str(count) in COUNTS else None
            case "more":
                return "yes" if count > int(self.having(question.second[0]).sum()) else "no"
        if count != 1:
            return None
        values = self.colours if question.template == "colour" else self.shapes
        return tuple(COLOURS if question.template == "colour" else SHAPES)[int(values[found][0])]


@dataclass(frozen=True, eq=False)
class Questions:
    """Images with a question each.

    Attributes:
        images: uint8 (n, 12, 12, 3), red, green, blue.
        encoded: the questions' flags, bool (n, QUESTION_BITS).
        templates: places in `TEMPLATES`, int64 (n,).
        answers: places in `ANSWERS`, int64 (n,).
    """

    images: NDArray[np.uint8]
    encoded: NDArray[np.bool_]
    templates: NDArray[np.int64]
    answers: NDArray[np.int64]

    def frames(self) -> NDArray[np.uint8]:
        """What a network takes, uint8 (n, 3, 3, 67): the pixels of each cell, then the question, 0 or 255.

        The question stands beside every cell, so that a convolution of 1 by 1 sees both.
        """
        count = len(self.answers)
        cells = self.images.reshape(count, GRID, CELL, GRID, CELL, 3).transpose(0, 1, 3, 2, 4, 5)
        flags = np.broadcast_to(self.encoded[:, None, None], (count, GRID, GRID, QUESTION_BITS))
        pixels = cells.reshape(count, GRID, GRID, CELL * CELL * 3)
        return np.concatenate([pixels, flags.astype(np.uint8) * 255], axis=-1)


def templates_of(split: Split) -> NDArray[np.int64]:
    """Places in `TEMPLATES` of the questions in a split's frames, int64 (n,)."""
    flags = split.x.reshape(len(split), -1)[:, CELL * CELL * 3 :][:, : len(TEMPLATES)]
    return np.asarray(flags.argmax(axis=1), np.int64)


@lru_cache(maxsize=4)
def ask(count: int, seed: int, part: int = 0) -> Questions:
    """Generate `count` questions, each about a scene of its own; parts of a seed differ.

    Templates are equally frequent, but for chance, and so are the answers to each template.
    """
    rng = np.random.default_rng([seed, part])
    drawn = [_draw(rng) for _ in range(count)]
    return Questions(
        np.stack([_image(scene, rng) for scene, _, _ in drawn]),
        np.stack([question.encoded() for _, question, _ in drawn]),
        np.array([TEMPLATES.index(question.template) for _, question, _ in drawn]),
        np.array([ANSWERS.index(answer) for _, _, answer in drawn]),
    )


def _draw(rng: np.random.Generator) -> tuple[Scene, Question, str]:
    """Choose a question and its answer first, then scenes until one fits: no answer is likelier."""
    question = _question(rng)
    wanted = str(rng.choice(_answers(question.template)))
    while True:
        objects = int(rng.integers(FEWEST, MOST + 1))
        scene = Scene(
            rng.permutation(GRID * GRID)[:objects],
            rng.integers(0, len(COLOURS), objects),
            rng.integers(0, len(SHAPES), objects),
        )
        if scene.answer(question) == wanted:
            return scene, question, wanted


def _question(rng: np.random.Generator) -> Question:
    template = TEMPLATES[rng.integers(len(TEMPLATES))]
    colours = rng.permutation(len(COLOURS)).tolist()
    shapes = (len(COLOURS) + rng.permutation(len(SHAPES))).tolist()
    either = colours if rng.random() < 0.5 else shapes
    match template:
        case "exists":
            return Question(template, (colours[0], shapes[0]))
        case "colour":
            return Question(template, (shapes[0],))
        case "shape":
            return Question(template, (colours[0],))
        case "more":
            return Question(template, (either[0],), (either[1],))
    return Question(template, (either[0],))


def _answers(template: str) -> tuple[str, ...]:
    """All answers that a template may have."""
    kinds = {"count": COUNTS, "colour": tuple(COLOURS), "shape": tuple(SHAPES)}
    return kinds.get(template, ("no", "yes"))


def _image(scene: Scene, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw it, uint8 (12, 12, 3): objects more or less bright, on dark noise."""
    image = rng.integers(0, NOISE, (GRID * CELL, GRID * CELL, 3)).astype(np.uint8)
    palette = np.array(list(COLOURS.values()))
    glyphs = np.array([[[mark == "#" for mark in row] for row in rows] for rows in SHAPES.values()])
    for cell, colour, shape in zip(scene.cells, scene.colours, scene.shapes, strict=True):
        row, column = np.array(divmod(cell, GRID)) * CELL + rng.integers(0, CELL - GLYPH + 1, 2)
        shade = (palette[colour] * rng.uniform(DIMMEST, 1)).astype(np.uint8)
        image[row : row + GLYPH, column : column + GLYPH][glyphs[shape]] = shade
    return image
