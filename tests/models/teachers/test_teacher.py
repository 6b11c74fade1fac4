from dataclasses import replace

import numpy as np
import pytest
import torch

from common.errors import CheckpointError, ConfigError, DataError
from models.augmentation import Augmentation
from models.data import Dataset, Split
from models.distill.training import transfer
from models.metrics import accuracy, combine
from models.teachers import ARCHITECTURES, Cnn, Mlp, ResNet, SqueezeNet, SwishCnn
from models.teachers import ensemble as teacher
from models.teachers.ensemble import Teacher
from models.training import TrainingConfig
from models.training.evaluation import predict
from tests.models.networks import toy_dataset

TRAINING = TrainingConfig(epochs=5, batch_size=32, learning_rate=1e-2, weight_decay=1e-3, seed=3)
CONFIG = teacher.TeacherConfig((Mlp((16,)),), TRAINING, members=2)
SMALL = (
    Mlp((16,)),
    Cnn(((8, 8), (16,)), dense=(16,), dropout=0.2),
    ResNet((8, 16), blocks=1),
    SqueezeNet(8, ((2,), (4, 4)), dropout=0.2),
    SwishCnn(((8,), (16,)), dense=(16,)),
)
SHAPES = {"digits": (8, 8, 1), "images": (28, 28, 1), "colours": (32, 32, 3), "series": (100, 1, 6)}


@pytest.fixture(scope="module")
def dataset():
    return toy_dataset()


def same(first, second):
    states = first.state_dict(), second.state_dict()
    return states[0].keys() == states[1].keys() and all(
        torch.equal(states[0][k], states[1][k]) for k in states[0]
    )


def test_ensemble_learns_saves_and_loads(tmp_path, dataset):
    ensemble = teacher.train_ensemble(CONFIG, dataset, tmp_path / "checkpoints")
    logits = teacher.ensemble_logits(ensemble.members, dataset.test.x)
    assert logits.shape == (2, len(dataset.test), 3) and logits.dtype == np.float32
    assert not np.array_equal(logits[0], logits[1])
    assert accuracy(combine(logits), dataset.test.y) > 0.95
    again = teacher.train_ensemble(CONFIG, dataset, tmp_path / "checkpoints")
    assert all(same(a, b) for a, b in zip(ensemble.members, again.members, strict=True))

    path = tmp_path / "ensemble"
    teacher.save_ensemble(ensemble.members, path)
    loaded = teacher.load_ensemble(CONFIG, dataset, path)
    np.testing.assert_array_equal(teacher.ensemble_logits(loaded.members, dataset.test.x), logits)
    with pytest.raises(CheckpointError, match="does not hold 3 teachers"):
        teacher.load_ensemble(replace(CONFIG, members=3), dataset, path)
    with pytest.raises(CheckpointError, match="teacher 0: weight"):
        teacher.load_ensemble(replace(CONFIG, networks=(Mlp((8,)),)), dataset, path)


def test_transfer_set(tmp_path, dataset):
    members = [Teacher(Mlp((4,)), (4, 4, 1), 3).eval() for _ in range(2)]
    made = teacher.make_transfer_set(members, dataset, views=6)
    n = len(dataset.train)
    assert made.logits.shape == (2, 6 * n, 3)
    images = made.split.x.reshape(6, n, 4, 4)
    np.testing.assert_array_equal(images[0].reshape(n, -1), dataset.train.x)
    np.testing.assert_array_equal(images[1][:, :-1], images[0][:, 1:])  # up
    assert not images[1][:, -1].any()
    np.testing.assert_array_equal(images[2][:, :, :-1], images[0][:, :, 1:])  # left
    np.testing.assert_array_equal(images[3][:, :, 1:], images[0][:, :, :-1])  # right
    np.testing.assert_array_equal(images[4][:, 1:], images[0][:, :-1])  # down
    np.testing.assert_array_equal(images[5][:, :-1, :-1], images[0][:, 1:, 1:])
    np.testing.assert_array_equal(made.split.y, np.tile(dataset.train.y, 6))

    transfer.save(made, tmp_path / "set")
    loaded = transfer.load(tmp_path / "set")
    np.testing.assert_array_equal(loaded.logits, made.logits)
    np.testing.assert_array_equal(loaded.split.x, made.split.x)
    transfer.save(transfer.TransferSet(made.split, made.logits[:, 1:]), tmp_path / "set")
    with pytest.raises(DataError, match="logits"):
        transfer.load(tmp_path / "set")


def test_views_need_an_image(dataset):
    with pytest.raises(ConfigError, match="only images"):
        transfer.shifted_views(dataset.train, (16,), 2)
    with pytest.raises(ConfigError, match="give 1 to 25"):
        transfer.shifted_views(dataset.train, (4, 4, 1), 26)
    assert transfer.shifted_views(dataset.train, (16,), 1) is dataset.train


def test_a_network_that_no_memory_holds(dataset):
    config = replace(CONFIG, networks=(Mlp((65_536,) * 200),))
    with pytest.raises(ConfigError, match=r"teacher mlp: its training takes \d{5} GB of memory"):
        teacher.train_ensemble(config, dataset)


@pytest.mark.parametrize("network", SMALL, ids=lambda network: network.kind)
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_every_kind_takes_pictures_and_series(network, shape):
    x = np.random.default_rng(0).integers(0, 256, (5, int(np.prod(shape))), dtype=np.uint8)
    logits = predict(Teacher(network, shape, 7), x)
    assert logits.shape == (5, 7) and np.isfinite(logits).all()
    other = predict(Teacher(network, shape, 7), np.roll(x, 1, axis=1))
    assert not np.array_equal(logits, other)


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_default_sizes_fit_all_pictures(kind):
    if kind in ("resnet", "squeezenet", "swish-cnn"):
        for shape in SHAPES.values():
            with torch.device("meta"):
                made = Teacher(ARCHITECTURES[kind](), shape, 10)
                assert made(torch.empty(2, int(np.prod(shape)))).shape == (2, 10)


def test_resnet_is_the_paper_s():
    """ResNet-20 has 19 convolutions of 3 by 3 and, with option B, about 0.27 million weights."""
    network = Teacher(ResNet(), (32, 32, 3), 10)
    kernels = [m.kernel_size for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    assert kernels.count((3, 3)) == 19 and kernels.count((1, 1)) == 2
    assert 0.265e6 < sum(weight.numel() for weight in network.parameters()) < 0.28e6


def test_pictures_are_read_in_their_order():
    """A convolution sees neighbours as neighbours, and channels as channels."""
    frames = Teacher(Cnn(((1,),)), (4, 2, 3), 2).layers[0]
    x = torch.arange(24.0)[None]
    assert torch.equal(frames(x)[0], x.reshape(4, 2, 3).permute(2, 0, 1))
    assert frames(x).is_contiguous(memory_format=torch.channels_last)


def blobs(count, seed, shape=(8, 8, 1)):
    """A bright square at the left or the right, wherever in its half: shifted, it is still the same class."""
    rng = np.random.default_rng(seed)
    y = np.arange(count, dtype=np.int64) % 2
    x = rng.integers(0, 60, (count, *shape)).astype(np.uint8)
    for image, label in zip(x, y, strict=True):
        top, left = rng.integers(0, 6), rng.integers(0, 2) + 5 * label
        image[top : top + 3, left : left + 2] = 250
    return Split(x.reshape(count, -1), y)


@pytest.mark.parametrize("network", SMALL[1:], ids=lambda network: network.kind)
def test_convolutional_teachers_learn(network):
    dataset = Dataset("blobs", 2, (8, 8, 1), blobs(320, 0), blobs(80, 1), blobs(200, 2))
    config = teacher.TeacherConfig(
        (network,), replace(TRAINING, warmup=0.1), augmentation=Augmentation(shift=1), label_smoothing=0.1
    )
    ensemble = teacher.train_ensemble(config, dataset)
    logits = teacher.ensemble_logits(ensemble.members, dataset.test.x)
    assert accuracy(combine(logits), dataset.test.y) > 0.95


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_killed_teacher_resumes_with_the_same_bits(tmp_path, dataset, precision):
    training = replace(TRAINING, epochs=3, checkpoint_every=1, precision=precision)
    config = replace(CONFIG, networks=(SMALL[1],), training=training, members=1)

    def killed(label, done, total):
        if done == 2:
            raise KeyboardInterrupt

    (whole,) = teacher.train_ensemble(config, dataset).members
    with pytest.raises(KeyboardInterrupt):
        teacher.train_ensemble(config, dataset, tmp_path, killed)
    (resumed,) = teacher.train_ensemble(config, dataset, tmp_path).members
    assert same(whole, resumed)
    assert all(weight.dtype == torch.float32 for weight in resumed.parameters())


def test_ensemble_of_several_kinds(tmp_path, dataset):
    config = teacher.TeacherConfig((Mlp((8,)), Cnn(((8,),))), replace(TRAINING, epochs=1), members=2)
    ensemble = teacher.train_ensemble(config, dataset)
    kinds = [any(isinstance(m, torch.nn.Conv2d) for m in member.modules()) for member in ensemble.members]
    assert kinds == [False, False, True, True]
    teacher.save_ensemble(ensemble.members, tmp_path / "ensemble")
    loaded = teacher.load_ensemble(config, dataset, tmp_path / "ensemble")
    assert all(same(a, b) for a, b in zip(ensemble.members, loaded.members, strict=True))


def test_mirrored_views_in_the_transfer_set(dataset):
    made = teacher.make_transfer_set([Teacher(Mlp((4,)), (4, 4, 1), 3).eval()], dataset, 2, mirror=True)
    images = made.split.x.reshape(2, -1, 4, 4)
    np.testing.assert_array_equal(images[1], images[0][:, :, ::-1])
    assert made.logits.shape == (1, 2 * len(dataset.train), 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Mlp((4, 0)), r"teacher mlp: hidden\[1\] is 0; give at least 1"),
        (lambda: Cnn(()), "teacher cnn: blocks has 0 items; give at least 1"),
        (lambda: Cnn(((8,), ())), r"teacher cnn: blocks\[1\] has 0 items"),
        (lambda: Cnn(((8,),), dropout=1.0), "teacher cnn: dropout is 1.0"),
        (lambda: SwishCnn(dense=(-1,)), r"teacher swish-cnn: dense\[0\] is -1"),
        (lambda: ResNet(()), "teacher resnet: channels has 0 items"),
        (lambda: ResNet(blocks=0), "teacher resnet: blocks is 0"),
        (lambda: SqueezeNet(stem=0), "teacher squeezenet: stem is"),
        (lambda: replace(CONFIG, networks=()), "teacher: no networks"),
        (lambda: replace(CONFIG, members=0), "teacher: 0 members"),
        (lambda: replace(CONFIG, label_smoothing=1.0), "teacher: label_smoothing is 1.0"),
    ],
)
def test_what_makes_no_network_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        (SwishCnn(((8,),) * 4), (8, 8, 1), r"swish-cnn: blocks\[3\] pools what is only 1 by 1 there"),
        (SqueezeNet(), (4, 1, 2), r"squeezenet: squeeze\[2\] pools what is only 1 by 1 there"),
        (ResNet(stem_pool=True), (1, 5, 1), "resnet: stem_pool pools what is only 1 by 5"),
        (Cnn(((8,),)), (16,), r"cnn: samples have shape \(16,\).*give an mlp"),
    ],
)
def test_what_does_not_fit_the_samples_is_refused_before_training(network, shape, message):
    split = Split(np.zeros((8, int(np.prod(shape))), np.uint8), np.zeros(8, np.int64))
    config = replace(CONFIG, networks=(Mlp((4,)), network))
    trained = []
    with pytest.raises(ConfigError, match=message):
        teacher.train_ensemble(
            config, Dataset("zeros", 2, shape, split, split, split), None, lambda *step: trained.append(step)
        )
    assert not trained
