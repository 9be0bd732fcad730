"""Text logs: each shape as its tool prints it, read through folders; values, steps, runs and settings that must come out."""

# ruff: noqa: E501 - lines as tools print them

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path

import pytest
from support.reading import Found, read_folder

Series = dict[str, tuple[list[int], list[float]]]


def read(root: Path, **files: str) -> Found:
    """Files of a folder, written, discovered and read; ``__`` in a name is a dot."""
    for name, text in files.items():
        (root / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return read_folder(root)


def only(found: Found, run: str) -> Series:
    """The series of a run, as lists."""
    return {m: found.series(run, m) for m in sorted(found.metrics(run))}


NANOGPT = """step 0: train loss 4.2874, val loss 4.2823
iter 0: loss 4.2862, time 28115.45ms, mfu -100.00%
iter 10: loss 3.2456, time 20.55ms, mfu 18.20%
iter 20: loss 2.7900, time 20.61ms, mfu 18.10%
step 20: train loss 2.6998, val loss 2.7071
"""
PYTORCH_MNIST = """Train Epoch: 1 [0/60000 (0%)]\tLoss: 2.300039
Train Epoch: 1 [30000/60000 (50%)]\tLoss: 0.213470

Test set: Average loss: 0.0499, Accuracy: 9840/10000 (98%)

Train Epoch: 2 [0/60000 (0%)]\tLoss: 0.045162
Train Epoch: 2 [30000/60000 (50%)]\tLoss: 0.014809

Test set: Average loss: 0.0331, Accuracy: 9889/10000 (99%)
"""
IMAGENET = """=> creating model 'resnet18'
Epoch: [0][  0/500]\tTime  4.912 ( 4.912)\tData  2.101 ( 2.101)\tLoss 7.0127e+00 (7.0127e+00)\tAcc@1   0.00 (  0.00)\tAcc@5   0.39 (  0.39)
Epoch: [0][250/500]\tTime  0.312 ( 0.402)\tData  0.001 ( 0.050)\tLoss 6.5127e+00 (6.8000e+00)\tAcc@1   1.17 (  0.60)\tAcc@5   3.91 (  2.00)
Test: [ 0/20]\tTime  1.100 ( 1.100)\tLoss 5.9000e+00 (5.9000e+00)\tAcc@1   3.00 (  3.00)\tAcc@5  10.00 ( 10.00)
 *   Acc@1 3.456 Acc@5 10.212
Epoch: [1][  0/500]\tTime  0.312 ( 0.312)\tData  0.001 ( 0.001)\tLoss 5.5127e+00 (5.5127e+00)\tAcc@1   5.00 (  5.00)\tAcc@5  15.00 ( 15.00)
 *   Acc@1 9.125 Acc@5 20.500
"""
FAIRSEQ = """2021-01-01 10:00:00 | INFO | train_inner | epoch 001:    100 / 500 loss=9.215, ppl=594.22, wps=1200, num_updates=100, lr=1.25e-05, gnorm=2.1
2021-01-01 10:01:00 | INFO | train_inner | epoch 001:    200 / 500 loss=8.100, ppl=274.4, wps=1210, num_updates=200, lr=2.5e-05, gnorm=inf
2021-01-01 10:02:00 | INFO | valid | epoch 001 | valid on 'valid' subset | loss 7.9 | ppl 238.86 | num_updates 200
2021-01-01 10:03:00 | INFO | train | epoch 001 | loss 8.657 | ppl 403.7 | num_updates 200 | lr 2.5e-05
"""
FAIRSEQ_JSON = """2022-10-18 04:39:17 | INFO | train_inner | {"epoch": 1, "update": 0.027, "loss": "21.229", "ppl": "inf", "num_updates": "100", "lr": "2e-05"}
2022-10-18 04:40:17 | INFO | train_inner | {"epoch": 1, "update": 0.054, "loss": "14.5", "ppl": "23170.5", "num_updates": "200", "lr": "4e-05"}
"""
MEGATRON = """ [2025-04-13 23:41:12] iteration       10/    1000 | consumed samples:          160 | elapsed time per iteration (ms): 1147.6 | learning rate: 1.000000E-05 | global batch size:    16 | lm loss: 7.399415E+00 | loss scale: 8388608.0 | grad norm: 2.918 | number of skipped iterations:  10 | number of nan iterations:   0 |
 [2025-04-13 23:41:24] iteration       20/    1000 | consumed samples:          320 | elapsed time per iteration (ms): 1101.2 | learning rate: 2.000000E-05 | global batch size:    16 | lm loss: 6.100000E+00 | loss scale: 8388608.0 | grad norm: nan | number of skipped iterations:   0 | number of nan iterations:   0 |
"""
TORCHTUNE = """Step 1 | loss:1.5639 lr:2e-05 tokens_per_second_per_gpu:512.25
Step 2 | loss:1.4021 lr:4e-05 tokens_per_second_per_gpu:530.5
"""
KERAS = """Epoch 1/2
\r  1/938 [..............................] - ETA: 3:05 - loss: 2.4010 - accuracy: 0.0625\r500/938 [==============>...............] - ETA: 2s - loss: 0.5 - accuracy: 0.8\r938/938 [==============================] - 5s 5ms/step - loss: 0.3010 - accuracy: 0.9133 - val_loss: 0.1500 - val_accuracy: 0.9560
Epoch 2/2
\r  1/938 [..............................] - ETA: 2s - loss: 0.1 - accuracy: 1.0\r938/938 [==============================] - 4s 4ms/step - loss: 0.1404 - accuracy: 0.9588 - val_loss: 0.1010 - val_accuracy: 0.9700
"""
KERAS_3 = """Epoch 1/2
\x1b[1m  1/938\x1b[0m \x1b[37m━━━━━━━━━━━━━━━━━━━━\x1b[0m \x1b[1m2:31\x1b[0m 161ms/step - accuracy: 0.0938 - loss: 2.4\r\x1b[1m938/938\x1b[0m \x1b[32m━━━━━━━━━━━━━━━━━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m5s\x1b[0m 5ms/step - accuracy: 0.9133 - loss: 0.3010
Epoch 2/2
\x1b[1m938/938\x1b[0m \x1b[32m━━━━━━━━━━━━━━━━━━━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m4s\x1b[0m 4ms/step - accuracy: 0.9588 - loss: 0.1404
"""
KERAS_QUIET = """Epoch 1/2
938/938 - 5s - loss: 0.3010 - accuracy: 0.9133 - 5s/epoch - 5ms/step
Epoch 2/2
938/938 - 4s - loss: 0.1404 - accuracy: 0.9588 - 4s/epoch - 4ms/step
"""
MMCV = """2022-11-12 14:30:37,044 - mmdet - INFO - Epoch [1][50/100]\tlr: 1.978e-03, eta: 2:03:32, time: 0.645, data_time: 0.058, memory: 3483, s0.loss_cls: 0.3770, loss: 2.3000
2022-11-12 14:31:09,044 - mmdet - INFO - Epoch [1][100/100]\tlr: 3.976e-03, eta: 2:02:00, time: 0.640, data_time: 0.011, memory: 3483, s0.loss_cls: 0.3000, loss: 1.9000
2022-11-12 14:35:00,000 - mmdet - INFO - Epoch(val) [1][40]\tbbox_mAP: 0.2500, bbox_mAP_50: 0.4000
2022-11-12 14:35:37,044 - mmdet - INFO - Epoch [2][50/100]\tlr: 5.974e-03, eta: 2:01:00, time: 0.641, data_time: 0.058, memory: 3483, s0.loss_cls: 0.2770, loss: 1.7000
"""
MMENGINE = """06/02 16:26:10 - mmengine - INFO - Epoch(train)  [1][ 50/100]  base_lr: 1.0000e-04 lr: 1.0000e-04  eta: 12:47:44  time: 0.5000  data_time: 0.0100  memory: 7966  loss: 1.7000
06/02 16:26:40 - mmengine - INFO - Epoch(train)  [1][100/100]  base_lr: 1.0000e-04 lr: 1.0000e-04  eta: 12:40:44  time: 0.5000  data_time: 0.0100  memory: 7966  loss: 1.5000
06/02 16:27:10 - mmengine - INFO - Epoch(val) [1][76/76]    coco/bbox_mAP: 0.3000  coco/bbox_mAP_50: 0.5000  data_time: 0.1000  time: 0.2000
"""
DETECTRON2 = """[12/05 11:30:00] d2.engine.train_loop INFO: Starting training from iteration 0
[12/05 11:30:10 d2.utils.events]:  eta: 1:02:03  iter: 19  total_loss: 1.2000  loss_cls: 0.5000  time: 0.3000  data_time: 0.0100  lr: 0.0002  max_mem: 3000M
[12/05 11:30:20 d2.utils.events]:  eta: 1:01:03  iter: 39  total_loss: 1.1000  loss_cls: 0.4000  time: 0.3000  data_time: 0.0100  lr: 0.0004  max_mem: 3100M
"""
YOLO = """     0/2     1.85G    0.1259   0.06233   0.03069    0.2189        25       416         0         0  0.009178  0.002157    0.1183   0.04673    0.0293
     1/2     1.86G    0.1215   0.06442    0.0301    0.2162        24       416       0.5       0.1   0.01217  0.002438    0.1157   0.04518   0.02875
     2/2     1.86G    0.1172   0.06343   0.02886    0.2095        40       416       0.6       0.2   0.01582  0.005088    0.1134   0.04468   0.02786
"""
ESPNET = """[host] 2021-01-01 10:00:00,123 (trainer:632) INFO: 1epoch:train:1-100batch: iter_time=0.1, forward_time=0.2, loss=100.3, acc=0.31
[host] 2021-01-01 10:05:00,123 (trainer:632) INFO: 1epoch:train:101-200batch: iter_time=0.1, forward_time=0.2, loss=90.5, acc=0.35
[host] 2021-01-01 10:10:00,123 (trainer:273) INFO: 1epoch results: [train] iter_time=0.1, loss=95.4, acc=0.33, time=5 minutes and 3.2 seconds, [valid] loss=80.1, acc=0.42, time=30 seconds
[host] 2021-01-01 10:15:00,123 (trainer:632) INFO: 2epoch:train:1-100batch: iter_time=0.1, forward_time=0.2, loss=70.3, acc=0.41
"""
KALDI = """2021-01-01 10:00:00,123 [steps/nnet3/chain/train.py:528 - train - INFO ] Iter: 0/100   Jobs: 3   Epoch: 0.00/4.0 (0.0% complete)   lr: 0.003000
2021-01-01 10:01:00,123 [steps/nnet3/chain/train.py:528 - train - INFO ] Iter: 1/100   Jobs: 3   Epoch: 0.03/4.0 (0.8% complete)   lr: 0.002979
2021-01-01 10:02:00,123 [steps/nnet3/chain/train.py:528 - train - INFO ] Iter: 2/100   Jobs: 3   Epoch: 0.06/4.0 (1.5% complete)   lr: 0.002958
"""
NNUNET = """2026-01-01 10:00:00.123456: do_dummy_2d_data_aug: False
2026-01-01 10:00:10.123456:
2026-01-01 10:00:10.123456: Epoch 0
2026-01-01 10:00:10.123456: Current learning rate: 0.01
2026-01-01 10:02:10.123456: train_loss -0.3234
2026-01-01 10:02:10.123456: val_loss -0.4234
2026-01-01 10:02:10.123456: Pseudo dice [0.61, nan]
2026-01-01 10:02:10.123456: Epoch time: 120.11 s
2026-01-01 10:02:10.123456:
2026-01-01 10:02:11.123456: Epoch 1
2026-01-01 10:02:11.123456: Current learning rate: 0.00999
2026-01-01 10:04:10.123456: train_loss -0.5234
2026-01-01 10:04:10.123456: val_loss -0.5134
2026-01-01 10:04:10.123456: Pseudo dice [0.71, 0.66]
2026-01-01 10:04:10.123456: Epoch time: 119.5 s
"""
PIX2PIX = """================ Training Loss (Sun Jun  7 12:00:00 2020) ================
(epoch: 1, iters: 100, time: 0.334, data: 0.702) D_A: 0.232 G_A: 0.477 cycle_A: 2.490
(epoch: 1, iters: 200, time: 0.334, data: 0.002) D_A: 0.222 G_A: 0.450 cycle_A: 2.190
(epoch: 2, iters: 50, time: 0.334, data: 0.002) D_A: 0.212 G_A: 0.440 cycle_A: 1.990
"""
PADDLE = """2022-04-12 17:05:16,552 - INFO - **************common.configs**********
2022-04-12 17:05:16,552 - INFO - use_gpu: True, use_xpu: False, train_batch_size: 1024, train_data_dir: data, epochs: 20, print_interval: 500
2022-04-12 17:06:10,849 - INFO - epoch: 0, batch_id: 0, AUC:0.500000, loss:0.5009312, avg_reader_cost: 0.00058 sec, ips: 1000.71910 ins/s
2022-04-12 17:10:51,909 - INFO - epoch: 0, batch_id: 500, AUC:0.788134, loss:0.18541333, avg_reader_cost: 0.00012 sec, ips: 1822.08655 ins/s
2022-04-12 17:24:35,400 - INFO - epoch: 0 done, AUC: 0.874769,loss:0.14919266, epoch time: 1105.58 s
2022-04-12 17:24:36,273 - INFO - epoch: 1, batch_id: 0, AUC:0.905023, loss:0.13951969, avg_reader_cost: 0.00025 sec, ips: 1186.63338 ins/s
2022-04-12 17:29:16,416 - INFO - epoch: 1, batch_id: 500, AUC:0.910986, loss:0.127161, avg_reader_cost: 0.00012 sec, ips: 1828.03888 ins/s
"""
OPENNMT = """[2024-05-08 04:06:12,181 INFO] encoder: 138496
[2024-05-08 04:06:20,181 INFO] Step 50/100000; acc:  11.45; ppl: 1039.33; xent: 6.95; lr: 1.00000; 1000/1200 tok/s;     10 sec
[2024-05-08 04:06:30,181 INFO] Step 100/100000; acc:  21.00; ppl: 200.10; xent: 5.30; lr: 1.00000; 1000/1200 tok/s;     20 sec
[2024-05-08 04:06:31,181 INFO] Validation perplexity: 150.25
[2024-05-08 04:06:31,181 INFO] Validation accuracy: 25.5
"""
SPACY = """ℹ Pipeline: ['tok2vec', 'ner']
ℹ Initial learn rate: 0.001
E    #       LOSS TOK2VEC  LOSS NER  ENTS_F  ENTS_P  ENTS_R  SCORE
---  ------  ------------  --------  ------  ------  ------  ------
  0       0          0.00     50.00    5.00    4.00    6.50    0.05
  0     200        120.51   2500.25   60.00   58.00   62.00    0.60
  1     400        220.00   1500.75   70.00   69.00   71.00    0.70
"""
COMPOSER = """[batch=1/30]:
\t Train time/epoch: 0
\t Train loss/train/total: 2.3011
\t Train metrics/train/Accuracy: 0.1000
[batch=2/30]:
\t Train time/epoch: 0
\t Train loss/train/total: 2.1000
\t Train metrics/train/Accuracy: 0.2000
"""
VERL = """(TaskRunner pid=1234) step:1 - global_seqlen/min:np.float64(100.0) - actor/entropy:np.float64(0.51) - critic/score/mean:np.float64(-0.3)
(TaskRunner pid=1234) step:2 - global_seqlen/min:np.float64(110.0) - actor/entropy:np.float64(0.48) - critic/score/mean:np.float64(0.1)
"""
MLLOG = """:::MLLOG {"namespace": "", "time_ms": 1560722632118, "event_type": "POINT_IN_TIME", "key": "eval_accuracy", "value": 0.25, "metadata": {"file": "train.py", "lineno": 165, "epoch_num": 4}}
:::MLLOG {"namespace": "", "time_ms": 1560722732118, "event_type": "POINT_IN_TIME", "key": "eval_accuracy", "value": 0.55, "metadata": {"file": "train.py", "lineno": 165, "epoch_num": 8}}
:::MLLOG {"namespace": "", "time_ms": 1560722832118, "event_type": "POINT_IN_TIME", "key": "eval_accuracy", "value": 0.75, "metadata": {"file": "train.py", "lineno": 165, "epoch_num": 12}}
"""
DLLOGGER = """DLL 2020-01-01 10:00:00.123000 - PARAMETER batch_size : 256
DLL 2020-01-01 10:00:01.123000 - Epoch: 0 Iteration: 10  train.loss : 3.2 lr : 0.1
DLL 2020-01-01 10:00:02.123000 - Epoch: 0 Iteration: 20  train.loss : 3.0 lr : 0.2
DLL 2020-01-01 10:00:03.123000 - Epoch: 1 Iteration: 10  train.loss : 2.8 lr : 0.2
"""
LCURVE = """#  step      rmse_val    rmse_trn    rmse_e_val  rmse_e_trn         lr
      0      1.05e+01    1.10e+01      6.72e-01    6.79e-01    1.0e-03
    100      7.63e+00    9.65e+00      6.84e-02    7.98e-02    1.0e-03
    200      5.90e+00    6.67e+00      1.71e-02    5.85e-03    9.5e-04
"""
DEEPXDE = """# step, loss_train, loss_test, metrics_test
0.000000000000000000e+00 1.25e+00 2.50e-01 1.30e+00 2.60e-01 9.0e-01
1.000000000000000000e+03 1.25e-01 2.50e-02 1.30e-01 2.60e-02 1.0e-01
2.000000000000000000e+03 1.25e-02 2.50e-03 1.30e-02 2.60e-03 1.0e-02
"""
SPEECHBRAIN = """epoch: 1, lr: 1.00e+00 - train loss: 2.50 - valid loss: 1.20, valid CER: 3.50, valid WER: 10.20
epoch: 2, lr: 8.00e-01 - train loss: 1.50 - valid loss: 0.90, valid CER: 2.50, valid WER: 8.20
"""
TRANSFORMERS = """  0%|          | 0/30 [00:00<?, ?it/s] 33%|███▎      | 10/30 [00:02<00:04,  4.90it/s]
{'loss': 2.5123, 'grad_norm': 1.2, 'learning_rate': 4.9e-05, 'epoch': 0.33}
{'loss': 2.1, 'grad_norm': 1.1, 'learning_rate': 3.9e-05, 'epoch': 0.67}
{'eval_loss': 1.9, 'eval_runtime': 3.5, 'epoch': 1.0}
{'loss': 1.8, 'grad_norm': 1.0, 'learning_rate': 2.9e-05, 'epoch': 1.0}
{'train_runtime': 30.5, 'train_loss': 2.13, 'epoch': 1.0}
"""
TUTORIAL = """Epoch [1/2], Step [100/600], Loss: 0.3012 (0.3512)
Epoch [1/2], Step [600/600], Loss: 0.2012 (0.2512)
Epoch [2/2], Step [100/600], Loss: 0.1012 (0.1512)
"""
SB3 = """---------------------------------
| rollout/           |          |
|    ep_len_mean     | 22.1     |
|    ep_rew_mean     | 22.5     |
| time/              |          |
|    fps             | 1000     |
|    total_timesteps | 2048     |
---------------------------------
---------------------------------
| rollout/           |          |
|    ep_len_mean     | 26       |
|    ep_rew_mean     | -1.2e+03 |
| time/              |          |
|    fps             | 900      |
|    total_timesteps | 4096     |
| train/             |          |
|    loss            | 6.91     |
---------------------------------
"""
CAFFE = """I0613 17:29:41.490244  1860 solver.cpp:48] Initializing solver from parameters:
base_lr: 0.1
max_iter: 200000
lr_policy: "poly"
I0613 17:30:41.490244  1860 solver.cpp:228] Iteration 0, loss = 9.27
I0613 17:31:41.490244  1860 solver.cpp:228] Iteration 500, loss = 8.75
I0613 17:32:41.490244  1860 solver.cpp:228] Iteration 1000, loss = 7.5
"""
TWO_LINES = """2025-03-02 05:16:20,348 - INFO - ##### Epoch 1 #####
2025-03-02 05:16:21,348 - INFO - Train loss: 0.75 - Train acc: 71.2%
2025-03-02 05:16:22,348 - INFO - Val loss: 0.65 - Val acc: 73.0%
2025-03-02 05:17:20,348 - INFO - ##### Epoch 2 #####
2025-03-02 05:17:21,348 - INFO - Train loss: 0.55 - Train acc: 80.1%
2025-03-02 05:17:22,348 - INFO - Val loss: 0.60 - Val acc: 77.5%
"""

SHAPES: dict[str, tuple[str, Series]] = {
    "nanogpt": (NANOGPT, {"loss": ([0, 10, 20], [4.2862, 3.2456, 2.79]), "val/loss": ([0, 20], [4.2823, 2.7071]), "train/loss": ([0, 20], [4.2874, 2.6998])}),
    "pytorch mnist": (
        PYTORCH_MNIST,
        {"train/Loss": ([0, 30000, 60000, 90000], [2.300039, 0.21347, 0.045162, 0.014809]), "test/Average loss": ([30000, 90000], [0.0499, 0.0331]), "test/Accuracy": ([30000, 90000], [0.984, 0.9889])},
    ),
    "pytorch imagenet": (
        IMAGENET,
        {"Loss": ([0, 250, 500], [7.0127, 6.5127, 5.5127]), "Loss.avg": ([0, 250, 500], [7.0127, 6.8, 5.5127]), "epoch/Acc@1": ([250, 500], [3.456, 9.125]), "test/Loss": ([0], [5.9])},
    ),
    "fairseq": (
        FAIRSEQ,
        {"train_inner/loss": ([100, 200], [9.215, 8.1]), "train_inner/gnorm": ([100, 200], [2.1, math.inf]), "valid/ppl": ([200], [238.86]), "train/loss": ([200], [8.657])},
    ),
    "fairseq json": (FAIRSEQ_JSON, {"train_inner/loss": ([100, 200], [21.229, 14.5]), "train_inner/ppl": ([100, 200], [math.inf, 23170.5])}),
    "megatron": (
        MEGATRON,
        {"lm loss": ([10, 20], [7.399415, 6.1]), "grad norm": ([10, 20], [2.918, math.nan]), "number of skipped iterations": ([10, 20], [10.0, 0.0]), "number of nan iterations": ([10, 20], [0.0, 0.0]), "elapsed time per iteration (ms)": ([10, 20], [1147.6, 1101.2])},
    ),
    "torchtune": (TORCHTUNE, {"loss": ([1, 2], [1.5639, 1.4021]), "tokens_per_second_per_gpu": ([1, 2], [512.25, 530.5])}),
    "keras": (KERAS, {"loss": ([1, 2], [0.301, 0.1404]), "val_accuracy": ([1, 2], [0.956, 0.97])}),
    "keras 3": (KERAS_3, {"loss": ([1, 2], [0.301, 0.1404]), "accuracy": ([1, 2], [0.9133, 0.9588])}),
    "keras verbose=2": (KERAS_QUIET, {"loss": ([1, 2], [0.301, 0.1404]), "accuracy": ([1, 2], [0.9133, 0.9588])}),
    "mmcv": (MMCV, {"loss": ([50, 100, 150], [2.3, 1.9, 1.7]), "s0.loss_cls": ([50, 100, 150], [0.377, 0.3, 0.277])}),
    "mmengine": (MMENGINE, {"train/loss": ([50, 100], [1.7, 1.5])}),
    "detectron2": (DETECTRON2, {"total_loss": ([19, 39], [1.2, 1.1]), "max_mem": ([19, 39], [3000.0, 3100.0])}),
    "yolo": (YOLO, {"train/box_loss": ([0, 1, 2], [0.1259, 0.1215, 0.1172]), "metrics/mAP_0.5": ([0, 1, 2], [0.009178, 0.01217, 0.01582]), "val/cls_loss": ([0, 1, 2], [0.0293, 0.02875, 0.02786])}),
    "espnet": (ESPNET, {"train/loss": ([100, 200, 300], [100.3, 90.5, 70.3]), "epoch/train/loss": ([200], [95.4]), "val/loss": ([200], [80.1])}),
    "kaldi": (KALDI, {"lr": ([0, 1, 2], [0.003, 0.002979, 0.002958]), "Epoch": ([0, 1, 2], [0.0, 0.03, 0.06])}),
    "nnunet": (NNUNET, {"train_loss": ([0, 1], [-0.3234, -0.5234]), "Pseudo dice.1": ([0, 1], [math.nan, 0.66]), "Epoch time": ([0, 1], [120.11, 119.5])}),
    "pix2pix": (PIX2PIX, {"D_A": ([100, 200, 250], [0.232, 0.222, 0.212]), "epoch": ([100, 200, 250], [1.0, 1.0, 2.0])}),
    "paddle": (PADDLE, {"AUC": ([0, 500, 501, 1001], [0.5, 0.788134, 0.905023, 0.910986]), "epoch/AUC": ([500], [0.874769])}),
    "opennmt": (OPENNMT, {"ppl": ([50, 100], [1039.33, 200.1]), "val/perplexity": ([100], [150.25])}),
    "spacy": (SPACY, {"LOSS NER": ([0, 200, 400], [50.0, 2500.25, 1500.75]), "SCORE": ([0, 200, 400], [0.05, 0.6, 0.7])}),
    "composer": (COMPOSER, {"loss/train/total": ([1, 2], [2.3011, 2.1]), "metrics/train/Accuracy": ([1, 2], [0.1, 0.2])}),
    "verl": (VERL, {"actor/entropy": ([1, 2], [0.51, 0.48]), "critic/score/mean": ([1, 2], [-0.3, 0.1])}),
    "mllog": (MLLOG, {"eval_accuracy": ([4, 8, 12], [0.25, 0.55, 0.75])}),
    "dllogger": (DLLOGGER, {"train.loss": ([10, 20, 30], [3.2, 3.0, 2.8])}),
    "deepmd": (LCURVE, {"rmse_e_val": ([0, 100, 200], [0.672, 0.0684, 0.0171]), "lr": ([0, 100, 200], [1e-3, 1e-3, 9.5e-4])}),
    "deepxde": (DEEPXDE, {"loss_train.0": ([0, 1000, 2000], [1.25, 0.125, 0.0125]), "loss_test.1": ([0, 1000, 2000], [0.26, 0.026, 0.0026]), "metrics_test.0": ([0, 1000, 2000], [0.9, 0.1, 0.01])}),
    "speechbrain": (SPEECHBRAIN, {"train/loss": ([1, 2], [2.5, 1.5]), "val/WER": ([1, 2], [10.2, 8.2])}),
    "transformers": (TRANSFORMERS, {"loss": ([0, 1, 3], [2.5123, 2.1, 1.8]), "eval_loss": ([2], [1.9]), "epoch": ([0, 1, 2, 3, 4], [0.33, 0.67, 1.0, 1.0, 1.0])}),
    "tutorial": (TUTORIAL, {"Loss": ([100, 600, 700], [0.3012, 0.2012, 0.1012]), "Loss.avg": ([100, 600, 700], [0.3512, 0.2512, 0.1512])}),
    "sb3": (SB3, {"rollout/ep_rew_mean": ([2048, 4096], [22.5, -1200.0]), "train/loss": ([4096], [6.91])}),
    "caffe": (CAFFE, {"loss": ([0, 500, 1000], [9.27, 8.75, 7.5])}),
    "two lines": (TWO_LINES, {"train/loss": ([1, 2], [0.75, 0.55]), "val/acc": ([1, 2], [73.0, 77.5])}),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_output_of_each_tool_gives_its_metrics_value_by_value(shape: str, tmp_path: Path) -> None:
    text, expected = SHAPES[shape]
    found = read(tmp_path, run__log=text)
    assert set(found.runs) == {"run.log"}
    got = only(found, "run.log")
    for metric, (steps, values) in expected.items():
        assert metric in got, sorted(got)
        assert got[metric][0] == steps, metric
        assert got[metric][1] == pytest.approx(values, nan_ok=True), metric


# ------------------------------------------------------------------ one file, several trainings; several files, one training


EPOCHS = "".join(f"Epoch {e}/3 - loss: {1 / e:.4f} - val_loss: {1.5 / e:.4f}\n" for e in (1, 2, 3))


def test_trainings_after_each_other_in_one_file_are_runs_of_their_own(tmp_path: Path) -> None:
    first, second = ("Namespace(lr=0.1, model='resnet18', seed=1)\n", "Namespace(lr=0.01, model='resnet18', seed=2)\n")
    found = read(tmp_path, **{"slurm-123__out": first + EPOCHS + "Training completed\n" + second + EPOCHS})
    assert list(found.runs) == ["slurm-123.out", "slurm-123.out#2"]
    assert (
        found.series("slurm-123.out", "loss")
        == found.series("slurm-123.out#2", "loss")
        == ([1, 2, 3], [1.0, 0.5, 0.3333])
    )
    assert [r.hyperparameters["lr"] for r in found.runs.values()] == [0.1, 0.01]
    assert not found.problems


def test_a_training_that_goes_on_from_a_checkpoint_is_the_same_run(tmp_path: Path) -> None:
    lines = [f"epoch {e} loss {1 / e:.4f}\n" for e in (1, 2, 3, 4)]
    found = read(tmp_path, train__log="".join([*lines, "Resuming from checkpoint of epoch 2\n", *lines[2:]]))
    (run,) = found.runs
    assert found.series(run, "loss")[0] == [1, 2, 3, 4, 3, 4]


def test_logs_of_different_trainings_in_one_folder_are_different_runs(tmp_path: Path) -> None:
    found = read(tmp_path, **{"slurm-1__out": EPOCHS, "slurm-2__out": EPOCHS.replace("Epoch", "epoch")})
    assert set(found.runs) == {"slurm-1.out", "slurm-2.out"}


@pytest.mark.parametrize(
    "better",
    [
        {"metrics__jsonl": "".join(f'{{"step": {i}, "loss": {1 / (i + 1)}}}\n' for i in range(3))},
        {
            "trainer_state__json": '{"log_history": [{"epoch": 1.0, "loss": 2.0, "step": 5}], "global_step": 5, "max_steps": 5}'
        },
        {"progress__csv": "epoch,loss\n1,0.5\n2,0.4\n3,0.3\n"},
    ],
)
def test_a_log_beside_a_better_source_is_its_copy(better: dict[str, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    found = read(run, train__log=EPOCHS, **better)
    (source,) = found.sources
    assert source.reader != "text_logs"
    assert [Path(c).name for c in source.copies] == ["train.log"]


def test_the_one_log_of_a_folder_names_the_run_after_the_folder(tmp_path: Path) -> None:
    run = tmp_path / "resnet_a"
    run.mkdir()
    (run / "train.log").write_text(EPOCHS)
    (run / "config.yaml").write_text("lr: 0.3\n")
    found = read_folder(tmp_path)
    assert set(found.runs) == {"resnet_a"}
    assert found.runs["resnet_a"].hyperparameters == {"lr": 0.3}


# ------------------------------------------------------------------ what stands around the values


@pytest.mark.parametrize(
    "prefix",
    [
        "2024-05-08 04:06:12,127 - root - INFO - ",
        "INFO:__main__:",
        "[2024-05-08 04:06:12] INFO: ",
        "[INFO] ",
        "2024-05-08T04:06:12.123 | INFO     | __main__:train:42 - ",
        "[rank0]: ",
        "(TaskRunner pid=123) ",
        "\x1b[32m2024-05-08 04:06:12\x1b[0m \x1b[1mINFO\x1b[0m: ",
        "I0508 04:06:12.127000 140 train.py:33] ",
        "[05/08 04:06:12 trainer]: ",
        "04:06:12 INFO trainer: ",
        "2024-05-08 04:06:12,127 INFO ",
        "INFO ",
        "2024-05-08 04:06:12 [INFO] ",
        "[2024-05-08 04:06:12] [INFO] [trainer.py:123] ",
        "04:06:12 | INFO | trainer | ",
        "05/08/2024 04:06:12 - INFO - __main__ - ",
        "INFO 05-08 04:06:12 train.py:33] ",
        "2024-05-08T04:06:12Z ",
        "2024-05-08 04:06:12.123 | ",
        "train.py:33: ",
        "[05-08 04:06:12] ",
        "Wed May  8 04:06:12 2024 ",
        "[2024-05-08 04:06:12,127][__main__][INFO] - ",
        "\x1b[36m(WorkerDict pid=99, ip=10.0.0.2)\x1b[0m ",
        "wandb: ",
        "node01: ",
        "[Trainer] ",
        ">> ",
        "  * ",
    ],
)
def test_prefixes_of_logging_are_no_part_of_the_names(prefix: str, tmp_path: Path) -> None:
    lines = "".join(f"{prefix}epoch: {e}, train_loss: {1 / e:.3f}, top1 = {e}.5%\n" for e in (1, 2, 3, 4))
    found = read(tmp_path, train__log=lines)
    (run,) = found.runs
    assert only(found, run) == {
        "train_loss": ([1, 2, 3, 4], [1.0, 0.5, 0.333, 0.25]),
        "top1": ([1, 2, 3, 4], [1.5, 2.5, 3.5, 4.5]),
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.3%", 0.3), ("1.2k", 1200.0), ("3.2e-4", 3.2e-4), ("nan", math.nan), ("-inf", -math.inf), ("tensor(0.5, device='cuda:0')", 0.5),
     ("np.float32(0.25)", 0.25), ("[0.5]", 0.5), ("1,234.5", 1234.5), ("5.5ms", 5.5), ("+2.", 2.0), ("NaN", math.nan)],
)  # fmt: skip
def test_values_are_read_as_they_are_printed(text: str, value: float, tmp_path: Path) -> None:
    found = read(tmp_path, train__log="".join(f"step: {i} loss: {i}.25 score: {text}\n" for i in (1, 2, 3)))
    (run,) = found.runs
    score = "score.0" if "score.0" in found.metrics(run) else "score"
    assert found.series(run, score)[1] == pytest.approx([value] * 3, nan_ok=True)


def test_each_step_of_a_progress_bar_counts_once_with_what_it_showed_last(tmp_path: Path) -> None:
    states = [
        f"Epoch {e}: {i * 25:3d}%|{'█' * i:4}| {i}/4 [00:0{i}<00:0{4 - i},  1.00it/s, loss={loss}]"
        for e in (1, 2)
        for i, loss in ((1, 0.9), (1, 0.8), (2, 0.7), (4, 0.5))
    ]
    found = read(tmp_path, train__err="\r" + "\r".join(states) + "\n")
    (run,) = found.runs
    assert found.series(run, "loss") == ([1, 2, 4, 5, 6, 8], [0.8, 0.7, 0.5] * 2)


@pytest.mark.parametrize(
    "mark", ["[rank{r}]: ", "Rank {r}: ", "2024-05-08 04:06:12,127 [rank {r}] INFO: ", "rank={r} "]
)
def test_ranks_of_one_job_are_separate_metrics(mark: str, tmp_path: Path) -> None:
    found = read(
        tmp_path, train__log="".join(f"{mark.format(r=r)}step {s} loss {s}.{r}\n" for s in (1, 2, 3) for r in (0, 1))
    )
    (run,) = found.runs
    assert only(found, run) == {"loss": ([1, 2, 3], [1.0, 2.0, 3.0]), "rank1/loss": ([1, 2, 3], [1.1, 2.1, 3.1])}


def test_times_of_rows_are_kept(tmp_path: Path) -> None:
    found = read(tmp_path, train__log=TWO_LINES)
    (reading,) = found.readings
    assert [str(t)[:19] for t in reading.points["wall_time"].unique().sort().to_list()][:2] == [
        "2025-03-02 05:16:21",
        "2025-03-02 05:16:22",
    ]


@pytest.mark.parametrize(
    ("printed", "meant"),
    [("2025-03-02 05:16:20,348", "05:16:20.348"), ("2025-03-02T05:16:20Z", "05:16:20"), ("2025/03/02 05:16:20", "05:16:20"),
     ("2025-03-02T05:16:20.5+02:00", "03:16:20.5"), ("2025-03-02 05:16:20-0330", "08:46:20")],
)  # fmt: skip
def test_a_time_is_read_with_its_zone(printed: str, meant: str, tmp_path: Path) -> None:
    found = read(tmp_path, train__log="".join(f"{printed} INFO: epoch {e} loss {1 / e:.3f}\n" for e in (1, 2, 3)))
    (reading,) = found.readings
    assert [t.isoformat() for t in reading.points["wall_time"].unique().to_list()] == [
        datetime.fromisoformat(f"2025-03-02T{meant}+00:00").isoformat()
    ]


@pytest.mark.parametrize(
    ("head", "settings"),
    [
        ("Namespace(lr=0.1, layers=[1, 2], model='vit', device=device(type='cuda'))\n", {"lr": 0.1, "layers": [1, 2], "model": "vit", "device": "device(type='cuda')"}),
        ("2024-05-08 04:06:12,127 - INFO - Config: {'lr': 0.1, 'opt': {'name': 'adam'}, 'amp': True}\n", {"lr": 0.1, "opt": {"name": "adam"}, "amp": True}),
        ('{\n  "lr": 0.1,\n  "batch_size": 32,\n  "amp": false\n}\n', {"lr": 0.1, "batch_size": 32, "amp": False}),
        ("----- Options -----\n               batch_size: 4      \t[default: 1]\n               lr: 0.0002\n               name: horse\n----- End -----\n", {"batch_size": 4, "lr": 0.0002, "name": "horse"}),
        ("Namespace(lr=0.1)\n", {"lr": 0.1}),
        ("model:\n  name: vit\n  depth: 12\nlr: 0.1\n", {"model": {"name": "vit", "depth": 12}, "lr": 0.1}),
        ("INFO:__main__:lr = 0.1\nINFO:__main__:epochs = 3\nINFO:__main__:amp = True\n", {"lr": 0.1, "epochs": 3, "amp": True}),
        ("| lr | 0.1 |\n| epochs | 3 |\n| model | vit |\n", {"lr": 0.1, "epochs": 3, "model": "vit"}),
    ],
)  # fmt: skip
def test_settings_at_the_head_are_hyperparameters(head: str, settings: dict[str, object], tmp_path: Path) -> None:
    found = read(tmp_path, train__log=head + "Start training\n" + EPOCHS)
    (run,) = found.runs
    assert found.runs[run].hyperparameters == settings
    assert found.series(run, "loss")[0] == [1, 2, 3]


@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("Training completed in 3:05:10\n", "finished"),
        ("INFO - Finished training.\n", "finished"),
        ("Traceback (most recent call last):\n  File \"train.py\", line 3, in <module>\nValueError: bad\n", "failed"),
        ("Traceback (most recent call last):\n  File \"train.py\", line 3, in <module>\nKeyboardInterrupt\n", "killed"),
        ("slurmstepd: error: *** JOB 123 ON node1 CANCELLED AT 2024-01-01T10:00:00 DUE TO TIME LIMIT ***\n", "killed"),
        ("epoch 4 done\n", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_the_last_lines_say_how_it_ended(end: str, status: str, tmp_path: Path) -> None:
    found = read(tmp_path, train__log=EPOCHS + end)
    assert [r.status for r in found.runs.values()] == [status]


def test_a_last_line_without_its_newline_is_named_and_waits(tmp_path: Path) -> None:
    found = read(tmp_path, train__log=EPOCHS + "Epoch 4/4 - loss: 0.2")
    (run,) = found.runs
    assert found.series(run, "loss")[0] == [1, 2, 3]
    assert [p.kind for p in found.problems] == ["torn"]


def test_a_log_with_a_long_head_is_found(tmp_path: Path) -> None:
    head = "".join(f"Loading shard {i:04d} of the data from disk, please wait\n" for i in range(3000))
    found = read(tmp_path, train__log=head + EPOCHS * 20)
    assert found.runs


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_a_log_in_utf_16_is_read(encoding: str, tmp_path: Path) -> None:
    """As PowerShell writes it with ``> train.log``."""
    text = "".join(f"Epoch {e}: loss {1 / (e + 1):.3f}\r\n" for e in range(4)) + "Training finished\r\n"
    (tmp_path / "train.log").write_bytes(text.encode(encoding))
    found = read_folder(tmp_path)
    (run,) = found.runs
    assert found.series(run, "loss") == ([0, 1, 2, 3], [1.0, 0.5, 0.333, 0.25])
    assert found.runs[run].status == "finished"
