"""One student, trained from what a test has at hand."""

from models.distill.training.setup import TrainingSetup
from models.tasks import CLASSIFICATION
from models.training import silent


def distill(
    topology,
    dataset,
    transfer,
    loss,
    training,
    checkpoints=None,
    progress=silent,
    augmentation=None,
    members=(),
    task=CLASSIFICATION,
    **settings,
):
    """Train it, from the folder of checkpoints if there is one: the student and its history."""
    setup = TrainingSetup(
        topology, dataset, transfer, members, loss, training, augmentation, task, checkpoints, progress
    )
    return setup.distill(**settings)
