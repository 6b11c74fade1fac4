"""All distillation losses, by their names in the build file.

Modules by what losses look at. Imports `models.distill.method` and `features`; torch through `models.lazy`.
"""

from models.distill.losses.attention_graph import AttentionGraph
from models.distill.losses.contrastive import ContrastiveRepresentation
from models.distill.losses.detection import DetectionLoss
from models.distill.losses.hidden_layers import (
    AttentionTransfer,
    FitNetHints,
    FlowOfSolution,
    SimilarityPreserving,
    VariationalInformation,
)
from models.distill.losses.logit_relations import DecoupledKd, Dist, MultiLevelLogits
from models.distill.losses.logits import (
    ConfidenceWeighted,
    LogitMatching,
    LogitStandardization,
    PermutedDarkKnowledge,
    SoftenedSoftmax,
    Sqakd,
)
from models.distill.losses.relations import CorrelationCongruence, Relational, RelationshipGraph
from models.distill.losses.robust import Robust
from models.distill.losses.teacher_free import HardLabels, LabelSmoothing, VirtualTeacher, WeightCost
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
        DetectionLoss,
    )
}

__all__ = [
    "METHODS",
    "FitNetHints",
    "FlowOfSolution",
    "HardLabels",
    "LabelSmoothing",
    "LogitMatching",
    "SoftenedSoftmax",
]
