"""All distillation losses, by their names in the build file."""

from models.distill.method import Distillation
from models.distill.methods.attention_graph import AttentionGraph
from models.distill.methods.correlation import CorrelationCongruence
from models.distill.methods.hinton import HardLabels, SoftenedSoftmax
from models.distill.methods.logit_matching import LogitMatching
from models.distill.methods.relational import Relational
from models.distill.methods.relationship_graph import RelationshipGraph
from models.distill.methods.robust import Robust

METHODS: dict[str, type[Distillation]] = {
    each.method: each
    for each in (
        HardLabels,
        SoftenedSoftmax,
        LogitMatching,
        Relational,
        CorrelationCongruence,
        RelationshipGraph,
        AttentionGraph,
        Robust,
    )
}

__all__ = [
    "METHODS",
    "AttentionGraph",
    "CorrelationCongruence",
    "HardLabels",
    "LogitMatching",
    "Relational",
    "RelationshipGraph",
    "Robust",
    "SoftenedSoftmax",
]
