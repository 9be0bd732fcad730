"""A run that starts from another run's checkpoint has the settings of that run, by the value of the setting that leads to it."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pytest
from support.lineages import opened, write_pretrainings, write_run

_LOSS = [2.0 - 0.1 * i for i in range(12)]


def _probes(root: Path) -> pl.DataFrame:
    return opened(root).view("probe/*").runs.sort("run_id")


@pytest.mark.parametrize(
    ("setting", "link"),
    [
        ("pretrained_weights", "./{name}/checkpoint.pth"),
        ("model.init_from", "{root}/{name}"),
        ("teacher_checkpoint", "/home/someone/project/{name}/checkpoints/epoch_11/model.safetensors"),
        ("load_path", "s3://bucket/exp/{name}/ckpt_000011.pt"),
        ("resume_from_checkpoint", "{name}/checkpoint-11"),
        ("model_name_or_path", "..\\{name}\\best"),
        ("backbone.frozen", "{name}/last.ckpt"),
    ],
)
def test_the_path_of_a_checkpoint_leads_to_its_run_whatever_the_setting_is_called(
    tmp_path: Path, setting: str, link: str
) -> None:
    probes = _probes(write_pretrainings(tmp_path, link, setting))
    assert probes["from.aug"].cast(pl.String).to_list() == ["strong"] * 3 + ["weak"] * 3
    assert probes["from.seed"].to_list() == [0, 1, 2] * 2
    assert "from.lr" not in probes.columns, "all sources have the same learning rate"
    assert probes[f"metadata.from.{setting}"].to_list() == [
        f"pretrain/{a}-s{s}" for a in ("strong", "weak") for s in range(3)
    ]


def test_seeds_of_the_source_are_repetitions_and_its_settings_answer_questions(tmp_path: Path) -> None:
    db = opened(write_pretrainings(tmp_path))
    ranked = db.rank("val_acc").table
    assert ranked["from.aug"].cast(pl.String).to_list() == ["strong", "weak"]
    assert ranked["n"].to_list() == [3, 3]
    (row,) = db.compare(hparam="from.aug", metrics="val_acc").table.to_dicts()
    assert abs(row["difference"]) == pytest.approx(0.2, abs=1e-6)
    assert db.effects("val_acc").table["hparam"].to_list() == ["from.aug"]
    assert db.view(where="from.aug = 'strong'").runs.height == 3
    counted = db.query_sql(
        'SELECT "from.aug" a, count(*) n FROM runs WHERE "from.aug" IS NOT NULL GROUP BY 1 ORDER BY 1'
    )
    assert counted.table.rows() == [("strong", 3), ("weak", 3)]
    assert "from.aug=strong: mean" in str(db.overview())


def test_a_suggested_run_names_the_settings_and_the_seed_of_its_source(tmp_path: Path) -> None:
    root = write_pretrainings(tmp_path)
    shutil.rmtree(root / "probe" / "weak-s1")
    (row,) = opened(root).suggest("val_acc", 1).table.to_dicts()
    assert row["settings"] == ["from.aug=weak from.seed=1"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("data_path", "/datasets/imagenet/train"),
        ("output_dir", "pretrain/weak-s0"),
        ("init_from", "https://example.org/pretrain/weak-s0/checkpoint.pth"),
        ("init_from", "pretrain/unknown/checkpoint.pth"),
        ("base_config", "pretrain/weak-s0/config.yaml"),
        ("cache", "pretrain/weak-s0/tokens"),
        ("model", "weak-s0"),
        ("encoder", "weak-s0"),
        ("init_from", "s0/checkpoint.pth"),
    ],
)
def test_other_paths_lead_to_no_run(tmp_path: Path, setting: str, value: str) -> None:
    for name in ("weak-s0", "strong-s0"):
        write_run(tmp_path / "pretrain" / name, {"aug": name, "seed": 0}, {"loss": _LOSS})
    write_run(tmp_path / "probe" / "a", {setting: value, "seed": 0}, {"val_acc": [0.1 * i for i in range(9)]})
    assert not [c for c in opened(tmp_path).runs_df.columns if "from." in c]


def test_a_path_that_fits_several_runs_leads_to_none_and_more_of_its_parts_tell_them_apart(tmp_path: Path) -> None:
    for day in ("monday", "tuesday"):
        for aug in ("weak", "strong"):
            write_run(tmp_path / day / aug / "0", {"aug": aug, "day": day}, {"loss": _LOSS})
    for name, value in (("a", "weak/0/model.pt"), ("b", "monday/weak/0/model.pt"), ("c", "tuesday/strong/0/model.pt")):
        write_run(tmp_path / "tuned" / name, {"init_from": value, "k": 1}, {"val_acc": [0.1, 0.2, 0.3, 0.4]})
    runs = opened(tmp_path).view("tuned/*").runs.sort("run_id")
    assert runs["metadata.from.init_from"].to_list() == [None, "monday/weak/0", "tuesday/strong/0"]


def test_a_run_that_resumes_in_its_own_folder_has_no_source(tmp_path: Path) -> None:
    for name in "abc":
        settings = {"resume": f"runs/{name}/last.ckpt", "ckpt_dir": str(tmp_path / "runs" / name / "checkpoints")}
        write_run(tmp_path / "runs" / name, {"lr": ord(name), **settings}, {"loss": _LOSS})
    assert not [c for c in opened(tmp_path).runs_df.columns if "from." in c]


def test_a_bare_name_leads_to_a_run_unless_that_run_has_the_same_value(tmp_path: Path) -> None:
    for name, teacher in (("small", None), ("large", None), ("resnet", "resnet")):
        write_run(tmp_path / name, {"width": len(name), "teacher": teacher}, {"loss": _LOSS})
    for i, teacher in enumerate(("small", "large", "resnet")):
        write_run(tmp_path / f"distilled{i}", {"teacher": teacher, "k": i}, {"loss": _LOSS})
    runs = opened(tmp_path).view("distilled*").runs.sort("run_id")
    assert runs["metadata.from.teacher"].to_list() == ["small", "large", None]


def test_chains_are_followed_and_a_circle_ends(tmp_path: Path) -> None:
    for i, aug in enumerate(("weak", "strong")):
        write_run(tmp_path / f"base-{aug}", {"aug": aug}, {"loss": _LOSS})
        write_run(tmp_path / f"middle-{aug}", {"init": f"base-{aug}/m.pt", "tokens": 10 + i}, {"loss": _LOSS})
        write_run(tmp_path / f"tuned-{aug}", {"init": f"middle-{aug}/m.pt", "k": 1}, {"val_acc": [0.1, 0.2, 0.3 + i]})
        write_run(tmp_path / f"left-{aug}", {"init": f"right-{aug}/m.pt", "k": i}, {"loss": _LOSS})
        write_run(tmp_path / f"right-{aug}", {"init": f"left-{aug}/m.pt", "k": 5 + i}, {"loss": _LOSS})
    runs = opened(tmp_path).runs_df
    tuned = runs.filter(pl.col("run_id").str.starts_with("tuned")).sort("run_id")
    assert tuned["from.tokens"].to_list() == [11, 10]
    assert tuned["from.from.aug"].cast(pl.String).to_list() == ["strong", "weak"]
    assert runs.filter(run_id="left-weak")["from.k"].to_list() == [5]
    assert "from.from.k" not in runs.columns or runs.filter(run_id="left-weak")["from.from.k"].to_list() == [None]


def test_two_settings_that_lead_to_different_runs_have_names_of_their_own(tmp_path: Path) -> None:
    for i, name in enumerate("abcd"):
        write_run(tmp_path / "base" / name, {"width": 2**i, "seed": i}, {"loss": _LOSS})
    for teacher, student in (("a", "c"), ("b", "d"), ("a", "d")):
        links = {"teacher": f"base/{teacher}/m.pt", "init_from": f"base/{student}/m.pt"}
        write_run(tmp_path / "distilled" / (teacher + student), links, {"val_acc": [0.1, 0.2, 0.3]})
    runs = opened(tmp_path).view("distilled/*").runs.sort("run_id")
    assert runs["from.teacher.width"].to_list() == [1, 1, 2]
    assert runs["from.init_from.width"].to_list() == [4, 8, 8]


def test_a_setting_beside_runs_and_the_step_of_the_checkpoint_stay_settings(tmp_path: Path) -> None:
    write_run(tmp_path / "base" / "a", {"width": 1}, {"loss": _LOSS})
    for step in (500, 1000):
        for seed in range(2):
            settings = {"init_from": f"base/a/ckpt_{step}.pt", "seed": seed}
            write_run(
                tmp_path / "tuned" / f"{step}-{seed}", settings, {"val_acc": [0.1, 0.2, step / 2000 + seed / 1e3]}
            )
    for seed, value in ((0, None), (1, None), (2, "imagenet21k.npz")):
        settings = {"init_from": value, "seed": seed}
        write_run(tmp_path / "other" / f"{value}-{seed}", settings, {"val_acc": [0.1, 0.2, 0.2 + seed / 1e3]})
    ranked = opened(tmp_path).rank("val_acc").table
    found = {(row["from.init_from"], row["from.checkpoint"]): row["n"] for row in ranked.to_dicts()}
    assert found == {("a run", 500): 2, ("a run", 1000): 2, ("null", None): 2, ("imagenet21k.npz", None): 1}


def test_a_source_that_was_cut_off_or_failed_is_told_of_the_runs_that_started_from_it(tmp_path: Path) -> None:
    root = write_pretrainings(tmp_path)
    log = root / "pretrain" / "weak-s0" / "metrics.jsonl"
    (root / "pretrain" / "weak-s0" / "status.json").unlink()
    log.write_text("".join(log.read_text(encoding="utf-8").splitlines(keepends=True)[:4]), encoding="utf-8")
    (root / "pretrain" / "strong-s1" / "status.json").write_text('{"status": "failed"}', encoding="utf-8")
    db = opened(root)
    found = db.diagnose().table.filter(finding="source_run").sort("run_id")
    assert found["run_id"].to_list() == ["probe/strong-s1", "probe/weak-s0"]
    assert found["evidence"].to_list() == [
        "its source pretrain/strong-s1 has crashed: status failed",
        "its source pretrain/weak-s0 has ends_early: last step 3; 11 of 12 runs reached 11 or more",
    ]
    alone = db.diagnose(runs="probe/*").table.filter(finding="source_run")
    assert alone["run_id"].sort().to_list() == ["probe/strong-s1", "probe/weak-s0"]
    for answer in (db.rank("val_acc"), db.compare(hparam="from.aug", metrics="val_acc")):
        assert any("2 of the 6 runs used started from a run that did not end well" in w for w in answer.basis.warnings)


def test_the_data_set_of_the_source_is_a_setting_not_a_task(tmp_path: Path) -> None:
    for i, data in enumerate(("web", "books")):
        for seed in range(2):
            write_run(
                tmp_path / "base" / f"{data}{seed}", {"dataset": data, "seed": seed, "epochs": 3 + i}, {"loss": _LOSS}
            )
            settings = {"init_from": f"base/{data}{seed}/m.pt", "dataset": "test", "epochs": 12}
            write_run(tmp_path / "tuned" / f"{data}{seed}", settings, {"val_acc": [0.1, 0.2, 0.3 + i + seed / 1e3] * 4})
    db = opened(tmp_path)
    ranked = db.rank("val_acc", runs="tuned/*").table
    assert ranked["from.dataset"].cast(pl.String).to_list() == ["books", "web"]
    assert ranked["n"].to_list() == [2, 2]
    assert not db.diagnose(runs="tuned/*").table.filter(pl.col("finding").str.starts_with("config")).height


def test_a_setting_of_a_configuration_with_this_prefix_keeps_another_name(tmp_path: Path) -> None:
    root = write_pretrainings(tmp_path)
    write_run(root / "other", {"from": {"aug": 7}, "lr": 0.1}, {"loss": _LOSS})
    runs = opened(root).runs_df
    assert runs.filter(run_id="other")["hparam.from.aug"].to_list() == [7]
    assert runs.filter(run_id="other")["from.aug"].to_list() == [None]


def test_a_new_probe_and_a_later_source_are_joined_at_the_next_reading(tmp_path: Path) -> None:
    root = write_pretrainings(tmp_path)
    db = opened(root)
    write_run(root / "probe" / "late", {"pretrained_weights": "pretrain/late/m.pt", "seed": 0}, {"val_acc": [0.1, 0.2]})
    assert db.runs_df.filter(run_id="probe/late")["from.aug"].to_list() == [None]
    write_run(root / "pretrain" / "late", {"aug": "odd", "seed": 9, "lr": 5e-4}, {"loss": _LOSS})
    assert db.runs_df.filter(run_id="probe/late")["from.aug"].to_list() == ["odd"]


@pytest.mark.parametrize("theirs", [{}, {"lr": 0.2}, {"lr": 0.2, "seed": 1}], ids=["unknown", "equal", "equal seeds"])
def test_sources_that_nothing_tells_apart_are_two_settings_not_repetitions(
    tmp_path: Path, theirs: dict[str, object]
) -> None:
    """Two teachers without a configuration, or with the same one, differ in what is not known."""
    for teacher, gain in (("resnet50", 0.0), ("vitb16", 0.1)):
        source = write_run(tmp_path / "teachers" / teacher, theirs, {"acc": [0.5, 0.6, 0.7]})
        if not theirs:
            (source / "config.yaml").unlink()
        for seed in range(3):
            acc = [0.4, 0.5, 0.6 + gain + seed / 1000]
            settings = {"teacher": f"teachers/{teacher}/best.pth", "lr": 0.1, "seed": seed}
            write_run(tmp_path / "students" / f"{teacher}-s{seed}", settings, {"acc": acc})
    db = opened(tmp_path)
    students = "run_id LIKE 'students%'"
    ranked = db.rank("acc", where=students).table
    assert ranked.select("teacher", "n").rows() == [
        ("teachers/vitb16/best.pth", 3),
        ("teachers/resnet50/best.pth", 3),
    ]
    assert db.compare(hparam="teacher", metrics="acc", where=students).table["difference"].to_list() == [
        pytest.approx(0.1)
    ]


def test_sources_of_the_same_settings_with_seeds_are_repetitions(tmp_path: Path) -> None:
    """Two of four pretrainings have the same settings and seed, as a training that was made twice has."""
    for name, aug, seed in (("a", "weak", 0), ("b", "weak", 0), ("c", "weak", 1), ("d", "strong", 0)):
        write_run(tmp_path / "pre" / f"{name}1", {"aug": aug, "seed": seed}, {"loss": [3.0, 2.0, 1.0]})
        write_run(tmp_path / "probe" / name, {"init_from": f"pre/{name}1/last.pt", "lr": 0.1}, {"acc": [0.1, 0.2, 0.3]})
    ranked = opened(tmp_path).rank("acc").table
    assert dict(ranked.select("from.aug", "n").iter_rows()) == {"weak": 3, "strong": 1}
