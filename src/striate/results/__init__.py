"""What lenses give back: numbers that know their recipe and how to draw themselves. Runs no network."""

from __future__ import annotations

from striate.results.activations import Activations
from striate.results.agreement import Agreement
from striate.results.arithmetic import Arithmetic, Computed
from striate.results.base import Recipe, Result, decode_array, encode_array, encode_json
from striate.results.calibration import Calibration
from striate.results.class_pictures import ClassPictures
from striate.results.confusions import Confusions
from striate.results.connections import Connections
from striate.results.cross_section import CrossSection, Level
from striate.results.curves import Curve, LearningCurves
from striate.results.dead_relus import DeadRelus
from striate.results.dead_units import DeadUnits
from striate.results.deletion import DeletionCurves
from striate.results.development import Development, FilterChange
from striate.results.drawn import Drawing
from striate.results.dream import Dream
from striate.results.dropout_ensemble import DropoutEnsemble
from striate.results.embedding import Embedding
from striate.results.equivariance import Equivariance, Movement
from striate.results.evaluation import Evaluation
from striate.results.fields import ReceptiveFields
from striate.results.filters import FilterBank
from striate.results.first_layers import FirstLayer, FirstLayers
from striate.results.folder_check import FolderCheck, Group
from striate.results.fooling import Fooling
from striate.results.heatmap import Heatmap
from striate.results.inversion import Inversion
from striate.results.kernel_sheet import KernelSheet
from striate.results.lesson import Arm, Lesson
from striate.results.neighbours import Neighbours
from striate.results.net_ranking import NetRanking, RankedNet
from striate.results.optimizer_paths import OptimizerPaths
from striate.results.patches import Patches
from striate.results.pattern import MatrixPattern
from striate.results.per_class import PerClass
from striate.results.placement import place, stretch
from striate.results.pointing import Pointing
from striate.results.predictions import Predictions
from striate.results.randomisation import Randomisation
from striate.results.rate_curve import RateCurve
from striate.results.segments import Segments
from striate.results.signals import Signals
from striate.results.similar_units import SimilarUnits
from striate.results.stability import Stability
from striate.results.strongest_units import StrongestUnits
from striate.results.style import Stylised
from striate.results.surface import Surface
from striate.results.synthesis import Made, Synthesis
from striate.results.transferring import Transfer, Way
from striate.results.unit_card import UnitCard
from striate.results.untrained_beside import UntrainedBeside
from striate.results.variations import Variations

__all__ = [
    "Activations",
    "Agreement",
    "Arithmetic",
    "Arm",
    "Calibration",
    "ClassPictures",
    "Computed",
    "Confusions",
    "Connections",
    "CrossSection",
    "Curve",
    "DeadRelus",
    "DeadUnits",
    "DeletionCurves",
    "Development",
    "Drawing",
    "Dream",
    "DropoutEnsemble",
    "Embedding",
    "Equivariance",
    "Evaluation",
    "FilterBank",
    "FilterChange",
    "FirstLayer",
    "FirstLayers",
    "FolderCheck",
    "Fooling",
    "Group",
    "Heatmap",
    "Inversion",
    "KernelSheet",
    "LearningCurves",
    "Lesson",
    "Level",
    "Made",
    "MatrixPattern",
    "Movement",
    "Neighbours",
    "NetRanking",
    "OptimizerPaths",
    "Patches",
    "PerClass",
    "Pointing",
    "Predictions",
    "Randomisation",
    "RankedNet",
    "RateCurve",
    "ReceptiveFields",
    "Recipe",
    "Result",
    "Segments",
    "Signals",
    "SimilarUnits",
    "Stability",
    "StrongestUnits",
    "Stylised",
    "Surface",
    "Synthesis",
    "Transfer",
    "UnitCard",
    "UntrainedBeside",
    "Variations",
    "Way",
    "decode_array",
    "encode_array",
    "encode_json",
    "place",
    "stretch",
]
