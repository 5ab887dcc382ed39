"""The lenses: one file each, found by its name. A new file here needs no edit anywhere else.

A lens is a function ``lens(network, images, target, *, options) -> Result``. It is fetched when it is
first used, so that this costs nothing until then.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from striate import registry
from striate.errors import OptionError

if TYPE_CHECKING:  # for editors only: everything works without a line here
    from striate.lenses.ablation_cam import ablation_cam as ablation_cam
    from striate.lenses.activations import activations as activations
    from striate.lenses.arithmetic import arithmetic as arithmetic
    from striate.lenses.class_picture import class_picture as class_picture
    from striate.lenses.confusions import confusions as confusions
    from striate.lenses.connectivity import connectivity as connectivity
    from striate.lenses.dead_relus import dead_relus as dead_relus
    from striate.lenses.dead_units import dead_units as dead_units
    from striate.lenses.dream import dream as dream
    from striate.lenses.dropout_ensemble import dropout_ensemble as dropout_ensemble
    from striate.lenses.embedding import embedding as embedding
    from striate.lenses.equivariance import equivariance as equivariance
    from striate.lenses.feature_ablation import feature_ablation as feature_ablation
    from striate.lenses.filters import filters as filters
    from striate.lenses.fooling import fooling as fooling
    from striate.lenses.grad_cam import grad_cam as grad_cam
    from striate.lenses.input_x_gradient import input_x_gradient as input_x_gradient
    from striate.lenses.integrated_gradients import integrated_gradients as integrated_gradients
    from striate.lenses.invert import invert as invert
    from striate.lenses.kernel_shap import kernel_shap as kernel_shap
    from striate.lenses.lime import lime as lime
    from striate.lenses.neighbours import neighbours as neighbours
    from striate.lenses.occlusion import occlusion as occlusion
    from striate.lenses.optimizer_paths import optimizer_paths as optimizer_paths
    from striate.lenses.patches import patches as patches
    from striate.lenses.predictions import predictions as predictions
    from striate.lenses.receptive_field import receptive_field as receptive_field
    from striate.lenses.rise import rise as rise
    from striate.lenses.saliency import saliency as saliency
    from striate.lenses.score_cam import score_cam as score_cam
    from striate.lenses.signals import signals as signals
    from striate.lenses.similar_units import similar_units as similar_units
    from striate.lenses.smoothgrad import smoothgrad as smoothgrad
    from striate.lenses.strongest_units import strongest_units as strongest_units
    from striate.lenses.style import style as style
    from striate.lenses.synthesize import synthesize as synthesize
    from striate.lenses.unit_card import unit_card as unit_card
    from striate.lenses.untrained_beside import untrained_beside as untrained_beside


class _Lenses(ModuleType):
    """This package. Importing `lenses.saliency` binds that file here; what users want is its function."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType):
            value = getattr(value, name, value)
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return registry.names()


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    try:
        return registry.function(name)
    except OptionError as error:
        raise AttributeError(str(error)) from None


sys.modules[__name__].__class__ = _Lenses
