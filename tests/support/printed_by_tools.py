"""What training tools print, as each prints it.

`PRINTED` has for each: the text, or files by name, and for metrics of a run: values, or steps and values. A dictionary of
dictionaries is of several runs by id; a third part has settings, ids of runs or the status that are wanted too.
"""

# ruff: noqa: E501 - lines as tools print them
# fmt: off
# pyright: basic

from __future__ import annotations

from typing import Any

__all__ = ["PRINTED"]

PRINTED: dict[str, Any] = {}
PRINTED["lightning tqdm"] = ("\r".join(["Epoch 0:   0%|          | 0/4 [00:00<?, ?it/s]"]+[f"Epoch {e}: {25*i:3d}%|██        | {i}/4 [00:0{i}<00:01,  2.00it/s, v_num=0, train_loss={1/(4*e+i):.3f}]" for e in (0,1) for i in (1,2,3,4)]+["Epoch 1: 100%|██████████| 4/4 [00:04<00:00,  2.00it/s, v_num=0, train_loss=0.125]\n"])+"`Trainer.fit` stopped: `max_epochs=2` reached.\n",
  {"train_loss": ([1,2,3,4,5,6,7,8],[1.0,.5,.333,.25,.2,.167,.143,.125])}, {"status":"finished"})
PRINTED["fairseq old"] = ("""| epoch 001 | loss 10.6 | nll_loss 10.2 | ppl 1189.23 | wps 6300 | ups 1 | wpb 3500 | bsz 120 | num_updates 500 | lr 6e-05 | gnorm 2.1 | clip 0.000 | oom 0 | wall 100 | train_wall 80
| epoch 001 | valid on 'valid' subset | loss 9.2 | nll_loss 8.6 | ppl 400.1 | num_updates 500
| epoch 002 | loss 8.6 | nll_loss 8.2 | ppl 300.23 | wps 6300 | ups 1 | wpb 3500 | bsz 120 | num_updates 1000 | lr 0.00012 | gnorm 1.1 | clip 0.000 | oom 0 | wall 200 | train_wall 160
| epoch 002 | valid on 'valid' subset | loss 7.2 | nll_loss 6.6 | ppl 100.1 | num_updates 1000 | best_loss 7.2
""", {"loss": ([500,1000],[10.6,8.6]), "val/loss": ([500,1000],[9.2,7.2]), "val/ppl": [400.1,100.1], "lr":[6e-5,.00012]})
PRINTED["megatron val"] = (""" [2025-04-13 23:41:12] iteration       10/    1000 | consumed samples:          160 | lm loss: 7.399415E+00 | grad norm: 2.918 |
-----------------------------------------------------------------------------------------------
 validation loss at iteration 10 | lm loss value: 7.100000E+00 | lm loss PPL: 1.212000E+03 |
-----------------------------------------------------------------------------------------------
 [2025-04-13 23:41:22] iteration       20/    1000 | consumed samples:          320 | lm loss: 6.399415E+00 | grad norm: 1.918 |
-----------------------------------------------------------------------------------------------
 validation loss at iteration 20 | lm loss value: 6.100000E+00 | lm loss PPL: 4.458578E+02 |
-----------------------------------------------------------------------------------------------
""", {"lm loss": ([10,20],[7.399415,6.399415]), "val/lm loss value": ([10,20],[7.1,6.1]), "val/lm loss PPL": ([10,20],[1212,445.8578])})
PRINTED["nnunet v1"] = ("""2021-01-01 10:00:00.123456:
epoch:  0
2021-01-01 10:02:00.123456: train loss : -0.1234
2021-01-01 10:02:10.123456: validation loss: -0.2234
2021-01-01 10:02:10.123456: Average global foreground Dice: [0.5012, 0.6012]
2021-01-01 10:02:10.123456: (interpret this as an estimate for the Dice of the different classes. This is not exact.)
2021-01-01 10:02:10.223456: lr: 0.009991
2021-01-01 10:02:10.323456: This epoch took 130.123456 s

2021-01-01 10:02:10.423456:
epoch:  1
2021-01-01 10:04:00.123456: train loss : -0.3234
2021-01-01 10:04:10.123456: validation loss: -0.4234
2021-01-01 10:04:10.123456: Average global foreground Dice: [0.7012, 0.8012]
2021-01-01 10:04:10.123456: (interpret this as an estimate for the Dice of the different classes. This is not exact.)
2021-01-01 10:04:10.223456: lr: 0.009982
2021-01-01 10:04:10.323456: This epoch took 129.123456 s
""", {"train/loss": ([0,1],[-.1234,-.3234]), "val/loss": ([0,1],[-.2234,-.4234]), "lr":([0,1],[.009991,.009982]), "Average global foreground Dice.0": ([0,1],[.5012,.7012])})
PRINTED["timm"] = ("""Train: 0 [   0/1251 (  0%)]  Loss: 6.95 (6.95)  Time: 5.123s,  200.00/s  (5.123s,  200.00/s)  LR: 1.000e-06  Data: 2.100 (2.100)
Train: 0 [  50/1251 (  4%)]  Loss: 6.92 (6.93)  Time: 0.523s, 1957.00/s  (0.612s, 1673.00/s)  LR: 1.000e-06  Data: 0.010 (0.050)
Test: [   0/48]  Time: 1.200 (1.200)  Loss:   6.900 ( 6.900)  Acc@1:   0.100 (  0.100)  Acc@5:   0.500 (  0.500)
Test: [  48/48]  Time: 0.200 (0.300)  Loss:   6.800 ( 6.850)  Acc@1:   0.200 (  0.150)  Acc@5:   0.600 (  0.550)
Current checkpoints:
 ('./output/train/checkpoint-0.pth.tar', 0.15)

Train: 1 [   0/1251 (  0%)]  Loss: 6.85 (6.85)  Time: 1.123s,  900.00/s  (1.123s,  900.00/s)  LR: 2.000e-04  Data: 0.900 (0.900)
Train: 1 [  50/1251 (  4%)]  Loss: 6.72 (6.78)  Time: 0.523s, 1957.00/s  (0.612s, 1673.00/s)  LR: 2.000e-04  Data: 0.010 (0.050)
Test: [   0/48]  Time: 1.200 (1.200)  Loss:   6.500 ( 6.500)  Acc@1:   1.100 (  1.100)  Acc@5:   2.500 (  2.500)
Test: [  48/48]  Time: 0.200 (0.300)  Loss:   6.400 ( 6.450)  Acc@1:   1.200 (  1.150)  Acc@5:   2.600 (  2.550)
*** Best metric: 1.15 (epoch 1)
""", {"train/Loss": ([0,50,1251,1301],[6.95,6.92,6.85,6.72]), "train/Loss.avg":[6.95,6.93,6.85,6.78], "train/LR": [1e-6,1e-6,2e-4,2e-4]})
PRINTED["torchvision"] = ("""Epoch: [0]  [  0/100]  eta: 0:10:39  lr: 0.000040  loss: 4.5012 (4.5012)  loss_classifier: 4.3001 (4.3001)  time: 5.1926  data: 2.8018  max mem: 3000
Epoch: [0]  [ 99/100]  eta: 0:00:01  lr: 0.020000  loss: 1.5012 (2.5012)  loss_classifier: 1.3001 (2.3001)  time: 0.1926  data: 0.0018  max mem: 3100
Epoch: [0] Total time: 0:00:50 (0.5012 s / it)
Test:  [ 0/10]  eta: 0:00:05  model_time: 0.3001 (0.3001)  evaluator_time: 0.1001 (0.1001)  time: 0.5012  data: 0.1  max mem: 3100
Epoch: [1]  [  0/100]  eta: 0:01:39  lr: 0.020000  loss: 1.2012 (1.2012)  loss_classifier: 1.1001 (1.1001)  time: 0.5926  data: 0.3018  max mem: 3100
Epoch: [1]  [ 99/100]  eta: 0:00:01  lr: 0.020000  loss: 0.9012 (1.0012)  loss_classifier: 0.8001 (0.9001)  time: 0.1926  data: 0.0018  max mem: 3100
""", {"loss": ([0,99,100,199],[4.5012,1.5012,1.2012,.9012]), "loss.avg":[4.5012,2.5012,1.2012,1.0012], "lr":[.00004,.02,.02,.02]})
PRINTED["chainer print"] = ("epoch       main/loss   validation/main/loss  main/accuracy  validation/main/accuracy  elapsed_time\n\x1b[J1           0.192183    0.0946293             0.9418         0.9703                    2.80151\n\x1b[J2           0.0746203   0.0785186             0.97665        0.9749                    5.38911\n\x1b[J3           0.0489141   0.0687786             0.984434       0.9783                    7.99851\n",
  {"main/loss": ([1,2,3],[.192183,.0746203,.0489141]), "validation/main/accuracy":[.9703,.9749,.9783]})
PRINTED["keras tf1"] = ("""Epoch 1/3
 - 3s - loss: 0.5012 - acc: 0.8012 - val_loss: 0.4012 - val_acc: 0.8512
Epoch 2/3
 - 2s - loss: 0.3012 - acc: 0.9012 - val_loss: 0.3512 - val_acc: 0.8712
Epoch 3/3
 - 2s - loss: 0.2012 - acc: 0.9312 - val_loss: 0.3312 - val_acc: 0.8812
""", {"loss": ([1,2,3],[.5012,.3012,.2012]), "val_acc": ([1,2,3],[.8512,.8712,.8812])})
PRINTED["keras tf1 steps"] = ("""Train on 60000 samples, validate on 10000 samples
Epoch 1/2
60000/60000 [==============================] - 3s 50us/sample - loss: 0.5012 - acc: 0.8012 - val_loss: 0.4012 - val_acc: 0.8512
Epoch 2/2
60000/60000 [==============================] - 3s 50us/sample - loss: 0.3012 - acc: 0.9012 - val_loss: 0.3512 - val_acc: 0.8712
""", {"loss": ([1,2],[.5012,.3012]), "val_acc": ([1,2],[.8512,.8712])})
PRINTED["fastai"] = ("""epoch     train_loss  valid_loss  accuracy  time    
0         2.012300    1.912300    0.512300  00:10     
1         1.512300    1.412300    0.612300  00:11     
2         1.212300    1.312300    0.652300  01:11     
""", {"train_loss": ([0,1,2],[2.0123,1.5123,1.2123]), "accuracy":[.5123,.6123,.6523], "time":[10,11,71]})
PRINTED["hf v5"] = ("""{'loss': '2.5123', 'grad_norm': '1.2', 'learning_rate': '4.9e-05', 'epoch': '0.5'}
{'loss': '2.1', 'grad_norm': '1.1', 'learning_rate': '3.9e-05', 'epoch': '1'}
{'eval_loss': '1.9', 'eval_runtime': '3.5', 'epoch': '1'}
{'loss': '1.8', 'grad_norm': '1', 'learning_rate': '2.9e-05', 'epoch': '1.5'}
{'train_runtime': '30.5', 'train_samples_per_second': '100.2', 'train_loss': '2.13', 'epoch': '1.5'}
""", {"loss": [2.5123,2.1,1.8], "learning_rate":[4.9e-5,3.9e-5,2.9e-5], "eval_loss":[1.9], "epoch":[.5,1,1,1.5,1.5]})
PRINTED["accelerate glue"] = ("""02/03/2024 12:00:00 - INFO - __main__ - ***** Running training *****
02/03/2024 12:00:00 - INFO - __main__ -   Num examples = 3668
02/03/2024 12:00:00 - INFO - __main__ -   Num Epochs = 3
02/03/2024 12:00:00 - INFO - __main__ -   Total optimization steps = 345
02/03/2024 12:01:00 - INFO - __main__ - epoch 0: {'accuracy': 0.8431, 'f1': 0.8876}
02/03/2024 12:02:00 - INFO - __main__ - epoch 1: {'accuracy': 0.8531, 'f1': 0.8976}
02/03/2024 12:03:00 - INFO - __main__ - epoch 2: {'accuracy': 0.8631, 'f1': 0.9076}
""", {"accuracy": ([0,1,2],[.8431,.8531,.8631]), "f1": ([0,1,2],[.8876,.8976,.9076])})
PRINTED["diffusers"] = ("\r".join(f"Steps:  {i:2d}%|▏         | {i}/100 [00:05<08:20,  1.98it/s, lr=1e-5, step_loss={1/(i+1):.4f}]" for i in range(1,6))+"\n", {"step_loss": ([1,2,3,4,5],[.5,.3333,.25,.2,.1667]), "lr":[1e-5]*5})
PRINTED["maxtext"] = ("".join(f"completed step: {i}, seconds: 3.2{i}, TFLOP/s/device: 100.1{i}, Tokens/s/device: 2000.51{i}, total_weights: 8192, loss: {10-i}.5{i}\n" for i in range(4)), {"loss": ([0,1,2,3],[10.50,9.51,8.52,7.53]), "Tokens/s/device":[2000.510,2000.511,2000.512,2000.513]})
PRINTED["olmo"] = ("".join(f"""2024-02-01 10:0{i}:00.000\thost:0\tolmo.train:900\tINFO\t[step={i*10}/739328]
    train/CrossEntropyLoss={11-i}.85
    train/Perplexity={51-i},{100+i}
    throughput/total_tokens={41+i},943,040
    throughput/device/batches_per_second=0.{i}5
""" for i in range(1,4)), {"train/CrossEntropyLoss": ([10,20,30],[10.85,9.85,8.85]), "train/Perplexity":[50101,49102,48103], "throughput/total_tokens":[42943040,43943040,44943040]})
PRINTED["llm.c"] = ("""step    1/19560 | loss 11.009000 (+nanz)| norm 15.4012 (+nanz)| lr 2.14e-06 | 500.00 ms | 50.1% bf16 MFU | 100000 tok/s
step    2/19560 | loss 10.509000 (+nanz)| norm 14.4012 (+nanz)| lr 4.29e-06 | 501.00 ms | 50.2% bf16 MFU | 100001 tok/s
val loss 10.409000
step    3/19560 | loss 10.209000 (-1.20z)| norm 13.4012 (+0.50z)| lr 6.43e-06 | 502.00 ms | 50.3% bf16 MFU | 100002 tok/s
""", {"loss": ([1,2,3],[11.009,10.509,10.209]), "lr":[2.14e-6,4.29e-6,6.43e-6], "val/loss": ([2],[10.409]), "norm": [15.4012,14.4012,13.4012]})
PRINTED["icefall"] = ("""2022-01-01 10:00:00,123 INFO [train.py:900] (0/8) Epoch 1, batch 0, loss[loss=7.2, simple_loss=6.4, pruned_loss=7.1, over 7000.00 frames. ], tot_loss[loss=7.3, simple_loss=6.5, pruned_loss=7.5, over 7000.00 frames. ], batch size: 50, lr: 3.00e-03
2022-01-01 10:01:00,123 INFO [train.py:900] (0/8) Epoch 1, batch 50, loss[loss=1.2, simple_loss=2.4, pruned_loss=1.1, over 7100.00 frames. ], tot_loss[loss=1.3, simple_loss=2.5, pruned_loss=1.5, over 60000.00 frames. ], batch size: 51, lr: 2.90e-03
2022-01-01 10:02:00,123 INFO [train.py:932] (0/8) Epoch 1, validation: loss=0.9, simple_loss=0.8, pruned_loss=0.7, over 944034.00 frames.
2022-01-01 10:03:00,123 INFO [train.py:900] (0/8) Epoch 2, batch 0, loss[loss=1.0, simple_loss=2.0, pruned_loss=1.0, over 7200.00 frames. ], tot_loss[loss=1.0, simple_loss=2.0, pruned_loss=1.0, over 7200.00 frames. ], batch size: 52, lr: 2.80e-03
""", {"tot_loss.loss": ([0,50,51],[7.3,1.3,1.0]), "loss.pruned_loss": [7.1,1.1,1.0], "val/loss": ([50],[.9]), "lr":[.003,.0029,.0028]})
PRINTED["wenet"] = ("""2021-06-01 10:00:00,123 DEBUG TRAIN Batch 0/0 loss 101.200000 loss_att 120.100000 loss_ctc 60.200000 lr 0.00001000 rank 0
2021-06-01 10:01:00,123 DEBUG TRAIN Batch 0/100 loss 91.200000 loss_att 110.100000 loss_ctc 50.200000 lr 0.00002000 rank 0
2021-06-01 10:02:00,123 DEBUG CV Batch 0/0 loss 81.200000 loss_att 90.100000 loss_ctc 40.200000 history loss 81.100000 rank 0
2021-06-01 10:03:00,123 INFO Epoch 0 CV info cv_loss 80.2
2021-06-01 10:04:00,123 DEBUG TRAIN Batch 1/0 loss 71.200000 loss_att 80.100000 loss_ctc 30.200000 lr 0.00003000 rank 0
2021-06-01 10:05:00,123 DEBUG TRAIN Batch 1/100 loss 61.200000 loss_att 70.100000 loss_ctc 20.200000 lr 0.00004000 rank 0
2021-06-01 10:06:00,123 INFO Epoch 1 CV info cv_loss 50.2
""", {"cv_loss": [80.2,50.2]})
PRINTED["flair"] = ("""2021-01-01 10:00:00,123 epoch 1 - iter 10/20 - loss 3.20120000 - time (sec): 1.20 - samples/sec: 200.30 - lr: 0.100000
2021-01-01 10:00:10,123 epoch 1 - iter 20/20 - loss 2.90120000 - time (sec): 2.20 - samples/sec: 210.30 - lr: 0.100000
2021-01-01 10:00:11,123 ----------------------------------------------------------------------------------------------------
2021-01-01 10:00:11,123 EPOCH 1 done: loss 2.9012 - lr 0.1000000
2021-01-01 10:00:12,123 DEV : loss 1.501234 - f1-score (micro avg)  0.7012
2021-01-01 10:00:12,223 BAD EPOCHS (no improvement): 0
2021-01-01 10:01:00,123 epoch 2 - iter 10/20 - loss 2.20120000 - time (sec): 1.20 - samples/sec: 200.30 - lr: 0.100000
2021-01-01 10:01:10,123 epoch 2 - iter 20/20 - loss 1.90120000 - time (sec): 2.20 - samples/sec: 210.30 - lr: 0.100000
2021-01-01 10:01:11,123 EPOCH 2 done: loss 1.9012 - lr 0.1000000
2021-01-01 10:01:12,123 DEV : loss 1.201234 - f1-score (micro avg)  0.7512
2021-01-01 10:01:12,223 BAD EPOCHS (no improvement): 0
""", {"loss": ([10,20,30,40],[3.2012,2.9012,2.2012,1.9012]), "dev/loss": ([20,40],[1.501234,1.201234]), "dev/f1-score (micro avg)": ([20,40],[.7012,.7512]), "epoch/loss": ([20,40],[2.9012,1.9012])})
PRINTED["marian"] = ("""[2020-01-01 10:00:00] Ep. 1 : Up. 1000 : Sen. 64,000 : Cost 5.10123456 : Time 100.00s : 20000.00 words/s : L.r. 1.0000e-04
[2020-01-01 10:01:00] Ep. 1 : Up. 2000 : Sen. 128,000 : Cost 4.10123456 : Time 101.00s : 20001.00 words/s : L.r. 2.0000e-04
[2020-01-01 10:01:10] [valid] Ep. 1 : Up. 2000 : cross-entropy : 100.2 : new best
[2020-01-01 10:01:20] [valid] Ep. 1 : Up. 2000 : bleu : 20.5 : new best
[2020-01-01 10:02:00] Ep. 2 : Up. 3000 : Sen. 12,000 : Cost 3.10123456 : Time 102.00s : 20002.00 words/s : L.r. 3.0000e-04
[2020-01-01 10:03:00] Ep. 2 : Up. 4000 : Sen. 76,000 : Cost 2.10123456 : Time 102.00s : 20002.00 words/s : L.r. 3.0000e-04
[2020-01-01 10:03:10] [valid] Ep. 2 : Up. 4000 : cross-entropy : 90.2 : new best
[2020-01-01 10:03:20] [valid] Ep. 2 : Up. 4000 : bleu : 20.1 : stalled 1 times (last best: 20.5)
""", {"Cost": ([1000,2000,3000,4000],[5.10123456,4.10123456,3.10123456,2.10123456]), "val/cross-entropy": ([2000,4000],[100.2,90.2]), "val/bleu": ([2000,4000],[20.5,20.1])})
PRINTED["mxnet"] = ("""INFO:root:Epoch[0] Batch [0-100]\tSpeed: 10000.12 samples/sec\taccuracy=0.512300
INFO:root:Epoch[0] Batch [100-200]\tSpeed: 10001.12 samples/sec\taccuracy=0.612300
INFO:root:Epoch[0] Train-accuracy=0.589000
INFO:root:Epoch[0] Time cost=10.212
INFO:root:Epoch[0] Validation-accuracy=0.650000
INFO:root:Epoch[1] Batch [0-100]\tSpeed: 10000.12 samples/sec\taccuracy=0.712300
INFO:root:Epoch[1] Batch [100-200]\tSpeed: 10001.12 samples/sec\taccuracy=0.812300
INFO:root:Epoch[1] Train-accuracy=0.789000
INFO:root:Epoch[1] Time cost=10.112
INFO:root:Epoch[1] Validation-accuracy=0.750000
""", {"accuracy": [.5123,.6123,.7123,.8123], "Train-accuracy":[.589,.789], "Validation-accuracy":[.65,.75]})
PRINTED["estimator"] = ("""INFO:tensorflow:loss = 2.5, step = 1
INFO:tensorflow:global_step/sec: 30.1
INFO:tensorflow:loss = 0.5, step = 101 (3.322 sec)
INFO:tensorflow:global_step/sec: 31.1
INFO:tensorflow:loss = 0.25, step = 201 (3.212 sec)
INFO:tensorflow:Saving checkpoints for 201 into /tmp/model/model.ckpt.
INFO:tensorflow:Saving dict for global step 201: accuracy = 0.9123, global_step = 201, loss = 0.31
INFO:tensorflow:Loss for final step: 0.25.
""", {"loss": ([1,101,201,201],[2.5,.5,.25,.31]), "accuracy": ([201],[.9123])})
PRINTED["tf od"] = ("""I0101 10:00:00.123456 140234 model_lib_v2.py:680] Step 100 per-step time 0.512s loss=0.712
I0101 10:01:00.123456 140234 model_lib_v2.py:680] Step 200 per-step time 0.412s loss=0.612
I0101 10:02:00.123456 140234 model_lib_v2.py:680] Step 300 per-step time 0.412s loss=0.512
""", {"loss": ([100,200,300],[.712,.612,.512])})
PRINTED["garage"] = ("".join(f"""2020-01-01 10:0{i}:00 | [trpo] epoch #{i} | Saving snapshot...
2020-01-01 10:0{i}:00 | [trpo] epoch #{i} | Time {i*10}.50 s
-------------------------------------  --------------
Evaluation/AverageDiscountedReturn        {9+i}.5
Evaluation/AverageReturn                  {20+i}.25
Evaluation/Iteration                       {i}
LinearFeatureBaseline/ExplainedVariance   -0.{i}6
TotalEnvSteps                           {1000*(i+1)}
-------------------------------------  --------------
""" for i in range(3)), {"Evaluation/AverageReturn": [20.25,21.25,22.25], "LinearFeatureBaseline/ExplainedVariance":[-.06,-.16,-.26]})
PRINTED["cleanrl"] = ("".join(f"global_step={100*i}, episodic_return=[{20+i}.]\n" for i in range(1,6))+"SPS: 1000\n", {"episodic_return": ([100,200,300,400,500],[21,22,23,24,25])})
PRINTED["acme"] = ("".join(f"[Learner] Critic Loss = 0.{i}12 | Learner Steps = {100*i} | Policy Loss = -{i}.5 | Steps = {100*i} | Walltime = {3*i}.2\n" for i in range(1,5)), {"Critic Loss": ([100,200,300,400],[.112,.212,.312,.412]), "Policy Loss": [-1.5,-2.5,-3.5,-4.5]})
PRINTED["srun label"] = ("".join(f"{r}: epoch {e} loss {1/(e+r+1):.3f}\n" for e in range(1,4) for r in (0,1)), {"loss": ([1,2,3],[.5,.333,.25]), "rank1/loss": ([1,2,3],[.333,.25,.2])})
PRINTED["pdsh"] = ("".join(f"worker-{r}: epoch {e} loss {1/(e+r+1):.3f}\n" for e in range(1,4) for r in (0,1)), {"loss": ([1,2,3],[.5,.333,.25]), "rank1/loss": ([1,2,3],[.333,.25,.2])})
PRINTED["deepspeed"] = ("""[2024-01-01 10:00:00,123] [INFO] [logging.py:96:log_dist] [Rank 0] step=10, skipped=0, lr=[1e-05, 1e-05], mom=[(0.9, 0.95), (0.9, 0.95)]
steps: 10 loss: 2.5012 iter time (s): 0.501 samples/sec: 30.123
[2024-01-01 10:01:00,123] [INFO] [logging.py:96:log_dist] [Rank 0] step=20, skipped=0, lr=[2e-05, 2e-05], mom=[(0.9, 0.95), (0.9, 0.95)]
steps: 20 loss: 2.4012 iter time (s): 0.502 samples/sec: 31.123
[2024-01-01 10:02:00,123] [INFO] [logging.py:96:log_dist] [Rank 0] step=30, skipped=0, lr=[3e-05, 3e-05], mom=[(0.9, 0.95), (0.9, 0.95)]
steps: 30 loss: 2.3012 iter time (s): 0.503 samples/sec: 32.123
""", {"loss": ([10,20,30],[2.5012,2.4012,2.3012]), "lr.0": ([10,20,30],[1e-5,2e-5,3e-5])})
PRINTED["ultralytics"] = ("""
      Epoch    GPU_mem   box_loss   cls_loss   dfl_loss  Instances       Size
\r        1/2      2.21G      1.512      3.112      1.512         20        640:  50%|█████     | 1/2 [00:00<00:00,  8.0it/s]\r        1/2      2.22G      1.212      3.012      1.412         25        640: 100%|██████████| 2/2 [00:00<00:00,  8.0it/s]
\r                 Class     Images  Instances      Box(P          R      mAP50  mAP50-95): 100%|██████████| 2/2 [00:00<00:00,  8.0it/s]
                   all        128        929       0.64      0.537      0.605      0.446

      Epoch    GPU_mem   box_loss   cls_loss   dfl_loss  Instances       Size
\r        2/2      2.21G      1.112      2.112      1.312         20        640:  50%|█████     | 1/2 [00:00<00:00,  8.0it/s]\r        2/2      2.22G      1.012      2.012      1.212         25        640: 100%|██████████| 2/2 [00:00<00:00,  8.0it/s]
\r                 Class     Images  Instances      Box(P          R      mAP50  mAP50-95): 100%|██████████| 2/2 [00:00<00:00,  8.0it/s]
                   all        128        929       0.74      0.637      0.705      0.546

2 epochs completed in 0.001 hours.
""", {"box_loss": ([1,2],[1.212,1.012]), "dfl_loss":[1.412,1.212]})
PRINTED["darts"] = ("""2019-01-01 10:00:00,123 args = Namespace(arch='DARTS', batch_size=96, learning_rate=0.025)
2019-01-01 10:00:01,123 epoch 0 lr 2.500000e-02
2019-01-01 10:00:02,123 train 000 3.201200e+00 12.500000 45.312300
2019-01-01 10:00:03,123 train 050 2.201200e+00 22.500000 55.312300
2019-01-01 10:00:04,123 train_acc 30.123000
2019-01-01 10:00:05,123 valid 000 1.901200e+00 32.500000 65.312300
2019-01-01 10:00:06,123 valid_acc 35.123000
2019-01-01 10:00:07,123 epoch 1 lr 2.490000e-02
2019-01-01 10:00:08,123 train 000 1.801200e+00 42.500000 75.312300
2019-01-01 10:00:09,123 train 050 1.701200e+00 52.500000 85.312300
2019-01-01 10:00:10,123 train_acc 50.123000
2019-01-01 10:00:11,123 valid 000 1.601200e+00 62.500000 95.312300
2019-01-01 10:00:12,123 valid_acc 55.123000
""", {"train_acc": [30.123,50.123], "valid_acc":[35.123,55.123], "lr":[.025,.0249]}, {"hp":{"run.log":{"batch_size":96}}})
PRINTED["mmseg iter"] = ("""05/29 10:00:00 - mmengine - INFO - Iter(train) [   50/20000]  lr: 9.9779e-03  eta: 1:30:00  time: 0.2700  data_time: 0.0050  memory: 5000  loss: 2.1012  decode.loss_ce: 1.5012  decode.acc_seg: 40.1012
05/29 10:01:00 - mmengine - INFO - Iter(train) [  100/20000]  lr: 9.9556e-03  eta: 1:29:00  time: 0.2710  data_time: 0.0051  memory: 5000  loss: 1.9012  decode.loss_ce: 1.3012  decode.acc_seg: 50.1012
05/29 10:02:00 - mmengine - INFO - Iter(val) [10/10]    aAcc: 80.1000  mIoU: 30.2000  mAcc: 40.3000  data_time: 0.0500  time: 0.2000
05/29 10:03:00 - mmengine - INFO - Iter(train) [  150/20000]  lr: 9.9333e-03  eta: 1:28:00  time: 0.2710  data_time: 0.0051  memory: 5000  loss: 1.7012  decode.loss_ce: 1.1012  decode.acc_seg: 60.1012
""", {"train/loss": ([50,100,150],[2.1012,1.9012,1.7012]), "val/mIoU": ([100],[30.2])})
PRINTED["swin"] = ("""[2021-04-01 10:00:00 swin_tiny](main.py 200): INFO Train: [0/300][0/100]\teta 2:00:00 lr 0.000001\ttime 1.2000 (1.2000)\tloss 6.9012 (6.9012)\tgrad_norm 1.2012 (1.2012)\tmem 8000MB
[2021-04-01 10:01:00 swin_tiny](main.py 200): INFO Train: [0/300][10/100]\teta 2:00:00 lr 0.000002\ttime 0.2000 (0.3000)\tloss 6.8012 (6.8512)\tgrad_norm 1.3012 (1.2512)\tmem 8000MB
[2021-04-01 10:02:00 swin_tiny](main.py 245): INFO Test: [0/98]\tTime 1.000 (1.000)\tLoss 6.7012 (6.7012)\tAcc@1 1.300 (1.300)\tAcc@5 5.600 (5.600)\tMem 8000MB
[2021-04-01 10:02:30 swin_tiny](main.py 252): INFO  * Acc@1 1.512 Acc@5 6.012
[2021-04-01 10:02:30 swin_tiny](main.py 150): INFO Accuracy of the network on the 50000 test images: 1.5%
[2021-04-01 10:02:30 swin_tiny](main.py 152): INFO Max accuracy: 1.51%
[2021-04-01 10:03:00 swin_tiny](main.py 200): INFO Train: [1/300][0/100]\teta 2:00:00 lr 0.000003\ttime 1.2000 (1.2000)\tloss 6.5012 (6.5012)\tgrad_norm 1.1012 (1.1012)\tmem 8000MB
[2021-04-01 10:04:00 swin_tiny](main.py 200): INFO Train: [1/300][10/100]\teta 2:00:00 lr 0.000004\ttime 0.2000 (0.3000)\tloss 6.4012 (6.4512)\tgrad_norm 1.0012 (1.0512)\tmem 8000MB
[2021-04-01 10:05:30 swin_tiny](main.py 252): INFO  * Acc@1 2.512 Acc@5 8.012
""", {"train/loss": ([0,10,100,110],[6.9012,6.8012,6.5012,6.4012]), "Acc@1": ([10,110],[1.512,2.512])})
PRINTED["dcgan"] = ("".join(f"[{e}/2][{i}/100]\tLoss_D: {1.7-e-i/100:.4f}\tLoss_G: {5.3-e-i/100:.4f}\tD(x): 0.5{e}\tD(G(z)): 0.6{e} / 0.01{e}\n" for e in (0,1) for i in (0,50)), {"Loss_D": ([0,50,100,150],[1.7,1.2,.7,.2]), "D(x)":[.50,.50,.51,.51], "D(G(z))": [.60,.60,.61,.61]})
PRINTED["pytorch-gan"] = ("".join(f"[Epoch {e}/2] [Batch {i}/100] [D loss: {0.69-e/10-i/1000:.6f}] [G loss: {0.7-e/10:.6f}]\n" for e in (0,1) for i in (0,50)), {"D loss": ([0,50,100,150],[.69,.64,.59,.54]), "G loss":[.7,.7,.6,.6]})
PRINTED["wordlm"] = ("""| epoch   1 |   200/ 1000 batches | lr 20.00 | ms/batch 12.30 | loss  7.62 | ppl  2038.80
| epoch   1 |   400/ 1000 batches | lr 20.00 | ms/batch 12.31 | loss  6.62 | ppl   750.80
-----------------------------------------------------------------------------------------
| end of epoch   1 | time: 50.21s | valid loss  5.51 | valid ppl   250.21
-----------------------------------------------------------------------------------------
| epoch   2 |   200/ 1000 batches | lr 20.00 | ms/batch 12.30 | loss  5.62 | ppl   275.80
| epoch   2 |   400/ 1000 batches | lr 20.00 | ms/batch 12.31 | loss  5.02 | ppl   150.80
-----------------------------------------------------------------------------------------
| end of epoch   2 | time: 50.11s | valid loss  4.91 | valid ppl   140.21
-----------------------------------------------------------------------------------------
| End of training | test loss  4.81 | test ppl   122.71
""", {"loss": ([200,400,1200,1400],[7.62,6.62,5.62,5.02]), "val/loss": ([400,1400],[5.51,4.91]), "test/ppl":[122.71]})
PRINTED["pyg"] = ("".join(f"Epoch: {e:03d}, Loss: {2-e/10:.4f}, Train: 0.8{e}, Val: 0.7{e}, Test: 0.6{e}\n" for e in range(1,5)), {"Loss": ([1,2,3,4],[1.9,1.8,1.7,1.6]), "Val":[.71,.72,.73,.74], "Test":[.61,.62,.63,.64], "Train":[.81,.82,.83,.84]})
PRINTED["ogb"] = ("".join(f"Run: {r:02d}, Epoch: {e:02d}, Loss: {2-e/10-r/100:.4f}, Train: {50+e}.{r}%, Valid: {49+e}.{r}%, Test: {48+e}.{r}%\n" for r in (1,2) for e in range(1,4)), {"run.log":{"Loss": ([1,2,3],[1.89,1.79,1.69])}, "run.log#2":{"Loss": ([1,2,3],[1.88,1.78,1.68])}})
PRINTED["graphgym"] = ("".join(f"{s}: {{'epoch': {e}, 'eta': 10.2, 'loss': {1-e/10-d:.4f}, 'lr': 0.01, 'params': 100, 'time_iter': 0.01, 'accuracy': 0.8{e}}}\n" for e in range(3) for s,d in (("train",0),("val",.1),("test",.2))), {"train/loss": ([0,1,2],[1,.9,.8]), "val/loss": ([0,1,2],[.9,.8,.7]), "test/accuracy": ([0,1,2],[.80,.81,.82])})
PRINTED["modulus"] = ("".join(f"[10:00:0{i}] - [step: {100*i:10d}] loss:  {1/(i+1):.3e}, time/iteration:  1.2{i}e+01 ms\n" for i in range(4)), {"loss": ([0,100,200,300],[1,.5,.3333,.25])})
PRINTED["nerf"] = ("".join(f"[TRAIN] Iter: {100*i} Loss: 0.0{i}2  PSNR: {20+i}.1\n" for i in range(1,4)), {"train/Loss": ([100,200,300],[.012,.022,.032])})
PRINTED["3dgs"] = ("\r".join(f"Training progress:  {i}0%|█         | {3000*i}/30000 [01:00<09:00, 50.00it/s, Loss=0.0{i}512]" for i in range(1,4))+"\n\n[ITER 7000] Evaluating test: L1 0.0212 PSNR 25.31 [01/01 10:00:00]\n", {"train/Loss": ([3000,6000,9000],[.01512,.02512,.03512])})
PRINTED["clu"] = ("".join(f"I0101 10:0{i}:00.123456 140000123 logging_writer.py:48] [{100*i}] loss={1/i:.4f}, accuracy=0.{i}5, learning_rate=1e-0{i}\n" for i in range(1,5)), {"loss": ([100,200,300,400],[1,.5,.3333,.25]), "learning_rate":[.1,.01,.001,.0001]})
PRINTED["absl mnist"] = ("".join(f"INFO:absl:epoch:{e:3d}, train_loss: 0.{e}2, train_accuracy: 9{e}.20, test_loss: 0.{e}3, test_accuracy: 9{e}.80\n" for e in range(1,4)), {"train_loss": ([1,2,3],[.12,.22,.32]), "test_accuracy":[91.8,92.8,93.8]})
PRINTED["cifar tutorial"] = ("".join(f"[{e}, {2000*k:5d}] loss: {3-e-k/10:.3f}\n" for e in (1,2) for k in (1,2,3))+"Finished Training\nAccuracy of the network on the 10000 test images: 54 %\n", {"loss": ([2000,4000,6000,8000,10000,12000],[1.9,1.8,1.7,.9,.8,.7])}, {"status":"finished"})
PRINTED["quickstart"] = ("".join(f"""Epoch {e}
-------------------------------
loss: {2.3-e/10:.6f}  [   64/60000]
loss: {2.2-e/10:.6f}  [ 6464/60000]
loss: {2.1-e/10:.6f}  [12864/60000]
Test Error: 
 Accuracy: {50+e}.9%, Avg loss: {1.9-e/10:.6f} 

""" for e in (1,2))+"Done!\n", {"loss": ([64,6464,12864,60064,66464,72864],[2.2,2.1,2.0,2.1,2.0,1.9]), }, {"status":"finished"})
PRINTED["transfer"] = ("".join(f"Epoch {e}/24\n----------\ntrain Loss: 0.{5-e}123 Acc: 0.{7+e}012\nval Loss: 0.{3-e}123 Acc: 0.{7+e}512\n\n" for e in range(3))+"Training complete in 1m 6s\nBest val Acc: 0.951200\n", {"train/Loss": ([0,1,2],[.5123,.4123,.3123]), "val/Acc": ([0,1,2],[.7512,.8512,.9512])}, {"status":"finished"})
PRINTED["intro tutorial"] = ("".join(f"EPOCH {e}:\n"+"".join(f"  batch {1000*k} loss: {2-e/10-k/100:.6f}\n" for k in (1,2,3))+f"LOSS train 0.{3-e}123 valid 0.{4-e}123\n" for e in (1,2)), {"loss": [1.89,1.88,1.87,1.79,1.78,1.77]})
