"""`[teacher]`: every kind of network, what training makes of the section, and what is wrong with it."""

from pathlib import Path

import pytest

from common.errors import ConfigError
from models.augmentation import Augmentation
from models.teachers import Cnn, Mlp, ResNet, SqueezeNet, SwishCnn
from models.teachers.trained import Trained
from pipeline.config.file import load

GOOD = (Path(__file__).parents[1] / "good.toml").read_text()
START, END = GOOD.index("[teacher]"), GOOD.index("[student]")
TRAINING = "epochs = 3\nbatch_size = 64\nlearning_rate = 1e-2\nweight_decay = 1e-3\n"


def section(tmp_path: Path, text: str) -> Trained:
    """The build file's `[teacher]`, replaced by `text` and loaded."""
    path = tmp_path / "x.toml"
    path.write_text(f"{GOOD[:START]}[teacher]\n{TRAINING}{text}\n\n{GOOD[END:]}")
    teacher = load(path).teacher
    assert isinstance(teacher, Trained)
    return teacher


NETWORKS = {
    'kind = "mlp", hidden = [32, 16]': Mlp((32, 16)),
    'kind = "cnn", blocks = [[8], [16, 16]]': Cnn(((8,), (16, 16))),
    'kind = "cnn", blocks = [[8]], dense = [32], dropout = 0.5': Cnn(((8,),), (32,), 0.5),
    'kind = "swish-cnn"': SwishCnn(),
    'kind = "resnet"': ResNet(),
    'kind = "resnet", channels = [8, 16], blocks = 1, stem_pool = true': ResNet((8, 16), 1, True),
    'kind = "squeezenet"': SqueezeNet(),
    'kind = "squeezenet", stem = 16, squeeze = [[4], [8]], dropout = 0.5': SqueezeNet(16, ((4,), (8,)), 0.5),
}


@pytest.mark.parametrize("text", NETWORKS)
def test_every_kind(text: str, tmp_path: Path) -> None:
    assert section(tmp_path, f"networks = [{{ {text} }}]") == Trained(
        networks=(NETWORKS[text],), epochs=3, batch_size=64, learning_rate=1e-2, weight_decay=1e-3
    )


def test_all_settings(tmp_path: Path) -> None:
    text = """
        members = 2
        networks = [{ kind = "cnn", blocks = [[8]] }, { kind = "mlp", hidden = [4] }]
        warmup = 0.1
        label_smoothing = 0.2
        precision = "bfloat16"
        views = 4
        mirror = true
        augment = { shift = 2, mirror = true, cutout = 8 }
    """
    made = section(tmp_path, text)
    assert made.networks == (Cnn(((8,),)), Mlp((4,))) and made.size == 4
    assert (made.warmup, made.precision) == (0.1, "bfloat16")
    assert made.augment == Augmentation(shift=2, mirror=True, cutout=8)
    assert (made.views, made.mirror, made.label_smoothing) == (4, True, 0.2)


def test_hidden_is_an_mlp(tmp_path: Path) -> None:
    made = section(tmp_path, "members = 3\nhidden = [64, 32]")
    assert made.architectures == (Mlp((64, 32)),) and made.size == 3


MALFORMED = {
    'hidden = [4]\nnetworks = [{ kind = "resnet" }]': "teacher: both hidden and networks are set",
    'networks = [{ kind = "vgg" }]': r"teacher.networks\[0\].kind: unknown kind 'vgg'; known are cnn, fully-",
    'networks = [{ kind = "resnet", chanels = [4] }]': r"teacher.networks\[0\].chanels: .*'channels'\?",
    "networks = [{ channels = [4] }]": r"teacher.networks\[0\].kind: missing; add it",
    'networks = [{ kind = "cnn", blocks = [[8], []] }]': r"teacher.networks\[0\].blocks\[1\]: ",
    'networks = [{ kind = "resnet", blocks = 0 }]': r"teacher.networks\[0\].blocks: .*not 0",
    "hidden = [4]\nwarmup = 1.0": "teacher.warmup: .*not 1.0",
    'hidden = [4]\nprecision = "float16"': "teacher.precision: unknown value 'float16'",
    "hidden = [4]\naugment = { shift = -1 }": "teacher.augment.shift: .*not -1",
}


@pytest.mark.parametrize("text", MALFORMED)
def test_what_is_wrong_gives_one_line(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=MALFORMED[text]) as caught:
        section(tmp_path, text)
    assert "\n" not in str(caught.value)
