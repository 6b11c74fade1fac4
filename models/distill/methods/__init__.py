"""All distillation losses, by their names in the build file."""

from models.distill.method import Distillation
from models.distill.methods.attention import AttentionTransfer
from models.distill.methods.contrastive import ContrastiveRepresentation
from models.distill.methods.fitnets import FitNetHints
from models.distill.methods.flow import FlowOfSolution
from models.distill.methods.hinton import HardLabels, SoftenedSoftmax
from models.distill.methods.logit_matching import LogitMatching
from models.distill.methods.similarity import SimilarityPreserving
from models.distill.methods.variational import VariationalInformation

METHODS: dict[str, type[Distillation]] = {
    each.method: each
    for each in (
        HardLabels,
        SoftenedSoftmax,
        LogitMatching,
        FitNetHints,
        AttentionTransfer,
        FlowOfSolution,
        VariationalInformation,
        SimilarityPreserving,
        ContrastiveRepresentation,
    )
}

__all__ = [
    "METHODS",
    "AttentionTransfer",
    "ContrastiveRepresentation",
    "FitNetHints",
    "FlowOfSolution",
    "HardLabels",
    "LogitMatching",
    "SimilarityPreserving",
    "SoftenedSoftmax",
    "VariationalInformation",
]
