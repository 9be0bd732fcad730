"""Small sources of every format, as text: what `odd_files` makes odd."""

from __future__ import annotations

import json
from collections.abc import Mapping

__all__ = ["DATABASES", "TEXTS"]

TEXTS: Mapping[str, Mapping[str, str]] = {
    "keras": {"training.log": "epoch,accuracy,loss,val_loss\n0,0.5,1.0,1.1\n1,0.6,0.9,1.0\n2,0.7,0.8,0.9\n"},
    "lightning": {
        "metrics.csv": "epoch,step,train_loss,val_loss\n0,9,0.5,\n0,9,,0.6\n1,19,0.4,\n1,19,,0.5\n",
        "hparams.yaml": "lr: 0.001\nbatch_size: 32\noptim:\n  name: adam\n",
    },
    "hf": {
        "trainer_state.json": json.dumps(
            {"best_metric": None, "epoch": 2.0, "global_step": 20, "max_steps": 20, "num_train_epochs": 2,
             "log_history": [{"epoch": 1.0, "loss": 0.5, "step": 10}, {"epoch": 2.0, "loss": 0.4, "step": 20}]}
        ),
    },
    "mlflow": {
        "1/meta.yaml": "artifact_location: x\nexperiment_id: '1'\nlifecycle_stage: active\nname: e\n",
        "1/abc/meta.yaml": "artifact_uri: x\nend_time: 1700000010000\nexperiment_id: '1'\nlifecycle_stage: active\nrun_id: abc\n"
        "run_name: quick\nrun_uuid: abc\nsource_name: ''\nstart_time: 1700000000000\nstatus: 3\ntags: []\nuser_id: u\n",
        "1/abc/metrics/loss": "1700000001000 0.5 0\n1700000002000 0.4 1\n",
        "1/abc/params/lr": "0.1",
    },
    "sacred": {
        "7/run.json": json.dumps({"experiment": {"name": "e", "base_dir": "/e"}, "artifacts": [], "command": "main",
                                  "status": "COMPLETED", "start_time": "2024-01-01T00:00:00",
                                  "heartbeat": "2024-01-01T00:01:00", "host": {}, "meta": {}}),
        "7/config.json": json.dumps({"lr": 0.1, "seed": 1}),
        "7/metrics.json": json.dumps({"loss": {"steps": [0, 1], "timestamps": ["2024-01-01T00:00:01", "2024-01-01T00:00:02"],
                                               "values": [0.5, 0.4]}}),
    },
    "ray": {
        "t1/params.json": json.dumps({"lr": 0.1}),
        "t1/result.json": "".join(json.dumps({"training_iteration": i, "loss": 1 / i, "trial_id": "t1", "timestamp": 1.7e9 + i,
                                              "config": {"lr": 0.1}}) + "\n" for i in (1, 2, 3)),
    },
    "mmengine": {
        "20240101_000000/vis_data/scalars.json": '{"lr": 0.1, "loss": 0.5, "epoch": 1, "step": 1}\n{"acc": 0.5, "step": 1}\n',
        "20240101_000000/vis_data/config.py": "lr = 0.1\nmodel = dict(type='R', depth=50)\n",
    },
    "mmcv": {"a.log.json": '{"seed": 0}\n{"mode": "train", "epoch": 1, "iter": 10, "lr": 0.1, "loss": 0.5}\n'},
    "spinup": {"progress.txt": "Epoch\tAverageEpRet\n0\t1.0\n1\t2.0\n", "config.json": '{"exp_name": "x", "lr": 0.1}'},
    "sb3": {"monitor.csv": '#{"t_start": 1700000000.0, "env_id": "E"}\nr,l,t\n1.0,10,0.5\n2.0,12,1.0\n'},
    "dvclive": {"plots/metrics/loss.tsv": "step\tloss\n0\t0.5\n1\t0.4\n", "metrics.json": '{"loss": 0.4, "step": 1}',
                "params.yaml": "lr: 0.1\n"},
    "nvlabs": {"stats.jsonl": '{"Loss/loss": {"num": 1, "mean": 0.5, "std": 0.1}, "Progress/kimg": {"num": 1, "mean": 1.0,'
               ' "std": 0}, "timestamp": 1.7e9}\n', "training_options.json": '{"batch_size": 32, "G_kwargs": {"a": 1}}'},
    "history": {"history.json": '{"loss": [0.5, 0.4], "val_loss": [0.6, 0.5]}'},
    "yolo": {"results.csv": "epoch,train/box_loss,metrics/mAP50(B)\n1,0.5,0.1\n2,0.4,0.2\n", 
             "args.yaml": "lr0: 0.01\nmodel: y.pt\n"},
    "unlogged": {
        "a/metrics.jsonl": '{"step": 0, "loss": 0.5}\n{"step": 1, "loss": 0.4}\n', "a/config.json": '{"lr": 0.1}',
        "b/metrics.jsonl": '{"step": 0, "loss": 0.6}\n{"step": 1, "loss": 0.5}\n', "b/config.json": '{"lr": 0.2}',
        "c/config.json": '{"lr": 0.3}', "c/stderr.txt": "Traceback (most recent call last):\nValueError: out of memory\n",
    },
    "hydra": {"metrics.jsonl": '{"step": 0, "loss": 0.5}\n{"step": 1, "loss": 0.4}\n', ".hydra/config.yaml": "lr: 0.1\n",
              ".hydra/overrides.yaml": "- lr=0.1\n", ".hydra/hydra.yaml": "hydra:\n  job:\n    num: 1\n"},
    "algoperf": {"s/trial_1/eval_measurements.csv": "accumulated_submission_time,global_step,loss\n3.5,1,1.0\n7,4,0.5\n",
                 "s/trial_1/hparams.json": '{"learning_rate": 0.5}', "s/trial_1/flags_0.json": '{"workload": "mnist"}'},
    "dr_exp": {"jobs/j1.json": json.dumps({"id": "j1", "config": {"lr": 0.1}, "status": "completed", "tags": ["a"]}),
               "logs/first_j1/metrics.jsonl": '{"metrics": {"loss": 0.5}, "step": 1}\n{"metrics": {"loss": 0.4}, "step": 2}\n'},
    "dr_util": {"json_out.jsonl": '{"type": "dict_config", "value": {"lr": 0.1}}\n{"type": "str", "value": "begin"}\n'
                '{"data_name": "train", "agg_stats": {"loss": 0.5, "n": 10}}\n{"type": "str", "value": "Training time 1:00"}\n'},
    "long_table": {"values.csv": "run,step,metric,value\na,0,loss,0.5\na,1,loss,0.4\nb,0,loss,0.6\nb,1,acc,0.3\n"},
    "metric_files": {"Train_loss.csv": "step,Train/loss\n0,0.5\n1,0.4\n", "Train_lr.csv": "step,Train/lr\n0,0.1\n1,0.1\n",
                     "config.json": '{"lr": 0.1}'},
    "optuna_journal": {"journal.log": "".join(json.dumps({"worker_id": "w", **row}) + "\n" for row in (
        {"op_code": 0, "study_name": "s", "directions": [1]},
        {"op_code": 4, "study_id": 0, "datetime_start": "2024-01-01T00:00:00"},
        {"op_code": 5, "trial_id": 0, "param_name": "lr", "param_value_internal": 0.1,
         "distribution": json.dumps({"name": "FloatDistribution", "attributes": {"low": 0.0, "high": 1.0}})},
        {"op_code": 7, "trial_id": 0, "step": 1, "intermediate_value": 0.5},
        {"op_code": 6, "trial_id": 0, "state": 1, "values": [0.4], "datetime_complete": "2024-01-01T00:01:00"},
    ))},
    "tensorboard_export": {"run-a-tag-loss.csv": "Wall time,Step,Value\n1700000000.5,0,0.5\n1700000001.5,1,0.4\n",
                           "run-a-tag-acc.json": "[[1700000000.5, 0, 0.5], [1700000001.5, 1, 0.6]]"},
    "text_logs": {"train.log": "lr=0.1 seed=3\n"
                  + "".join(f"epoch {e} step {e * 10} loss {1 / (e + 1):.3f} acc={e / 9:.2f}\n" for e in range(6)),
                  "config.yaml": "lr: 0.1\n"},
    "run_table": {"results.csv": "lr,batch_size,seed,test_acc,test_loss\n0.1,32,0,0.8,0.1\n0.1,32,1,0.8,0.1\n0.01,32,0,0.9,0.2\n"},
    "metric_rows": {"table.csv": "metric,small,large\nlr,0.1,0.2\naccuracy,0.8,0.9\nloss,0.5,0.4\n"},
    "run_files": {"train.csv": "step,loss\n1,0.5\n2,0.4\n3,0.3\n",
                  "eval.jsonl": '{"step": 1, "acc": 0.1}\n{"step": 3, "acc": 0.2}\n',
                  "config.json": '{"lr": 0.1}'},
    "bare_series": {"val_loss.json": "[0.5, 0.4, NaN, 0.3]",
                    "scalars/loss.csv": "0,0.5\n1,0.4\n2,0.3\n", "scalars/acc.csv": "0,0.1\n1,0.2\n2,0.4\n",
                    "config.json": '{"lr": 0.1}'},
    "dllogger": {"dllogger.json": "".join("DLLL " + json.dumps({"type": "LOG", "step": [0, s], "data": {"loss": s}}) + "\n"
                                          for s in range(3))},
    "json_epoch_files": {"epoch_1.json": '{"epoch": 1, "loss": 0.5}', "epoch_2.json": '{"epoch": 2, "loss": 0.4}',
                         "config.json": '{"lr": 0.1}'},
    "wandb_summary": {"run-20240101_000000-abc/files/wandb-summary.json":
                      '{"loss": 0.4, "_step": 9, "_timestamp": 1.7e9, "h": {"_type": "x"}}',
                      "run-20240101_000000-abc/files/config.yaml": "lr:\n  desc: null\n  value: 0.1\n",
                      "run-20240101_000000-abc/files/wandb-metadata.json": '{"program": "a.py", "host": "h"}'},
}  # fmt: skip
"""Files of small sources, by what wrote them: name -> text."""

DATABASES: Mapping[str, str] = {
    "mlflow.db": """
        CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name TEXT, lifecycle_stage TEXT);
        CREATE TABLE runs (run_uuid TEXT PRIMARY KEY, name TEXT, status TEXT, start_time BIGINT, end_time BIGINT,
            lifecycle_stage TEXT, experiment_id INTEGER);
        CREATE TABLE metrics (key TEXT, value FLOAT, timestamp BIGINT, run_uuid TEXT, step BIGINT, is_nan BOOLEAN);
        CREATE TABLE params (key TEXT, value TEXT, run_uuid TEXT);
        CREATE TABLE tags (key TEXT, value TEXT, run_uuid TEXT);
        INSERT INTO experiments VALUES (3, 'vision', 'active');
        INSERT INTO runs VALUES ('a', 'first', 'FINISHED', 1700000000000, 1700000009000, 'active', 3);
        INSERT INTO params VALUES ('lr', '1e-3', 'a');
        INSERT INTO metrics VALUES ('auc', 0.5, 1700000001000, 'a', 2, 0), ('auc', 0.6, 1700000002000, 'a', 4, 0);""",
    "optuna.db": """
        CREATE TABLE studies (study_id INTEGER PRIMARY KEY, study_name TEXT);
        CREATE TABLE trials (trial_id INTEGER PRIMARY KEY, study_id INTEGER, state TEXT);
        CREATE TABLE trial_params (param_id INTEGER, trial_id INTEGER, param_name TEXT, param_value FLOAT, distribution_json TEXT);
        CREATE TABLE trial_values (trial_value_id INTEGER PRIMARY KEY, trial_id INTEGER, objective INTEGER, value FLOAT);
        INSERT INTO studies VALUES (1, 's');
        INSERT INTO trials VALUES (1, 1, 'COMPLETE'), (2, 1, 'COMPLETE');
        INSERT INTO trial_values VALUES (1, 1, 0, 1.5), (2, 2, 0, 2.5);""",
    "trackio.db": """
        CREATE TABLE metrics (id INTEGER PRIMARY KEY, run_id TEXT, timestamp TEXT, run_name TEXT, step INTEGER, metrics TEXT);
        CREATE TABLE configs (id INTEGER PRIMARY KEY, run_id TEXT, run_name TEXT, config TEXT, created_at TEXT);
        CREATE TABLE system_metrics (id INTEGER PRIMARY KEY, run_id TEXT, timestamp TEXT, run_name TEXT, metrics TEXT);
        INSERT INTO metrics VALUES (1, 'k', '2024-01-01T00:00:01', 'r', 0, '{"loss": 0.5}'), (2, 'k', '2024-01-01T00:00:02', 'r', 1,
            '{"loss": "NaN", "img": {"_type": "trackio.image"}}');
        INSERT INTO configs VALUES (1, 'k', 'r', '{"lr": 0.1, "_Group": "g"}', '2024-01-01T00:00:00');""",
    "results.db": """
        CREATE TABLE results (run TEXT, step INTEGER, loss REAL, acc REAL);
        INSERT INTO results VALUES ('a', 0, 0.5, 0.1), ('a', 1, 0.4, 0.2), ('b', 0, 0.6, 0.1), ('b', 1, 0.5, 0.3);""",
}
"""Scripts that make small databases, by the name of the file."""
