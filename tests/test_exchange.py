"""Questions out, predictions in: nothing lost, nothing believed unseen, and the same bits as with the model at hand."""
import gzip
import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy import write_toy
from typer.testing import CliRunner

from isaac.audit import AuditResult, audit
from isaac.cli import app
from isaac.core import InputError, IsaacError
from isaac.datasets import DTIDataset, load_davis
from isaac.engine import COMPANY
from isaac.exchange import load_questions, score_predictions, write_questions
from isaac.predictors import FunctionPredictor, Reading
from isaac.priors import KlifsPocket, prior_from_table

OPTIONS = dict(operators=["mask", "substitute"], matchings=["geometry", "uniform"], doses=[5], repeats=1, intervention_seeds=2, bootstrap_draws=100)
WEIGHT = {letter: w for letter, w in zip("ACDEFGHIKLMNPQRSTVWY", np.random.default_rng(1).normal(size=20), strict=True)} | {"X": 0.0}


def reads_everything(smiles, sequences):
    return np.array([len(d) / 3 + sum(map(WEIGHT.__getitem__, t[:100])) for d, t in zip(smiles, sequences, strict=True)])


def by_table(rows: pd.DataFrame, how: Reading) -> FunctionPredictor:
    "A model that knows nothing but the predictions in `rows`."
    known = dict(zip(zip(rows["smiles"], rows["sequence"], strict=True), rows["value"], strict=True))
    return FunctionPredictor(lambda smiles, sequences: [known[pair] for pair in zip(smiles, sequences, strict=True)], **vars(how))


def assert_same(result: AuditResult, other: AuditResult) -> None:
    "The same bits: responses, noise and every score with its interval."
    pd.testing.assert_frame_equal(result.responses.table, other.responses.table, check_exact=True)
    pd.testing.assert_frame_equal(result.scores(), other.scores(), check_exact=True)
    pd.testing.assert_frame_equal(result.targets(), other.targets(), check_exact=True)
    assert result.responses.noise == other.responses.noise and result.manifest["warnings"] == other.manifest["warnings"]


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    targets = {f"T{j}": "".join(generator.choice(list("ACDEFGHIKLMNPQRSTVWY"), 110)) for j in range(5)}
    return DTIDataset.from_frame(pd.DataFrame([(f"d{i}", t, "C" * (i + 1) + "O", q, 5.0 + i) for i in range(4) for t, q in targets.items()],
                                              columns=["drug_id", "target_id", "smiles", "sequence", "affinity"]), name="toy", threshold=7.0)


@pytest.fixture(scope="module")
def prior(data):
    pocket = pd.DataFrame([(t, p) for t in data.targets["target_id"] for p in range(40, 52)], columns=["target_id", "position"])
    return prior_from_table(pocket, data.targets)


@pytest.fixture(scope="module")
def how(): return Reading(max_target_length=100)


@pytest.fixture(scope="module")
def plan(data, prior, how, tmp_path_factory):
    "A plan in CSV, three files."
    folder = tmp_path_factory.mktemp("exchange") / "plan"
    assert len(write_questions(folder, data, prior, how, format="csv", shard_size=150, **OPTIONS).rows) > 300
    return folder


@pytest.fixture(scope="module")
def answers(plan):
    "Every row of the plan with its prediction."
    rows = pd.concat([pd.read_csv(p) for p in sorted(plan.glob("questions-*.csv"))], ignore_index=True)
    return rows.assign(value=reads_everything(rows["smiles"], rows["sequence"]))


@pytest.fixture(scope="module")
def direct(data, prior, how, answers): return audit(by_table(answers, how), data, prior, name="mine", progress=False, **OPTIONS)


def write(table: pd.DataFrame, path: Path) -> Path:
    if path.suffix == ".parquet": table.to_parquet(path, index=False)
    else: table.to_csv(path, index=False, sep="\t" if ".tsv" in path.name else ",")
    return path


def refused(plan, table, path: Path) -> InputError:
    with pytest.raises(InputError) as error: score_predictions(plan, write(table, path), "mine")
    return error.value


# --- the same result -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.parquet", "p.csv.gz", "p.tsv.gz"])
@pytest.mark.parametrize("columns", [["question", "value"], ["value", "check", "question"], ["sequence", "value", "smiles", "question"]])
def test_every_format_gives_the_bits_of_the_direct_route(plan, answers, direct, tmp_path, name, columns):
    assert_same(score_predictions(plan, write(answers[columns], tmp_path / name), "mine"), direct)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), parts=st.lists(st.tuples(st.sampled_from([".csv", ".parquet", ".tsv.gz"]), st.integers(0, 400)), max_size=4))
def test_any_order_of_rows_in_any_files_is_the_same(plan, answers, direct, tmp_path_factory, seed, parts):
    folder, mixed = tmp_path_factory.mktemp("files"), answers[["question", "value"]].sample(frac=1, random_state=seed)
    cuts = sorted(min(cut, len(mixed)) for _, cut in parts)
    pieces = np.split(np.arange(len(mixed)), cuts)
    for i, (rows, kind) in enumerate(zip(pieces, [*(k for k, _ in parts), ".csv"], strict=True)): write(mixed.iloc[rows], folder / f"{i}{kind}")
    assert_same(score_predictions(plan, folder, "mine"), direct)


def test_answers_for_each_shard_are_found_by_pattern_and_counted_once(plan, answers, direct, tmp_path):
    for shard, rows in answers.groupby(answers.index // 150): write(rows[["question", "value"]], tmp_path / f"predictions-{shard}.csv")
    (tmp_path / "notes.txt").write_text("not a prediction")
    assert_same(score_predictions(plan, [tmp_path / "predictions-*.csv", tmp_path, tmp_path / "predictions-0.csv"], "mine"), direct)


def test_single_precision_and_whole_numbers_arrive_exactly(plan, answers, data, prior, how, tmp_path):
    for value in (answers["value"].astype(np.float32), answers["value"].round().astype(int)):
        rows = answers.assign(value=value)
        expected = audit(by_table(rows, how), data, prior, name="mine", progress=False, **OPTIONS)
        assert_same(score_predictions(plan, write(rows[["question", "value"]], tmp_path / "p.parquet"), "mine"), expected)


@pytest.mark.parametrize("format", ["parquet", "csv", "csv.gz"])
def test_every_format_of_questions_asks_the_same(plan, data, prior, how, answers, direct, tmp_path, format):
    asked = write_questions(tmp_path / "other", data, prior, how, format=format, shard_size=100, **OPTIONS)
    shards = sorted((tmp_path / "other").glob("questions-*"))
    read = pd.read_parquet if format == "parquet" else pd.read_csv
    assert [p.name for p in shards] == [f"questions-{i:05}.{format}" for i in range(-(-len(asked.rows) // 100))]
    pd.testing.assert_frame_equal(pd.concat(map(read, shards), ignore_index=True), answers.drop(columns="value"), check_dtype=False)
    assert_same(score_predictions(tmp_path / "other", write(answers[["question", "value"]], tmp_path / "p.csv"), "mine"), direct)


def test_probabilities_become_logits_once_and_clipped_ones_are_counted(data, prior, tmp_path):
    how = Reading("probability", max_target_length=100)
    rows = write_questions(tmp_path / "plan", data, prior, how, **OPTIONS).rows
    with np.errstate(over="ignore"): rows = rows.assign(value=1 / (1 + np.exp(-6 * reads_everything(rows["smiles"], rows["sequence"]))))
    found = score_predictions(tmp_path / "plan", write(rows[["question", "value"]], tmp_path / "p.csv"), "mine")
    assert_same(found, audit(by_table(rows, how), data, prior, name="mine", progress=False, **OPTIONS))
    beyond = int((~rows["value"].iloc[:found.responses.account["predicted"]].between(1e-7, 1 - 1e-7)).sum())
    assert found.responses.account["clipped"] == beyond > 0
    assert any(f"{beyond:,} predicted probabilities were clipped" in warning for warning in found.manifest["warnings"])
    assert np.abs(found.responses.table["value"]).max() == pytest.approx(np.log(1e7))
    rows.loc[3, "value"] = 1.5
    assert "outside [0, 1]" in str(refused(tmp_path / "plan", rows, tmp_path / "p.csv"))


def test_the_davis_test_pairs_give_the_same_bits_by_both_routes(mirror, tmp_path):
    "All auditable test pairs; the predictions are read from one table by both routes."
    test, options = load_davis().test, OPTIONS | dict(operators=["mask"], matchings=["geometry", "uniform"], doses=[20], intervention_seeds=1)
    prior, how = KlifsPocket().annotate(test.targets), Reading(max_target_length=1000)
    rows = write_questions(tmp_path / "plan", test, prior, how, **options).rows
    letters = rows["sequence"].drop_duplicates()
    summed = dict(zip(letters, (sum(map(WEIGHT.__getitem__, t[:1000])) for t in letters), strict=True))
    rows = rows.assign(value=rows["smiles"].str.len() / 7 + rows["sequence"].map(summed))
    write(rows[["question", "value"]].sample(frac=1, random_state=0), tmp_path / "predictions.csv")
    found = score_predictions(tmp_path / "plan", tmp_path / "predictions.csv", "sum")
    assert_same(found, audit(by_table(rows, how), test, prior, name="sum", progress=False, **options))
    assert found.primary["pairs"] > 4_000 and found.responses.account["predicted"] > 15_000
    holes = rows[["question", "value"]].drop(index=[17, 9_000]).assign(value=lambda t: t["value"].where(t.index != 12_000))
    said = refused(tmp_path / "plan", holes, tmp_path / "holes.parquet")
    assert {p.reason for p in said.problems} == {"missing", "not finite"} and len(said.problems) == 3


# --- everything that can go wrong on the way ---------------------------------------------------------------------------------------------------


def test_missing_predictions_are_named_by_drug_target_and_edit(plan, answers, tmp_path):
    error = refused(plan, answers.drop(index=[0, 7, len(answers) - 1]), tmp_path / "p.csv")
    assert "3 missing" in str(error) and [p.value for p in error.problems] == answers["question"].iloc[[0, 7, -1]].tolist()
    assert all(any(f"{d} × {t}" in p.where for d in ("d0", "d1", "d2", "d3") for t in ("T0", "T1", "T2", "T3", "T4")) for p in error.problems)
    assert all(p.where.split(", ")[1] == "unedited" or "dose 5" in p.where for p in error.problems)
    assert error.problems[2].where.endswith("asked again")


def test_duplicates_are_named_also_when_they_agree_and_in_other_files(plan, answers, tmp_path):
    again = write(answers.iloc[[4]], tmp_path / "again.parquet")
    with pytest.raises(InputError, match="2 repeated") as error:
        score_predictions(plan, [write(pd.concat([answers, answers.iloc[[9]]]), tmp_path / "p.csv"), again], "mine")
    one, two = error.value.problems
    assert one.where == f"{tmp_path / 'p.csv'} line {len(answers) + 2}" and one.reason == f"also in {tmp_path / 'p.csv'} line 11"
    assert two.where == f"{again} row 0" and two.reason == f"also in {tmp_path / 'p.csv'} line 6"


@pytest.mark.parametrize("value, reason", [
    ("", "empty"), ("high", "not a number"), ("6,5", "not a number"), ("1_000", "not a number"), ("True", "not a number"),
    ("NaN", "not finite"), ("inf", "not finite"), ("-1e999", "not finite")])
@pytest.mark.parametrize("name", ["p.csv", "p.parquet"])
def test_what_is_no_finite_number_is_named_with_file_and_row(plan, answers, tmp_path, value, reason, name):
    texts = answers["value"].astype(str)
    texts[5] = value
    error = refused(plan, answers.assign(value=texts)[["question", "value"]], tmp_path / name)
    place = f"{tmp_path / name} {'line 7' if name == 'p.csv' else 'row 5'}"
    assert [(p.where, p.field, p.value, p.reason) for p in error.problems] == [(place, "value", value, reason)]


def test_numbers_that_are_missing_in_parquet_are_named(plan, answers, tmp_path):
    for bad in (np.nan, np.inf, -np.inf):
        error = refused(plan, answers.assign(value=answers["value"].where(answers.index != 8, bad)), tmp_path / "p.parquet")
        assert [(p.where, p.reason) for p in error.problems] == [(f"{tmp_path / 'p.parquet'} row 8", "not finite")]
    lists = answers.assign(value=[[v] for v in answers["value"]])
    assert {p.reason for p in refused(plan, lists, tmp_path / "p.parquet").problems} == {"not a number"}


@pytest.mark.parametrize("column, change", [
    ("sequence", lambda s: s.lower()), ("sequence", lambda s: s[:32]), ("sequence", lambda s: s.replace("K", "R")), ("sequence", lambda s: ""),
    ("smiles", lambda s: s[::-1]), ("check", lambda s: s.upper())])
def test_altered_cells_are_named(plan, answers, tmp_path, column, change):
    altered = answers.copy()
    altered.loc[6, column] = change(altered.loc[6, column])
    problem, = refused(plan, altered, tmp_path / "p.csv").problems
    assert (problem.where, problem.field) == (f"{tmp_path / 'p.csv'} line 8", column) and "not this question's, from character" in problem.reason


def test_an_id_column_out_of_step_with_any_other_column_is_caught(plan, answers, tmp_path):
    for kept in (["check"], ["smiles"], ["sequence"]):
        rolled = answers.assign(question=np.roll(answers["question"], 1))[["question", "value", *kept]]
        error = refused(plan, rolled, tmp_path / "p.csv")
        assert len(error.problems) > len(answers) / 10 and {p.field for p in error.problems} == set(kept)


@pytest.mark.parametrize("disorder", [lambda v: np.roll(v, 1), np.sort, lambda v: v[::-1]])
def test_values_out_of_step_with_their_ids_disagree_on_questions_asked_twice(plan, answers, tmp_path, disorder):
    path = write(answers.assign(value=disorder(answers["value"].to_numpy()))[["question", "value"]], tmp_path / "p.csv")
    with pytest.raises(IsaacError, match="asked twice, has two answers.*pair") as error: score_predictions(plan, path, "mine")
    assert not isinstance(error.value, InputError)


def test_values_without_ids_are_refused(plan, answers, tmp_path):
    assert "no column question, only value" in str(refused(plan, answers[["value"]], tmp_path / "p.csv"))
    assert "no column question and no column value, only 0" in str(refused(plan, answers[["value"]].set_axis(["0"], axis=1), tmp_path / "p.parquet"))


def test_ids_of_another_plan_are_unknown(plan, data, prior, answers, tmp_path):
    other = write_questions(tmp_path / "other", data, prior, **OPTIONS | {"seed": 7}).rows.assign(value=1.0)
    foreign = other[~other["question"].isin(answers["question"])]
    error = refused(plan, foreign, tmp_path / "p.csv")
    assert f"{len(foreign):,} unknown, {len(answers):,} missing" in str(error) and "made for another?" in error.advice
    spreadsheet = refused(plan, answers.assign(question=answers["question"].str[1:]), tmp_path / "p.csv")
    assert f"{len(answers):,} unknown" in str(spreadsheet)


def test_every_kind_of_problem_is_told_at_once(plan, answers, tmp_path):
    damaged = shutil.copytree(plan, tmp_path / "plan")
    (damaged / "questions-00001.csv").write_text("question\n")
    (damaged / "questions-00002.csv").unlink()
    wrong = answers.astype({"value": object})
    wrong.loc[0, "question"], wrong.loc[1, "question"] = "q0", wrong.loc[2, "question"]
    wrong.loc[3, "sequence"], wrong.loc[4, "value"] = "M", "?"
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputError) as error:
        score_predictions(damaged, [tmp_path / "broken.parquet", tmp_path / "absent.csv", write(wrong, tmp_path / "p.csv")], "mine")
    assert "2 unreadable, 2 damaged, 1 unknown, 1 repeated, 3 altered, 1 unusable, 2 missing" in str(error.value)
    assert len(error.value.table) == len(error.value.problems) == 12


@pytest.mark.parametrize("content, said", [
    (b"question;value\nq1;2,5\n", "no column question and no column value, only question;value"), (b"", "No columns"),
    (b"question,value\nq1,2,5\n", "more fields than its header"), (b"question,value\nq1,2\nq2,2,5\n", "line 3"),
    (b"question,value\n\xff\xfe", "decode")])
def test_files_that_are_no_tables_of_predictions_say_why(plan, tmp_path, content, said):
    (tmp_path / "p.csv").write_bytes(content)
    with pytest.raises(InputError, match="1 unreadable") as error: score_predictions(plan, tmp_path / "p.csv", "mine")
    assert said in error.value.problems[0].reason
    (tmp_path / "p.csv.gz").write_bytes(gzip.compress(b"question,value\n" * 9_999)[:-20])
    with pytest.raises(InputError, match="1 unreadable"): score_predictions(plan, tmp_path / "p.csv.gz", "mine")


def test_a_byte_order_mark_and_empty_lines_do_no_harm(plan, answers, direct, tmp_path):
    (tmp_path / "p.csv").write_text("\ufeff" + answers[["question", "value"]].to_csv(index=False).replace("\n", "\r\n") + "\r\n\r\n", newline="")
    assert_same(score_predictions(plan, tmp_path / "p.csv", "mine"), direct)


def test_small_disagreement_is_noise_and_more_is_an_error_that_names_the_question(plan, answers, tmp_path):
    second = answers.index[-48:]
    near = answers["value"].where(~answers.index.isin(second), answers["value"] + 5e-5)
    found = score_predictions(plan, write(answers.assign(value=near), tmp_path / "p.parquet"), "mine")
    assert found.responses.noise == pytest.approx(5e-5, rel=1e-6) and 0 < found.responses.account["self_check"] <= 5e-5
    far = answers["value"].where(answers.index != second[3], answers["value"] * (1 + 2 * COMPANY) + 2 * COMPANY)
    with pytest.raises(IsaacError, match=r"two answers.*pair \d+ \(d\d × T\d\)"):
        score_predictions(plan, write(answers.assign(value=far), tmp_path / "p.parquet"), "mine")


def test_few_decimals_are_told(plan, answers, tmp_path):
    found = score_predictions(plan, write(answers.assign(value=answers["value"].round(2)), tmp_path / "p.csv"), "mine")
    assert found.manifest["warnings"][1:] == ["no prediction has more than 2 decimals, so that a response of 0.01 may be rounding"]


# --- the folder and the run directory -------------------------------------------------------------------------------------------------------------


def test_the_same_plan_is_recognised_and_another_refused(plan, data, prior, how):
    before = {p: p.stat().st_mtime_ns for p in plan.rglob("*")}
    write_questions(plan, data, prior, how, format="csv", shard_size=150, **OPTIONS)
    for change in ({"format": "parquet"}, {"shard_size": 149}, {"seed": 1}, {"level": 0.9}):
        with pytest.raises(InputError, match="holds another plan"):
            write_questions(plan, data, prior, how, **{"format": "csv", "shard_size": 150} | OPTIONS | change)
    assert {p: p.stat().st_mtime_ns for p in plan.rglob("*")} == before and [p.name for p in plan.parent.iterdir()] == ["plan"]


def test_a_plan_is_written_whole_or_not_at_all(data, prior, how, tmp_path, monkeypatch):
    def full_disk(*_): raise OSError("no space left on device")
    with monkeypatch.context() as patch:
        patch.setattr("isaac.exchange.instructions", full_disk)
        with pytest.raises(OSError, match="no space"): write_questions(tmp_path / "plan", data, prior, how, **OPTIONS)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "plan").mkdir()
    write_questions(tmp_path / "plan", data, prior, how, **OPTIONS)
    assert load_questions(tmp_path / "plan").prepared.plan.pairs.shape[0] == 20


def test_a_folder_with_other_files_is_left_alone(data, prior, how, tmp_path):
    (tmp_path / "thesis.txt").write_text("ten years of work")
    with pytest.raises(InputError, match="not empty and holds no plan"): write_questions(tmp_path, data, prior, how, **OPTIONS)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("file", ["audit/pairs.parquet", "audit/prior.parquet", "audit/cells.parquet"])
def test_a_plan_whose_tables_changed_is_refused(plan, answers, tmp_path, file):
    damaged = shutil.copytree(plan, tmp_path / "plan")
    frame = pd.read_parquet(damaged / file)
    frame.iloc[:-1].to_parquet(damaged / file)
    with pytest.raises(InputError, match=f"damaged.*{file}.*predictions stay valid"): load_questions(damaged)
    (damaged / file).unlink()
    assert "missing" in str(refused(damaged, answers, tmp_path / "p.csv"))


def test_a_manifest_that_changed_is_refused(plan, answers, tmp_path):
    damaged = shutil.copytree(plan, tmp_path / "plan")
    manifest = json.loads((damaged / "manifest.json").read_text())
    for changed, said in ((manifest | {"data": manifest["data"] | {"threshold": 5.0}}, "changed after"),
                          (manifest | {"schema_version": 2}, "schema version 2"), ([], "schema version None")):
        (damaged / "manifest.json").write_text(json.dumps(changed))
        assert said in str(refused(damaged, answers, tmp_path / "p.csv"))
    assert "holds no plan" in str(refused(tmp_path, answers, tmp_path / "p.csv"))


def test_unusable_options_are_named(data, prior, tmp_path):
    with pytest.raises(InputError, match="placebos 5.*initialisations 2"):
        write_questions(tmp_path / "plan", data, prior, placebos=5, initialisations=2, **OPTIONS)
    with pytest.raises(InputError, match="format 'xlsx'.*shard_size 0"): write_questions(tmp_path / "plan", data, prior, format="xlsx", shard_size=0)


def test_the_result_is_an_audit_like_any_other(plan, answers, direct, tmp_path):
    path = write(answers[["question", "value"]], tmp_path / "p.csv")
    found = score_predictions(plan, path, "mine", training_seed=3, out=tmp_path / "run")
    assert found.label == "mine" and found.training_seed == 3 and found.manifest["model"]["class"] == "predictions"
    assert {name: found.manifest[name] for name in ("data", "prior", "config", "plan_hash")} == {
        name: json.loads(json.dumps(direct.manifest[name])) for name in ("data", "prior", "config", "plan_hash")}
    written = (tmp_path / "run" / "responses.parquet").stat().st_mtime_ns
    again = score_predictions(plan, write(answers.iloc[::-1], tmp_path / "q.parquet"), "mine", training_seed=3, out=tmp_path / "run")
    assert (tmp_path / "run" / "responses.parquet").stat().st_mtime_ns == written and (tmp_path / "run" / "report.html").is_file()
    assert_same(again, found)
    assert_same(AuditResult.load(tmp_path / "run"), found)
    other = write(answers.assign(value=answers["value"] + 1), tmp_path / "r.csv")
    with pytest.raises(InputError, match="holds another audit"): score_predictions(plan, other, "mine", training_seed=3, out=tmp_path / "run")


@pytest.mark.parametrize("format", ["parquet", "csv", "csv.gz"])
def test_the_instructions_can_be_followed_to_the_letter(data, prior, how, answers, direct, tmp_path, monkeypatch, format):
    write_questions(tmp_path / "plan", data, prior, how, format=format, shard_size=200, **OPTIONS)
    monkeypatch.chdir(tmp_path / "plan")
    told = Path("PREDICT.md").read_text()
    assert "48 questions are here twice" in told and "reads 100 residues, cut off on the right" in told
    exec(told.split("```python\n")[1].split("```")[0], {"my_model": reads_everything})
    command = shlex.split(told.split("in this folder: `isaac ")[1].split("`")[0])
    assert CliRunner().invoke(app, command).exit_code == 0
    found = AuditResult.load("result")
    assert found.label == "my model" and found.responses.table["value"].equals(direct.responses.table["value"])


def call(*arguments): return CliRunner().invoke(app, [str(a) for a in arguments])


def test_plan_and_score_on_the_command_line(tmp_path):
    "The whole way as a user goes it, whose model stands for any other program."
    study = write_toy(tmp_path)
    design = ["--operators", "mask", "--matchings", "geometry,uniform", "--doses", 5, "--repeats", 1, "--seeds", 2, "--primary", "mask/uniform/5"]
    asked = ["plan", "--dataset", study.parent / "pairs.csv", "--threshold", 6.5, "--prior", study.parent / "pocket.csv", *design,
             "--max-target-length", 100, "--truncation", "right", "--mask-token", "X", "--scale", "affinity", "--out", tmp_path / "plan"]
    people, scripts = call(*asked, "--format", "csv", "--shard-size", 300), call(*asked, "--format", "csv", "--shard-size", 300, "--json")
    assert people.exit_code == 0 and "PREDICT.md" in people.stdout and "questions-00000.csv and " in people.stdout, people.output
    answer = json.loads(scripts.stdout)
    assert answer["rows"] == answer["questions"] + 48 and len(answer["files"]) == -(-answer["rows"] // 300) and answer["pairs"] == 120
    for shard in answer["files"]:
        rows, path = pd.read_csv(shard), tmp_path / Path(shard).name.replace("questions", "answers")
        write(rows[["question"]].assign(value=reads_everything(rows["smiles"], rows["sequence"])), path)
    scored = call("score", tmp_path / "plan", tmp_path / "answers-*.csv", "--name", "mine", "--out", tmp_path / "run", "--json")
    assert scored.exit_code == 0, scored.output
    found = AuditResult.load(tmp_path / "run")
    assert json.loads(scored.stdout)["primary"]["value"] == found.primary["value"] and found.primary["matching"] == "uniform"
    assert (tmp_path / "run" / "report.html").is_file() and found.manifest["model"]["max_target_length"] == 100
    last = tmp_path / "answers-00000.csv"
    last.write_text(last.read_text().rsplit("\n", 2)[0] + "\n")
    refusal = call("score", tmp_path / "plan", tmp_path / "answers-*.csv", "--name", "mine", "--out", tmp_path / "other")
    assert refusal.exit_code == 2 and "1 missing" in refusal.stderr and " × T" in refusal.stderr and not (tmp_path / "other").exists()
    other = call(*asked, "--format", "parquet")
    assert other.exit_code == 2 and "holds another plan" in other.stderr
