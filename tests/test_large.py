"""An audit in parts gives the numbers of the same audit in memory, however it is cut, and survives whatever stops it."""
import numpy as np
import pandas as pd
import pytest

from isaac.audit import audit, find_runs
from isaac.core import InputError
from isaac.large import STREAMED, audit_large
from isaac.priors import prior_from_table

LETTERS = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
OPTIONS = {"operators": ["substitute", "homolog"], "matchings": ["uniform", "geometry"], "doses": [4], "repeats": 2, "intervention_seeds": 2,
           "bootstrap_draws": 200, "progress": False}
KEYS = ["support", "operator", "matching", "dose", "score"]


def counts(smiles, sequences):
    return np.array([len(d) * s[40:70].count("K") + s.count("W") + 0.1 * len(d) for d, s in zip(smiles, sequences, strict=True)], float)


@pytest.fixture(scope="module")
def pairs():
    "Two families of ten sequences, of which one has a pocket too long to be translated; seven drugs, two pairs of three."
    rng, sequences = np.random.default_rng(0), {}
    for family, length in (("A", 120), ("B", 90)):
        root = rng.choice(LETTERS, length)
        for i in range(10): sequences[f"{family}{i}"] = "".join(np.where(rng.random(length) < 0.2, rng.choice(LETTERS, length), root))
    rows = [(f"D{i}", t, "C" * (i + 1), s) for i in range(7) for j, (t, s) in enumerate(sequences.items()) if (i + j) % 3]
    return pd.DataFrame(rows, columns=["drug_id", "target_id", "smiles", "sequence"])


@pytest.fixture(scope="module")
def prior(pairs):
    reach = {"A": range(40, 60), "B": range(5, 85)}
    pocket = [(t, p) for t in pairs["target_id"].unique() for p in reach[t[0]]]
    return prior_from_table(pd.DataFrame(pocket, columns=["target_id", "position"]), pairs.drop_duplicates("target_id"))


@pytest.fixture
def source(pairs, tmp_path):
    (tmp_path / "pairs").mkdir()
    for i, some in enumerate(np.array_split(np.arange(len(pairs)), 3)): pairs.iloc[some].to_parquet(tmp_path / "pairs" / f"{i}.parquet", index=False)
    return tmp_path / "pairs"


@pytest.mark.parametrize("parts", [1, 2, 40])
def test_numbers_do_not_depend_on_the_parts(pairs, prior, source, tmp_path, parts):
    found = audit_large(counts, source, prior, tmp_path / "run", parts=parts, **OPTIONS)
    whole = audit(counts, pairs, prior, **OPTIONS)
    both = found.scores.merge(whole.scores(), on=KEYS, suffixes=("", "_whole"), validate="one_to_one")
    assert len(both) == 2 * 4 * len(STREAMED) and both["pairs"].nunique() > 1
    for column in ("value", "low", "high", "mc_error"): np.testing.assert_allclose(both[column], both[f"{column}_whole"], atol=1e-9, err_msg=column)
    for column in ("pairs", "drugs", "sequences", "status", "endpoint"): assert both[column].tolist() == both[f"{column}_whole"].tolist()
    order = ["target_id", "matching", "dose", "reason"]
    assert found.unauditable.sort_values(order).to_numpy().tolist() == whole.plan.unauditable.sort_values(order).to_numpy().tolist()
    assert found.manifest["account"]["asked"] == whole.responses.account["asked"]
    runs = find_runs(tmp_path)
    assert runs["state"].tolist() == ["finished"] and runs["value"].iloc[0] == pytest.approx(whole.primary["value"])


def test_what_is_done_is_not_asked_again(prior, source, tmp_path):
    left = 3 # steps that it answers; the self-check's are smaller
    def model(smiles, sequences):
        nonlocal left
        if len(smiles) > 60: left -= 1
        if left < 0: raise KeyboardInterrupt
        return counts(smiles, sequences)
    with pytest.raises(KeyboardInterrupt): audit_large(model, source, prior, tmp_path / "run", parts=5, **OPTIONS)
    done = len(list((tmp_path / "run" / "parts").glob("*.json")))
    assert 0 < done < 5 and not (tmp_path / "run" / "scores.csv").exists()
    left = 10**6
    again = audit_large(model, source, prior, tmp_path / "run", parts=5, **OPTIONS)
    other = audit_large(counts, source, prior, tmp_path / "other", parts=5, **OPTIONS)
    assert again.scores.drop(columns="model").equals(other.scores.drop(columns="model"))
    assert not (tmp_path / "run" / "answers").exists()
    left = -1
    assert audit_large(model, source, prior, tmp_path / "run", parts=5, **OPTIONS).scores.equals(again.scores) # was read


def test_another_audit_is_refused(prior, source, tmp_path):
    audit_large(counts, source, prior, tmp_path / "run", parts=2, **OPTIONS)
    with pytest.raises(InputError, match="config"): audit_large(counts, source, prior, tmp_path / "run", parts=2, **OPTIONS | {"seed": 3})
    with pytest.raises(InputError, match="plan_hash"): audit_large(counts, source, prior, tmp_path / "run", parts=3, **OPTIONS)
    pd.read_parquet(source / "2.parquet").head(5).to_parquet(source / "2.parquet", index=False)
    with pytest.raises(InputError, match="data"): audit_large(counts, source, prior, tmp_path / "run", parts=2, **OPTIONS)


def test_what_cannot_be_streamed_is_named(prior, source, tmp_path):
    with pytest.raises(InputError, match="OVL.*placebos.*initialisations.*sufficiency.*RS.*is primary.*parts"):
        audit_large(counts, source, prior, tmp_path / "run", scores=["OVL"], parts=0, placebos=20, initialisations=5, sufficiency=True, **OPTIONS)
    assert not (tmp_path / "run").exists()


def test_bad_tables(pairs, prior, tmp_path):
    def of(frame: pd.DataFrame):
        frame.to_csv(tmp_path / "table.csv", index=False)
        return audit_large(counts, tmp_path / "table.csv", prior, tmp_path / "run", **OPTIONS)
    with pytest.raises(InputError, match="none.csv cannot be read"): audit_large(counts, tmp_path / "none.csv", prior, tmp_path / "run", **OPTIONS)
    with pytest.raises(InputError, match="lacks columns.*smiles"): of(pairs.drop(columns="smiles"))
    with pytest.raises(InputError, match="holds no pairs"): of(pairs.head(0))
    other = pairs.assign(sequence=pairs["sequence"].where(pairs.index != 3, "MK1"), smiles=pairs["smiles"].where(pairs.index != 5, "C(C"))
    with pytest.raises(InputError, match="elsewhere") as caught: of(other)
    assert {p.value for p in caught.value.problems} >= {"MK1", "C(C"} and not (tmp_path / "run").exists()
