"`from isaac.all import *`: everything people hold in their hands, under one roof."

from isaac.attribution import Attributions, attribute, disagreements, pair_scores, segment_table, witness_figure, witness_table
from isaac.audit import AuditConfig, AuditResult, Endpoint, PreparedAudit, audit, find_runs, prepare
from isaac.balance import balance_table, lowered_doses, mask_note
from isaac.chemistry import (
    AtomPrior,
    DrugReading,
    atom_prior_from_table,
    hinge_prior,
    named_atom_prior,
    pharmacophore_prior,
    rewritten,
    scaffold_prior,
    smarts_prior,
)
from isaac.checks import CheckReport, check_predictor
from isaac.contacts import Contacts, contact_pairs, klifs_contacts, match_ligands
from isaac.controls import background_only, battery, combined, drug_only, label_shuffled, mixture, null_scores, prior_only, reinitialised
from isaac.comparison import Comparison, compare, freeze
from isaac.core import DNA, PROTEIN, RNA, Alphabet, DownloadError, InputError, IsaacError, alphabet_of, residue_name, reverse_complement
from isaac.curves import Curves, curve_tables, curves, curves_figure
from isaac.datasets import DTIDataset, Split, load_davis, load_kiba
from isaac.drug_audit import DrugAudit, DrugAuditConfig, Spread, audit_drugs, planted_atom_prior, representation_spread
from isaac.drug_plan import DrugDesign, DrugPlan, drug_plan, drug_reading
from isaac.engine import Cost, Responses, cost, respond
from isaac.estimate import Estimate, estimate
from isaac.exchange import Questionnaire, load_questions, score_predictions, write_questions
from isaac.frozen import Reference, read_reference, reference_names
from isaac.graft import GraftResult, graft, graft_chart, graft_curve, graft_plan, graft_scores, graft_table
from isaac.explain import Explanation, explain_pair, read_explanation, view_structure, write_explanation
from isaac.inference import adjusted, calibrated, differences, icc21, null_test, placebo_test, specific_scores, variance_components
from isaac.joint import Joint, joint, joint_figure, joint_plan, joint_tables
from isaac.large import LargeAudit, audit_large
from isaac.manifold import manifold_notes, off_manifold
from isaac.half import HalfCheck, HalfEncoders, check_half, in_half_precision
from isaac.homologues import homologue_profiles
from isaac.metrics import auprc, auroc, concordance_index, mean_squared_error, regression_metrics
from isaac.modes import binding_modes, read_modes
from isaac.models import TAPB, DeepConvDTI, DeepDTA, TrainingConfig, TrainingResult, train, untrained
from isaac.mutants import MutantResult, compared_pairs, mutant_chart, mutant_scores, mutants
from isaac.nulls import Nulls
from isaac.placebo import PlaceboSums, expected_cost, placebo_plan, placebo_sums, placements
from isaac.plan import Design, Plan, load_plan, make_plan, save_plan
from isaac.planted import (
    Interaction,
    Planted,
    PlantedOptions,
    Reader,
    Reliance,
    plant,
    planted_mutants,
    planted_prior,
    true_drug_reliance,
    true_interaction,
    true_reliance,
)
from isaac.plots import arm_distributions, controls_figure, dose_response, draw_atoms, love, target_ranking
from isaac.predictors import (Composition, Features, FunctionPredictor, HuggingFacePredictor, Morgan, Predictor, Reading, SklearnPredictor,
                              TorchPredictor, TwoTower, load_predictor)
from isaac.priors import KlifsPocket, Prior, prior_from_table
from isaac.publish import checklist, methods
from isaac.regions import Region, RegionAudit, contact_audit, region_plan, region_scores, segment_audit, segment_figure
from isaac.remote import HTTPPredictor, SubprocessPredictor, connect, server
from isaac.scores import SCORES, Contrast, arm_metrics, coherence, contrast, level_sums, reasoning_score, response_matrix, specific
from isaac.scan import interactions, scan, scan_plan, scan_table
from isaac.shards import sharing
from isaac.sites import (
    Motif,
    motif_from_frame,
    named_prior,
    prior_from_attribution,
    prior_from_complex,
    prior_from_motif,
    prior_from_uniprot,
    read_motifs,
)
from isaac.studies import StudyConfig, StudyResult, load_checkpoint, load_study, run_study, study_names, untrained_null
from isaac.sufficiency import sufficiency_plan, sufficiency_table
from isaac.tables import Preview, TableOptions, preview, read_dataset

__all__ = [name for name in dir() if not name.startswith("_")]
