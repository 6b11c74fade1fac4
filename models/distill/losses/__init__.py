"""All distillation losses, by their names in the build file."""

from models.distill.losses.attention import AttentionTransfer
from models.distill.losses.attention_graph import AttentionGraph
from models.distill.losses.born_again import ConfidenceWeighted, PermutedDarkKnowledge
from models.distill.losses.contrastive import ContrastiveRepresentation
from models.distill.losses.correlation import CorrelationCongruence
from models.distill.losses.decoupled import DecoupledKd
from models.distill.losses.dist import Dist
from models.distill.losses.fitnets import FitNetHints
from models.distill.losses.flow import FlowOfSolution
from models.distill.losses.hinton import HardLabels, LabelSmoothing, SoftenedSoftmax
from models.distill.losses.logit_matching import LogitMatching
from models.distill.losses.multi_level import MultiLevelLogits
from models.distill.losses.relational import Relational
from models.distill.losses.relationship_graph import RelationshipGraph
from models.distill.losses.robust import Robust
from models.distill.losses.similarity import SimilarityPreserving
from models.distill.losses.sqakd import Sqakd
from models.distill.losses.standardization import LogitStandardization
from models.distill.losses.variational import VariationalInformation
from models.distill.losses.virtual_teacher import VirtualTeacher
from models.distill.losses.weight_cost import WeightCost
from models.distill.method import Distillation

METHODS: dict[str, type[Distillation]] = {
    each.method: each
    for each in (
        HardLabels,
        LabelSmoothing,
        VirtualTeacher,
        SoftenedSoftmax,
        LogitMatching,
        DecoupledKd,
        Dist,
        LogitStandardization,
        MultiLevelLogits,
        Sqakd,
        ConfidenceWeighted,
        PermutedDarkKnowledge,
        FitNetHints,
        AttentionTransfer,
        FlowOfSolution,
        VariationalInformation,
        SimilarityPreserving,
        ContrastiveRepresentation,
        Relational,
        CorrelationCongruence,
        RelationshipGraph,
        AttentionGraph,
        Robust,
        WeightCost,
    )
}

__all__ = ["METHODS", "HardLabels", "LogitMatching", "SoftenedSoftmax"]
