"""All distillation losses, by their names in the build file."""

from models.distill.method import Distillation
from models.distill.methods.attention import AttentionTransfer
from models.distill.methods.attention_graph import AttentionGraph
from models.distill.methods.born_again import ConfidenceWeighted, PermutedDarkKnowledge
from models.distill.methods.contrastive import ContrastiveRepresentation
from models.distill.methods.correlation import CorrelationCongruence
from models.distill.methods.decoupled import DecoupledKd
from models.distill.methods.dist import Dist
from models.distill.methods.fitnets import FitNetHints
from models.distill.methods.flow import FlowOfSolution
from models.distill.methods.hinton import HardLabels, LabelSmoothing, SoftenedSoftmax
from models.distill.methods.logit_matching import LogitMatching
from models.distill.methods.multi_level import MultiLevelLogits
from models.distill.methods.relational import Relational
from models.distill.methods.relationship_graph import RelationshipGraph
from models.distill.methods.robust import Robust
from models.distill.methods.similarity import SimilarityPreserving
from models.distill.methods.sqakd import Sqakd
from models.distill.methods.standardization import LogitStandardization
from models.distill.methods.variational import VariationalInformation
from models.distill.methods.virtual_teacher import VirtualTeacher
from models.distill.methods.weight_cost import WeightCost

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
