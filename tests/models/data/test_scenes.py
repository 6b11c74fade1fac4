"""Generated scenes: answers recomputed from what is drawn, balance, and dependence on the seed alone."""

import numpy as np

from models.data import DataSource, load_source
from models.data.scenes import (
    ANSWERS,
    ATTRIBUTES,
    COLOURS,
    QUESTION_BITS,
    SHAPES,
    TEMPLATES,
    Question,
    Scene,
    ask,
    templates_of,
)


def seen(picture):
    """Colour and shape of every object, read off the pixels of a picture (12, 12, 3)."""
    palette = np.array(list(COLOURS.values()))
    palette = palette / np.linalg.norm(palette, axis=1, keepdims=True)
    found = []
    for row in range(0, 12, 4):
        for column in range(0, 12, 4):
            cell = picture[row : row + 4, column : column + 4].astype(float)
            lit = cell.max(axis=-1) >= 60
            if not lit.any():
                continue
            colour = cell[lit].mean(axis=0)
            counts = {9: "square", 5: "cross", 6: "wedge"}
            named = list(COLOURS)[int((palette @ (colour / np.linalg.norm(colour))).argmax())]
            found.append((named, counts[int(lit.sum())]))
    return found


def answered(template, first, second, objects):
    def count(wanted):
        return sum(all(each in thing for each in wanted) for thing in objects)

    if template == "exists":
        return "yes" if count(first) else "no"
    if template == "count":
        return str(count(first))
    if template == "more":
        return "yes" if count(first) > count(second) else "no"
    (thing,) = [thing for thing in objects if first[0] in thing]
    return thing[0 if template == "colour" else 1]


def test_answers_follow_from_pictures_and_flags():
    asked = ask(300, seed=3)
    for picture, flags, template, answer in zip(
        asked.images, asked.encoded, asked.templates, asked.answers, strict=True
    ):
        assert flags[:5].tolist() == [place == template for place in range(5)]
        first, second = (
            [name for name, flag in zip(ATTRIBUTES, part, strict=True) if flag]
            for part in (flags[5:12], flags[12:])
        )
        assert answered(TEMPLATES[template], first, second, seen(picture)) == ANSWERS[answer]


def test_balance():
    asked = ask(2000, seed=1)
    counts = np.zeros((len(TEMPLATES), len(ANSWERS)))
    np.add.at(counts, (asked.templates, asked.answers), 1)
    assert counts.sum(axis=0).max() / 2000 < 0.25
    assert counts.max(axis=1).sum() / 2000 < 0.42
    assert (counts.sum(axis=1) > 320).all()


def test_frames_hold_the_picture_and_the_question_at_every_cell():
    asked = ask(4, seed=2)
    frames = asked.frames()
    assert frames.shape == (4, 3, 3, 48 + QUESTION_BITS) and frames.dtype == np.uint8
    for row, column in np.ndindex(3, 3):
        cell = asked.images[:, row * 4 : row * 4 + 4, column * 4 : column * 4 + 4]
        assert np.array_equal(frames[:, row, column, :48], cell.reshape(4, -1))
        assert np.array_equal(frames[:, row, column, 48:], asked.encoded * 255)


def test_the_seed_decides():
    first, other, part = ask(20, 5), ask(20, 6), ask(20, 5, part=1)
    ask.cache_clear()
    again = ask(20, 5)
    assert np.array_equal(first.images, again.images) and np.array_equal(first.answers, again.answers)
    assert not np.array_equal(first.images, other.images)
    assert not np.array_equal(first.images, part.images)


def test_a_data_set_of_them():
    found = load_source(DataSource("scenes", questions=40, validation_fraction=0.25), seed=3)
    assert (found.classes, found.input_shape) == (len(ANSWERS), (3, 3, 67))
    assert (len(found.train), len(found.validation), len(found.test)) == (30, 10, 1000)
    asked = ask(1000, 1, part=1)
    assert np.array_equal(found.test.x, asked.frames().reshape(1000, -1))
    assert np.array_equal(templates_of(found.test), asked.templates)


def test_questions_without_an_answer():
    scene = Scene(np.arange(5), np.zeros(5, np.int64), np.array([0, 0, 1, 1, 2]))
    red, square, wedge = 0, len(COLOURS), len(COLOURS) + len(SHAPES) - 1
    assert scene.answer(Question("count", (red,))) is None  # five
    assert scene.answer(Question("colour", (square,))) is None  # two of them
    assert scene.answer(Question("colour", (wedge,))) == "red"
    assert scene.answer(Question("more", (square,), (wedge,))) == "yes"
