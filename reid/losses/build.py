"""From a configuration to a criterion."""

from yacs.config import CfgNode

from reid.losses.criterion import IdentityTripletLoss


def build_criterion(cfg: CfgNode) -> IdentityTripletLoss:
    """The loss with labels that ``cfg`` describes."""
    return IdentityTripletLoss(
        id_weight=cfg.MODEL.ID_LOSS_WEIGHT,
        triplet_weight=cfg.MODEL.TRIPLET_LOSS_WEIGHT,
        margin=None if cfg.MODEL.NO_MARGIN else cfg.SOLVER.MARGIN,
        smooth_labels=cfg.MODEL.IF_LABELSMOOTH,
    )
