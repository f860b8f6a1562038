"""The KLIFS pocket on real and on hostile sequences: where it lies, what is reported, what is refused."""
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from isaac.core import AMINO_ACIDS, DownloadError, InputError
from isaac.priors import (
    RUNS,
    SEGMENT_OF,
    STATUS,
    TRANSFERS,
    KlifsPocket,
    PocketLibrary,
    Prior,
    align,
    chain,
    encode,
    encode_pocket,
    find_domains,
    nearest_best,
    pocket_library,
    prior_from_table,
)
from isaac.sources import klifs_kinases

ABSENT = {"EPHA6", "EPHB2", "MLK1", "RET", "RET(M918T)", "RET(V804L)", "RET(V804M)", "ROCK2", "TRKB"}
NO_POCKET = {"PIP5K1A", "PIP5K1C", "PIP5K2B", "PIP5K2C", "TRPM6"}
NOT_HUMAN = {"PFCDPK1(Pfalciparum)", "PFPK5(Pfalciparum)", "PKNB(Mtuberculosis)"}


@pytest.fixture(scope="module")
def targets(mirror):
    from isaac.sources import fetch
    proteins = json.loads(fetch("davis/proteins.txt").read_text())
    return pd.DataFrame({"target_id": list(proteins), "sequence": list(proteins.values())})


@pytest.fixture(scope="module")
def kiba(mirror):
    from isaac.sources import fetch
    proteins = json.loads(fetch("kiba/proteins.txt").read_text())
    return pd.DataFrame({"target_id": list(proteins), "sequence": list(proteins.values())})


@pytest.fixture(scope="module")
def sequence(targets): return dict(zip(targets.target_id, targets.sequence, strict=True))


@pytest.fixture(scope="module")
def prior(targets): return KlifsPocket().annotate(targets)


@pytest.fixture(scope="module")
def library(mirror): return pocket_library()


@pytest.fixture(scope="module")
def canonical(library): return library.proteins.set_index("uniprot").sequence


@pytest.fixture(scope="module")
def live(mirror):
    "Address of a server on this machine's loopback that gives KLIFS' recorded answer."
    recorded = mirror.parent / "klifs_api" / "kinase_information.json"
    if not recorded.is_file(): pytest.skip(f"no recorded answer of the KLIFS service beside the mirror ({recorded.name})")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            found = self.path.startswith("/api_v2/kinase_information")
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(recorded.read_bytes() if found else b"")

        def log_message(self, *args): pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("no_proxy", "127.0.0.1")
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/api_v2"
        server.shutdown()


def letter_at(prior, sequence, target, *labels):
    rows = prior.table[prior.table.target_id == target].set_index("label").position
    return [f"{sequence[target][rows[str(n)]]}{rows[str(n)] + 1}" for n in labels]


# ---- Davis, as distributed

def test_enough_of_davis_is_exact(prior):
    "The acceptance of the design: at least 421 of 442 entries with 80 residues or more, each with the pocket's letter."
    assert (prior.coverage.exact >= 80).sum() >= 421 and len(prior.coverage) == 442


def test_every_entry_without_pocket_is_named_with_its_reason(prior):
    row = prior.coverage.set_index("target_id")
    assert set(row.index[row.status == "absent"]) == ABSENT
    assert set(row.index[row.status == "no KLIFS pocket"]) == NO_POCKET
    assert set(row.index[row.status == "partial"]) == {"BTK", "TESK1"}
    assert NOT_HUMAN <= set(row.index[row.status == "homology"]) <= NOT_HUMAN | {"PIK3C2B", "PIK3C2G"}
    assert set(row.status) <= set(STATUS) and row.note.ne("").all()
    assert all("its kinase domain is not there" in row.note[t] for t in ABSENT)
    assert "ROCK2" in row.note["ROCK2"] and "TRPM6" in row.note["TRPM6"] and "identical" in row.method["PKNB(Mtuberculosis)"]


def test_the_table_is_consistent(prior, targets, sequence):
    assert prior.check(targets) is prior
    assert prior.table.drug_id.isna().all() and prior.table.position.dtype == np.int64
    assert (prior.table.segment == SEGMENT_OF[prior.table.label.astype(int) - 1]).all()
    counts = prior.table.target_id.value_counts()
    coverage = prior.coverage.set_index("target_id")
    assert (coverage.placed == counts.reindex(coverage.index).fillna(0)).all()
    assert ((coverage.placed + coverage.gaps) <= 85).all() and (coverage.exact <= coverage.placed).all()
    for positions in prior.table.groupby("target_id").position: assert positions[1].is_monotonic_increasing
    for target, others in prior.others.groupby("target_id").position: assert not set(others) & set(prior.positions[target])


def test_the_pocket_is_an_eighth_of_the_sequence(prior, sequence):
    "The proportions that the design quotes: 13 % of the sequence, a span of 23 %, 25 entries beyond residue 1,000."
    whole = {t: p for t, p in prior.positions.items() if len(p) > 75}
    assert np.mean([len(p) / len(sequence[t]) for t, p in whole.items()]) == pytest.approx(0.13, abs=0.005)
    assert np.mean([(p[-1] - p[0] + 1) / len(sequence[t]) for t, p in whole.items()]) == pytest.approx(0.23, abs=0.005)
    assert sum(p[-1] >= 1000 for p in whole.values()) == 25


@pytest.mark.parametrize("target, expected", [
    ("EGFR", ["K745", "E762", "T790", "D855"]), ("EGFR(T790M)", ["K745", "E762", "T790", "D855"]), ("BRAF", ["K483", "E501", "T529", "D594"]),
    ("CDK2", ["K33", "E51", "F80", "D145"]), ("ABL1", ["K308", "E323", "T352", "D418"]), ("CAMKK1", ["K157", "E199", "F230", "D293"]),
    ("KIT", ["K623", "E640", "T670", "D810"]), ("SRC", ["K298", "E313", "T341", "D407"]), ("AKT1", ["K179", "E198", "M227", "D292"]),
    ("PKNB(Mtuberculosis)", ["K40", "E59", "M92", "D156"]), ("JAK2(JH1domain-catalytic)", ["K882", "E898", "M929", "D994"])])
def test_landmarks_of_the_literature(prior, sequence, target, expected):
    "β3 lysine, αC glutamate, gatekeeper, DFG aspartate, as numbered in the literature (ABL1: + 37, for Davis' long isoform)."
    assert letter_at(prior, sequence, target, 17, 24, 45, 81) == expected


@pytest.mark.parametrize("last, first", [
    ("JAK1(JH1domain-catalytic)", "JAK1(JH2domain-pseudokinase)"), ("TYK2(JH1domain-catalytic)", "TYK2(JH2domain-pseudokinase)"),
    ("RSK1(KinDom.2-C-terminal)", "RSK1(KinDom.1-N-terminal)"), ("RSK3(KinDom.2-C-terminal)", "RSK3(KinDom.1-N-terminal)"),
    ("RSK4(KinDom.2-C-terminal)", "RSK4(KinDom.1-N-terminal)"), ("RPS6KA4(KinDom.2-C-terminal)", "RPS6KA4(KinDom.1-N-terminal)"),
    ("RPS6KA5(KinDom.2-C-terminal)", "RPS6KA5(KinDom.1-N-terminal)")])
def test_one_sequence_two_domains(prior, sequence, last, first):
    assert sequence[last] == sequence[first]
    assert prior.positions[last].min() > prior.positions[first].max()
    for a, b in ((last, first), (first, last)):
        assert set(prior.others.position[prior.others.target_id == a]) == set(prior.positions[b])
        assert prior.coverage.set_index("target_id").exact[a] >= 84


def test_a_second_domain_is_known_although_no_target_asks_for_it(prior, sequence):
    for target, lysine in (("JAK2(JH1domain-catalytic)", "K581"), ("JAK3(JH1domain-catalytic)", "K556"), ("RSK2(KinDom.1-N-terminal)", "K451")):
        others = prior.others.position[prior.others.target_id == target]
        assert len(others) >= 80 and int(lysine[1:]) - 1 in set(others), target


def test_snapshot_has_only_the_pseudokinase_of_jak2(prior, sequence):
    "A join on UniProt ids would have put JAK2's inhibitors into its JH2 domain; by sequence they lie in JH1."
    assert klifs_kinases().query("uniprot == 'O60674'").name.tolist() == ["JAK2-b"]
    assert prior.positions["JAK2(JH1domain-catalytic)"].min() > 840


def test_wild_type_and_mutant_entries_agree(prior, sequence):
    "Davis' mutants carry the wild type's sequence, so they must carry its pocket."
    for name in ("ABL1", "EGFR", "KIT", "FLT3", "PIK3CA", "MET"):
        mutants = [t for t in sequence if t.startswith(f"{name}(") and sequence[t] == sequence[name]]
        assert mutants and all(np.array_equal(prior.positions[t], prior.positions[name]) for t in mutants)


def test_kiba_too(kiba):
    "All of KIBA's targets go by UniProt ids; the few that are not placed say why."
    coverage = KlifsPocket().annotate(kiba).coverage
    assert (coverage.exact >= 80).sum() == 220
    lost = coverage[coverage.exact < 80]
    assert set(lost.status) == {"no KLIFS pocket"} and lost.note.ne("").all() # regulatory subunits, PDK1 and EEF2K


# ---- the sources

def test_live_service_covers_more(live, targets):
    prior = KlifsPocket("live", live).annotate(targets)
    row = prior.coverage.set_index("target_id")
    assert (row.exact >= 80).sum() == 423
    assert set(row.index[row.exact < 80]) == ABSENT | NO_POCKET | NOT_HUMAN | {"BTK", "TESK1"}


def test_transferred_pockets_are_those_of_the_live_service(live, library):
    "Second domains read off a relative's pocket have the very letters that KLIFS gives them today."
    mended = library.table.set_index("name").pocket
    today = klifs_kinases("live", url=live).query("name.str.endswith('-b')").set_index("uniprot").pocket
    items = [t for t in TRANSFERS if t.name.endswith("-b")]
    assert len(items) == 3 and all(mended[t.name] == today[t.uniprot] for t in items)


def test_a_silent_live_service_is_an_error(targets):
    with pytest.raises(DownloadError, match="KLIFS"):
        KlifsPocket("live", "http://127.0.0.1:9/api_v2").annotate(targets[:1])


def test_without_structures_lipid_kinases_are_placed_by_homology_only(targets):
    some = targets[targets.target_id.isin(["PIK3CA", "EGFR", "JAK1(JH2domain-pseudokinase)"])]
    row = KlifsPocket(structures=False).annotate(some).coverage.set_index("target_id")
    assert row.status["PIK3CA"] == "homology" and row.status["JAK1(JH2domain-pseudokinase)"] == "homology"
    assert row.exact["EGFR"] == 85


@pytest.mark.parametrize("one, other", [
    ("ABL1", "ABL2"), ("SRC", "YES"), ("AKT1", "AKT3"), ("BRAF", "RAF1"), ("CDK2", "CDK5"), ("EGFR", "ERBB4"), ("PIK3CA", "PIK3CB"),
    ("p38-alpha", "p38-gamma"), ("CAMKK1", "CAMKK2"), ("DAPK1", "DAPK3"), ("KIT", "FLT3")])
def test_close_relatives_agree_with_a_plain_alignment(prior, sequence, one, other):
    """An independent method, global alignment of whole domains by biotite, puts the same labels on the same residues – but for up to six:
    KLIFS counts αE and VI backwards from the catalytic loop without gaps, where AKT1 has a residue more than AKT3."""
    from biotite.sequence import ProteinSequence
    from biotite.sequence.align import SubstitutionMatrix, align_optimal
    window = {t: (max(0, prior.positions[t][0] - 20), prior.positions[t][-1] + 20) for t in (one, other)}
    pair = [ProteinSequence(sequence[t][slice(*window[t])]) for t in (one, other)]
    trace = align_optimal(*pair, SubstitutionMatrix.std_protein_matrix(), gap_penalty=(-12, -1), max_number=1)[0].trace
    partner = {a + window[one][0]: b + window[other][0] for a, b in trace if a >= 0 and b >= 0}
    rows = {t: prior.table[prior.table.target_id == t].set_index("label").position for t in (one, other)}
    shared = rows[one].index.intersection(rows[other].index)
    agree = [partner.get(rows[one][n]) == rows[other][n] for n in shared]
    assert len(shared) >= 80 and agree.count(False) <= (6 if one == "AKT1" else 3)


# ---- names do not matter, sequences do

def test_names_do_not_matter(prior, targets):
    some = targets[targets.target_id.isin(prior.positions) & ~targets.target_id.str.contains("JH|KinDom")].iloc[::12]
    misleading = some.assign(target_id=some.target_id.to_numpy()[::-1])
    again = KlifsPocket().annotate(misleading)
    for true, name in zip(some.target_id, misleading.target_id, strict=True):
        assert np.array_equal(again.positions[name], prior.positions[true])


def test_order_and_company_do_not_matter(prior, targets):
    some = targets.sample(12, random_state=1)
    one, two = KlifsPocket().annotate(some), KlifsPocket().annotate(some[::-1])
    assert one.hash == two.hash != prior.hash
    assert all(np.array_equal(positions, prior.positions[t]) for t, positions in one.positions.items())


def test_a_domain_column_decides(sequence):
    jak1 = sequence["JAK1(JH1domain-catalytic)"]
    frame = pd.DataFrame({"target_id": ["a", "b", "c", "JAK1"], "sequence": jak1, "domain": ["JH2", "C-terminal", None, ""]})
    prior = KlifsPocket().annotate(frame)
    assert prior.positions["a"].max() < prior.positions["b"].min()
    assert np.array_equal(prior.positions["b"], prior.positions["c"]) and np.array_equal(prior.positions["b"], prior.positions["JAK1"])
    assert "the catalytic one" in prior.coverage.note[2] and "chosen by 'JH2'" in prior.coverage.note[0]


def test_half_a_kinase_is_partial_and_says_what_lacks(sequence, prior):
    egfr, gatekeeper = sequence["EGFR"], 789
    frame = pd.DataFrame({"target_id": ["EGFR C-lobe", "EGFR N-lobe"], "sequence": [egfr[gatekeeper + 4:], egfr[:gatekeeper]]})
    halves = KlifsPocket().annotate(frame)
    assert halves.coverage.status.tolist() == ["partial", "partial"]
    assert "no residue for I1–3" in halves.coverage.note[0] and "xDFG80–83" in halves.coverage.note[1]
    whole = set(prior.positions["EGFR"])
    assert set(halves.positions["EGFR C-lobe"] + gatekeeper + 4) | set(halves.positions["EGFR N-lobe"]) <= whole
    assert [len(halves.positions[t]) for t in frame.target_id] == [37, 44]


@given(before=st.text(AMINO_ACIDS, max_size=200), after=st.text(AMINO_ACIDS, max_size=200), name=st.sampled_from(["CDK2", "ABL1", "PIK3CA"]))
@settings(max_examples=25)
def test_flanks_shift_the_pocket_and_nothing_else(library, sequence, prior, before, after, name):
    first, last = prior.positions[name][[0, -1]]
    found = find_domains(before + sequence[name][first:last + 1] + after, library)
    positions = [d.positions[d.positions >= 0] for d in found]
    assert any(np.array_equal(p - len(before), prior.positions[name] - first) for p in positions)


@given(data=st.data(), name=st.sampled_from(["EGFR", "BRAF", "CDK2"]))
@settings(max_examples=40)
def test_point_mutations_leave_the_pocket_where_it_is(library, sequence, prior, data, name):
    "Up to five mutations anywhere in the pocket: still placed, no longer exact there."
    pocket, letters = prior.positions[name], list(sequence[name])
    sites = data.draw(st.lists(st.sampled_from(pocket.tolist()), min_size=1, max_size=5, unique=True))
    for site in sites: letters[site] = data.draw(st.sampled_from([a for a in AMINO_ACIDS if a != sequence[name][site]]))
    domain, = find_domains("".join(letters), library)
    placed = domain.positions[domain.positions >= 0]
    assert np.array_equal(placed, pocket)
    if library.table.name[domain.pocket] == name: assert domain.exact.sum() == len(pocket) - len(sites)


@given(st.text(AMINO_ACIDS, min_size=1, max_size=800))
@settings(max_examples=60)
def test_a_random_sequence_has_no_pocket(library, sequence): assert find_domains(sequence, library) == []


def test_non_kinases_have_no_pocket(library, canonical):
    others = klifs_kinases().query("pocket == ''").uniprot
    assert [u for u in others if find_domains(canonical[u], library)] == ["P78527"] # DNA-PK, by its crystal structures
    frame = pd.DataFrame({"target_id": ["BRD4", "alanine", "short", "unknown"], "sequence": [canonical["O60885"], "A" * 300, "MK", "X" * 90]})
    prior = KlifsPocket().annotate(frame)
    assert prior.coverage.status.tolist() == ["no KLIFS pocket"] * 4 and prior.table.empty and prior.positions == {}
    assert "BRD4" in prior.coverage.note[0] and prior._repr_html_()


# ---- the algorithms

@given(arrays.arrays(np.int32, (2, 12), elements=st.integers(-900, 900)), st.lists(st.tuples(st.integers(0, 500), st.integers(1, 90)), max_size=3))
def test_nearest_best_is_the_maximum_it_says(ends, costs):
    best, came = nearest_best(ends, costs)
    for row in range(2):
        for i in range(12):
            def value(j, row=row, i=i): return ends[row, j] - (0 if i == j else min((o + e * (i - j) for o, e in costs), default=10**9))
            assert best[row, i] == max(value(j) for j in range(i + 1)) == value(came[row, i])


@given(st.data())
@settings(max_examples=40)
def test_runs_are_found_between_any_spacers(data):
    "A made-up pocket, cut at its seams and spaced at random, is found letter by letter by both methods."
    pocket = data.draw(st.text(AMINO_ACIDS, min_size=85, max_size=85))
    spacers = [data.draw(st.text("G", min_size=1, max_size=30)) for _ in RUNS]
    runs = [pocket[a:b] for a, b in zip(RUNS[:-1], RUNS[1:], strict=True)]
    sequence = "".join(s + r for s, r in zip(spacers, [*runs, ""], strict=True))
    codes, letters = encode(sequence), encode_pocket(pocket)
    _, (placed,) = chain(codes, letters[None])
    aligned = align(codes, letters)
    for positions in (placed, aligned):
        assert (np.diff(positions[positions >= 0]) > 0).all()
        there = positions >= 0
        assert (codes[positions[there]] == letters[there]).mean() > 0.9 and there.sum() >= 70


def test_a_gap_takes_no_residue():
    pocket = encode_pocket("KVLGSGAFGTVYK" + "VAIKEL" + "EILDEAYVMASVD" + "PHVCRLLGI" + "QLITQ-MPFGCLLDYVRE" + "YLEDRRLVHRDLAARNVLV" + "ITDFGLA")
    sequence = "MM" + "WW".join(["KVLGSGAFGTVYK", "VAIKEL", "EILDEAYVMASVD", "PHVCRLLGI", "QLITQMPFGCLLDYVRE", "YLEDRRLVHRDLAARNVLV", "ITDFGLA"])
    _, (positions,) = chain(encode(sequence), pocket[None])
    assert positions[46] == -1 and (positions >= 0).sum() == 84 and positions[45] + 1 == positions[47]
    assert np.array_equal(align(encode(sequence), pocket), positions)


def test_a_deletion_in_the_pocket_is_a_gap_not_a_shift(library, sequence, prior):
    "Three residues out of the catalytic loop: the rest stays where it was."
    rows = prior.table[prior.table.target_id == "CDK2"].set_index("label").position
    first = rows["70"]
    domain, = find_domains(sequence["CDK2"][:first] + sequence["CDK2"][first + 3:], library)
    assert (domain.positions[69:72] < 0).sum() + (~domain.exact[69:72]).sum() >= 3
    assert np.array_equal(domain.positions[72:85], [rows[str(n)] - 3 for n in range(73, 86)])


# ---- what is refused

def test_unusable_targets_are_named_all_at_once():
    frame = pd.DataFrame({"target_id": ["a", "a", "", "d", "e"], "sequence": ["MKT", "MKT", "MKT", "", "mk-"]})
    with pytest.raises(InputError, match="4 of 5 targets") as caught: KlifsPocket().annotate(frame)
    assert [(p.where.split(" (")[0], p.field) for p in caught.value.problems] == [
        ("targets row 1", "target_id"), ("targets row 2", "target_id"), ("targets row 3", "sequence"), ("targets row 4", "sequence")]
    with pytest.raises(InputError, match="sequence.*missing"): KlifsPocket().annotate(frame[["target_id"]])
    with pytest.raises(InputError, match="Unknown source"): KlifsPocket("memory").annotate(frame[:1])


def test_a_prior_outside_the_sequence_names_every_offender():
    table = pd.DataFrame({"target_id": ["a", "a", "b", "c"], "drug_id": None, "position": [2, 3, 9, 0], "label": "", "segment": "", "source": ""})
    prior = Prior("mine", table, others=pd.DataFrame({"target_id": ["a"], "position": [7]}))
    with pytest.raises(InputError) as caught: prior.check(pd.DataFrame({"target_id": ["a", "b"], "sequence": ["MKT", "MKT"]}))
    assert sorted((p.field, p.value) for p in caught.value.problems) == [("position", 3), ("position", 7), ("position", 9), ("target_id", "c")]


@pytest.mark.parametrize("positions", [[0, 0], [-1, 1], [0.5, 1], ["x", 1], [None, 1], [float("inf"), 1]])
def test_malformed_positions_are_refused(positions):
    table = pd.DataFrame({"target_id": "a", "drug_id": None, "position": positions, "label": "", "segment": "", "source": ""})
    with pytest.raises(InputError, match="position"): Prior("mine", table)


def test_the_same_residue_for_two_drugs_is_no_repetition():
    table = pd.DataFrame({"target_id": "a", "drug_id": ["x", "y"], "position": 1, "label": "", "segment": "", "source": ""})
    assert Prior("mine", table).positions["a"].tolist() == [1]
    with pytest.raises(InputError, match="drug_id"): Prior("mine", table.drop(columns="drug_id"))


def test_the_hash_sees_residues_and_nothing_else():
    table = pd.DataFrame({"target_id": ["a", "b"], "drug_id": None, "position": [1, 2], "label": ["1", "2"], "segment": "", "source": "x"})
    one = Prior("p", table)
    assert one.hash == Prior("p", table.assign(source="y")[::-1]).hash
    others = pd.DataFrame({"target_id": ["a"], "position": [0]})
    different = [Prior("q", table), Prior("p", table.assign(position=[1, 3])), Prior("p", table.assign(drug_id="d")),
                 Prior("p", table, others=others)]
    assert len({one.hash, *(p.hash for p in different)}) == 5


def test_a_users_table_is_checked_letter_by_letter(targets, prior):
    mine = prior_from_table(pd.DataFrame({"target_id": ["EGFR", "EGFR"], "residue": ["T790", "K745"]}), targets, "contacts")
    assert mine.positions["EGFR"].tolist() == [744, 789] and set(mine.positions["EGFR"]) <= set(prior.positions["EGFR"])
    assert mine.coverage.set_index("target_id").status["BRAF"] == "not in the table"
    wrong = pd.DataFrame({"target_id": ["ABL1", "EGFR", "EGFR", "NOPE"], "residue": ["T315", "T9999", "790", "K1"]})
    with pytest.raises(InputError) as caught: prior_from_table(wrong, targets)
    assert [p.value for p in caught.value.problems] == ["T315", "T9999", "790"] # Davis' ABL1 counts 37 more
    with pytest.raises(InputError, match="no such target"):
        prior_from_table(pd.DataFrame({"target_id": ["NOPE"], "position": [0]}), targets)
    with pytest.raises(InputError, match="position.*missing"): prior_from_table(pd.DataFrame({"target_id": ["EGFR"]}), targets)


def test_an_empty_library_places_nothing(library):
    empty = PocketLibrary(library.table[:1], library.proteins)
    assert find_domains("M" * 50, empty) == []
