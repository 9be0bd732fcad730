"""What further tools and loops written by hand print.

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
PRINTED["garage2"] = ("".join(f"""2020-01-01 10:0{i}:00 | [trpo] epoch #{i} | Time {i*10}.50 s
-------------------------------------  --------------
Evaluation/AverageReturn                  {20+i}.25
Evaluation/Iteration                       {i}
LinearFeatureBaseline/ExplainedVariance   -0.{i}6
TotalEnvSteps                           {1000*(i+1)}
-------------------------------------  --------------
""" for i in range(3)), {"Evaluation/AverageReturn": [20.25,21.25,22.25], "LinearFeatureBaseline/ExplainedVariance":([1000,2000,3000],[-.06,-.16,-.26])})
PRINTED["rlkit"] = ("".join(f"""2020-01-01 10:0{i}:00.123456 UTC | [SAC] Epoch {i} finished
-----------------------------------  ---------------
replay_buffer/size                   {1000*(i+1)}
trainer/QF1 Loss                        {1.5-i/10:.2f}
trainer/Log Pis Mean                   -{i}.25
exploration/num steps total          {1000*(i+1)}
Epoch                                   {i}
-----------------------------------  ---------------
""" for i in range(3)), {"trainer/QF1 Loss": ([0,1,2],[1.5,1.4,1.3]), "trainer/Log Pis Mean": ([0,1,2],[-.25,-1.25,-2.25])})
PRINTED["spinup console"] = ("".join(f"""---------------------------------------
|             Epoch |               {i} |
|      AverageEpRet |            {20+i}.5 |
| TotalEnvInteracts |           {4000*(i+1)} |
|            LossPi |         {-0.01*(i+1):.3g} |
---------------------------------------
""" for i in range(3)), {"AverageEpRet": ([4000,8000,12000],[20.5,21.5,22.5]), "LossPi":[-.01,-.02,-.03]})
PRINTED["litgpt"] = ("".join(f"Epoch 1 | iter {i} step {(i+1)//2} | loss train: 2.{9-i}01, val: n/a | iter time: {300+i}.00 ms{' (step)' if i%2==0 else ''}\n" for i in range(1,7)), {"loss train": ([1,2,3,4,5,6],[2.801,2.701,2.601,2.501,2.401,2.301]), "iter time":[301,302,303,304,305,306]})
PRINTED["paddledet"] = ("".join(f"[07/25 10:0{i}:00] ppdet.engine INFO: Epoch: [{i//2}] [{100*(i%2):3d}/200] learning_rate: 0.00033{i} loss_xy: 0.{4+i}12 loss: 10{i}.2 eta: 1 day, 2:00:00 batch_cost: 2.512{i} data_cost: 1.512{i} ips: 3.212{i} images/s\n" for i in range(4)), {"loss": ([0,100,200,300],[100.2,101.2,102.2,103.2]), "ips":[3.2120,3.2121,3.2122,3.2123], "learning_rate":[.00033,.000331,.000332,.000333]})
PRINTED["paddleocr"] = ("".join(f"[2022/01/01 10:0{i}:00] ppocr INFO: epoch: [{1+i//2}/500], global_step: {10*(i+1)}, lr: 0.00100{i}, loss: 2.3{i}, avg_reader_cost: 0.10012 s, avg_batch_cost: 0.20012 s, avg_samples: 8.0, ips: 20.12345 samples/s, eta: 1:00:00\n" for i in range(4))+"[2022/01/01 10:05:00] ppocr INFO: cur metric, precision: 0.8012, recall: 0.7012, hmean: 0.7479, fps: 20.1\n", {"loss": ([10,20,30,40],[2.30,2.31,2.32,2.33]), "precision": ([40],[.8012]), "avg_samples":[8,8,8,8]})
PRINTED["paddleseg"] = ("".join(f"2021-01-01 10:0{i}:00 [INFO]\t[TRAIN] epoch: {1+i//2}, iter: {10*(i+1)}/1000, loss: 1.5{i}12, lr: 0.01000{i}, batch_cost: 0.2012, reader_cost: 0.01234, ips: 10.1012 samples/sec | ETA 00:03:20\n" for i in range(4))+"2021-01-01 10:05:00 [INFO]\t[EVAL] #Images: 500, mIoU: 0.5012, Acc: 0.9012, Kappa: 0.8012\n", {"train/loss": ([10,20,30,40],[1.5012,1.5112,1.5212,1.5312]), "eval/mIoU": ([40],[.5012])})
PRINTED["paddleclas"] = ("".join(f"[2022/01/01 10:0{i}:00] ppcls INFO: [Train][Epoch {1+i//2}/120][Iter: {100*(i%2)}/200]lr(LinearWarmup): 0.0010000{i}, top1: 0.1{i}000, top5: 0.2{i}000, CELoss: 7.0{i}000, loss: 7.0{i}000, batch_cost: 0.20012s, reader_cost: 0.01012, ips: 200.12345 samples/s, eta: 1:00:00\n" for i in range(4))+"[2022/01/01 10:05:00] ppcls INFO: [Eval][Epoch 2][Avg]CELoss: 5.01200, loss: 5.01200, top1: 0.20120, top5: 0.40120\n", {"train/loss": ([0,100,200,300],[7.0,7.01,7.02,7.03]), "eval/top1": ([300],[.2012])})
PRINTED["openrlhf"] = ("\r".join(f"Train step of epoch {e}:  {25*k}%|██▌       | {k}/4 [00:10<00:10,  2.00s/it, gpt_loss={2-e-k/10:.2f}, loss_mean={2.1-e-k/10:.2f}, lr=9.{k}e-6]" for e in (0,1) for k in (1,2,3,4))+"\n", {"train/gpt_loss": ([1,2,3,4,5,6,7,8],[1.9,1.8,1.7,1.6,.9,.8,.7,.6])})
PRINTED["tianshou"] = ("".join(f"Epoch #{e}: 1001it [00:03, 300.20it/s, env_step={1000*e}, len={100+e}, loss=0.{e}12, n/ep=1, n/st=10, rew={50+e}.20]\nEpoch #{e}: test_reward: {100+e}.000000 ± 20.000000, best_reward: {100+e}.000000 ± 20.000000 in #{e}\n" for e in (1,2,3)), {"loss": [.112,.212,.312], "test_reward":[101,102,103]})
PRINTED["sklearn mlp"] = ("".join(f"Iteration {i}, loss = 0.{9-i}9314718\n" for i in range(1,5))+"Training loss did not improve more than tol=0.000100 for 10 consecutive epochs. Stopping.\n", {"loss": ([1,2,3,4],[.89314718,.79314718,.69314718,.59314718])})
PRINTED["sklearn gb"] = ("      Iter       Train Loss   Remaining Time \n"+"".join(f"         {i}           1.{9-i}123           10.2{i}s\n" for i in range(1,5)), {"Train Loss": ([1,2,3,4],[1.8123,1.7123,1.6123,1.5123])})
PRINTED["catboost console"] = ("".join(f"{i}:\tlearn: 0.6{9-i}21\ttest: 0.6{9-i}31\tbest: 0.6{9-i}31 ({i})\ttotal: {50+i}ms\tremaining: 5{i}s\n" for i in range(5))+"\nbestTest = 0.6531\nbestIteration = 4\n", {"learn": ([0,1,2,3,4],[.6921,.6821,.6721,.6621,.6521]), "test": ([0,1,2,3,4],[.6931,.6831,.6731,.6631,.6531])})
PRINTED["darknet"] = ("".join(f" {i}: {600-i}.512634, {600-i}.412634 avg, 0.000{i} rate, 3.2{i}2134 seconds, {64*i} images\n" for i in range(1,5)), {"loss": ([1,2,3,4],[599.512634,598.512634,597.512634,596.512634]), "avg": [599.412634,598.412634,597.412634,596.412634], "images": [64,128,192,256]})
PRINTED["hf trainer desc tqdm"] = ("\r  0%|          | 0/4 [00:00<?, ?it/s]\r 25%|██▌       | 1/4 [00:01<00:03,  1.0s/it]\r                                              \r{'loss': 2.5123, 'grad_norm': 1.2, 'learning_rate': 4.9e-05, 'epoch': 0.25}\r 25%|██▌       | 1/4 [00:01<00:03,  1.0s/it]\r 50%|█████     | 2/4 [00:02<00:02,  1.0s/it]\r                                              \r{'loss': 2.4123, 'grad_norm': 1.1, 'learning_rate': 3.9e-05, 'epoch': 0.5}\r 50%|█████     | 2/4 [00:02<00:02,  1.0s/it]\r 75%|███████▌  | 3/4 [00:03<00:01,  1.0s/it]\r                                              \r{'loss': 2.3123, 'grad_norm': 1.0, 'learning_rate': 2.9e-05, 'epoch': 0.75}\r 75%|███████▌  | 3/4 [00:03<00:01,  1.0s/it]\n", {"loss":[2.5123,2.4123,2.3123], "epoch":[.25,.5,.75]})
PRINTED["loss at step"] = ("".join(f"Loss at step {i*100} : {1/(i+1):.4f}\n" for i in range(5)), {"Loss": ([0,100,200,300,400],[1,.5,.3333,.25,.2])})
PRINTED["loss after epoch"] = ("".join(f"Loss after epoch {i}: {1/(i+1):.4f}\nValidation accuracy after epoch {i}: 0.{i}5\n" for i in range(5)), {"Loss": ([0,1,2,3,4],[1,.5,.3333,.25,.2])})
PRINTED["best at epoch end"] = ("".join(f"Epoch {e}: loss = {1/(e+1):.4f}, val_acc = 0.{e}5\nBest val_acc = 0.{e}5 at epoch {e}\n" for e in range(4))+"Best epoch: 0\nBest val_acc: 0.35 (epoch 0)\n", {"loss": ([0,1,2,3],[1,.5,.3333,.25]), "val_acc": ([0,1,2,3],[.05,.15,.25,.35])}, {"runs":["run.log"]})
PRINTED["semicolon"] = ("".join(f"epoch={e};loss={1/(e+1):.4f};acc=0.{e}\n" for e in range(4)), {"loss": ([0,1,2,3],[1,.5,.3333,.25]), "acc":[0,.1,.2,.3]})
PRINTED["Ep tr va"] = ("".join(f"Ep {e}: tr_loss {1/(e+1):.4f} / va_loss {1.1/(e+1):.4f} / lr 1e-0{e+1}\n" for e in range(4)), {"tr_loss": ([0,1,2,3],[1,.5,.3333,.25]), "va_loss":[1.1,.55,.3667,.275], "lr":[.1,.01,.001,.0001]})
PRINTED["json-ish in logging"] = ("".join(f'2024-01-01 10:00:0{e},123 | INFO     | __main__:train:45 - {{"epoch": {e}, "train_loss": {1/(e+1):.4f}, "val": {{"acc": 0.{e}}}}}\n' for e in range(4)), {"train_loss": ([0,1,2,3],[1,.5,.3333,.25])})
PRINTED["loguru"] = ("".join(f"2024-01-01 10:00:0{e}.123 | INFO     | __main__:train:45 - Epoch {e} | Train Loss: {1/(e+1):.4f} | Val Loss: {1.1/(e+1):.4f}\n" for e in range(4)), {"train/Loss": ([0,1,2,3],[1,.5,.3333,.25]), "val/Loss":[1.1,.55,.3667,.275]})
PRINTED["rich"] = ("".join(f"[10:00:0{e}] INFO     Epoch {e}: loss={1/(e+1):.4f}                           train.py:45\n           INFO     accuracy: 0.{e}                           train.py:46\n" for e in range(4)), {"loss": ([0,1,2,3],[1,.5,.3333,.25]), "accuracy": ([0,1,2,3],[0,.1,.2,.3])})
PRINTED["structlog"] = ("".join(f"2024-01-01T10:00:0{e}.123456Z [info     ] epoch_end                      [train] epoch={e} loss={1/(e+1):.4f} lr=0.001\n" for e in range(4)), {"loss": ([0,1,2,3],[1,.5,.3333,.25])})
PRINTED["comma dec percent"] = ("".join(f"Epoch: {e+1} Training Loss: {1/(e+1):.4f} Accuracy: {50+e}.00% (5{e}00/10000)\n" for e in range(4)), {"train/Loss": ([1,2,3,4],[1,.5,.3333,.25]), "Accuracy":[50,51,52,53]})
PRINTED["kuangliu"] = ("".join(f"\nEpoch: {e}\n"+"".join(f"\r [================================================================>]  Step: {50+k}ms | Tot: {k}s{k}00ms | Loss: {2-e-k/10:.3f} | Acc: {30+e*10+k}.{k}00% ({300+k}/1000) {k}/3 \n" for k in (1,2,3)) for e in range(2)), {"Loss": ([1,2,3,4,5,6],[1.9,1.8,1.7,.9,.8,.7]), "Acc": [31.1,32.2,33.3,41.1,42.2,43.3]})
PRINTED["weird cifar"] = ("".join(f"Files already downloaded and verified\nEpoch [{e}/3] Batch [{b}/2] Train Loss: {2-e/10-b/100:.3f} Time: 0:00:0{e}\n" for e in (1,2,3) for b in (1,2)), {"train/Loss": ([1,2,3,4,5,6],[1.89,1.88,1.79,1.78,1.69,1.68])})
PRINTED["gluon"] = ("".join(f"[Epoch {e}] train=0.{5+e}12345 val=0.{4+e}12345 loss={1/(e+1):.5f} time: {10+e}.123\n" for e in range(4)), {"loss": ([0,1,2,3],[1,.5,.33333,.25]), "train":[.512345,.612345,.712345,.812345], "val":[.412345,.512345,.612345,.712345]})
PRINTED["stanza"] = ("".join(f"2021-01-01 10:0{i}:00 INFO: Finished STEP {20*i}/5000, loss = {2/i:.6f} (0.12{i} sec/batch), lr: 0.100000\n" for i in range(1,5)), {"loss": ([20,40,60,80],[2,1,.666667,.5]), "lr":[.1]*4})
PRINTED["coqui"] = ("".join(f"""
\x1b[4m\x1b[1m > EPOCH: {e}/3\x1b[0m
 --> /out/run
\x1b[1m   --> TIME: 2023-01-01 10:0{e}:00 -- STEP: 0/2 -- GLOBAL_STEP: {2*e}\x1b[0m
     | > decoder_loss: {3-e}.12345  ({3-e}.12345)
     | > loss: {4-e}.12345  ({4-e}.12345)
     | > current_lr: 0.0001 

\x1b[1m > EVALUATION \x1b[0m
  \x1b[1m--> EVAL PERFORMANCE\x1b[0m
     | > avg_loss:\x1b[92m {2-e}.12345 \x1b[0m(-0.50000)
""" for e in range(2)), {"loss": ([0,2],[4.12345,3.12345]), "eval/avg_loss": ([0,2],[2.12345,1.12345]), "decoder_loss": ([0,2],[3.12345,2.12345])})
PRINTED["pytorch kaldi"] = ("".join(f"ep={e:03d} tr=['TIMIT_tr'] loss={2-e/10:.3f} err={0.5-e/100:.3f} valid=TIMIT_dev loss={1.9-e/10:.3f} err={0.4-e/100:.3f} lr_architecture1=0.08 time(s)=10{e}\n" for e in range(4)), {"loss": ([0,1,2,3],[2.0,1.9,1.8,1.7]), "err.2": [.4,.39,.38,.37]})
PRINTED["two prefix dev"] = ("".join(f"[Epoch {e}] train_loss: {1/(e+1):.3f} train_acc: 0.{e}1 | dev_loss: {1.1/(e+1):.3f} dev_acc: 0.{e}2 | lr: 1.00e-03\n" for e in range(4)), {"train_loss": ([0,1,2,3],[1,.5,.333,.25]), "dev_acc":[.02,.12,.22,.32]})
PRINTED["huggingface acc dict np"] = ("".join(f"Epoch {e}: {{'accuracy': np.float64(0.{e}5), 'f1': array(0.{e}25), 'loss': tensor({1/(e+1):.4f}, device='cuda:0', grad_fn=<NllLossBackward0>)}}\n" for e in range(4)), {"accuracy": ([0,1,2,3],[.05,.15,.25,.35]), "loss":[1,.5,.3333,.25], "f1":[.025,.125,.225,.325]})
PRINTED["resume line"] = ("".join(f"Epoch {e}/5 loss {1/(e+1):.3f}\n" for e in range(3))+"=> loading checkpoint 'model.pth.tar'\n=> loaded checkpoint 'model.pth.tar' (epoch 2)\n"+"".join(f"Epoch {e}/5 loss {1/(e+1):.3f}\n" for e in range(2,5)), {"loss": ([0,1,2,2,3,4],[1,.5,.333,.333,.25,.2])}, {"runs":["run.log"]})
PRINTED["nested json step in msg"] = ("".join(f"INFO:trainer:[{i}/100] (2.0%) loss: {1/i:.3f}, lr: {1e-3*i:.1e}, 10.5 it/s, ETA 0:01:00\n" for i in range(1,5)), {"loss": ([1,2,3,4],[1,.5,.333,.25])})
PRINTED["slurm sweep three"] = ("".join(f"==== lr={lr} ====\nargs: {{'lr': {lr}, 'seed': {i}, 'model': 'mlp'}}\n"+"".join(f"epoch {e} train_loss {1/(e+1)+i:.3f}\n" for e in range(3)) for i,lr in enumerate((0.1,0.01,0.001))), {"run.log":{"train_loss":([0,1,2],[1,.5,.333])},"run.log#2":{"train_loss":([0,1,2],[2,1.5,1.333])},"run.log#3":{"train_loss":([0,1,2],[3,2.5,2.333])}}, {"hp":{"run.log":{"lr":.1},"run.log#2":{"lr":.01},"run.log#3":{"lr":.001}}})
PRINTED["early stop shorter second"] = ("".join(f"Epoch {e} | loss {1/(e+1):.3f}\n" for e in range(5))+"Fold 2\n"+"".join(f"Epoch {e} | loss {2/(e+1):.3f}\n" for e in range(3)), {"run.log":{"loss":[1,.5,.333,.25,.2]},"run.log#2":{"loss":[2,1,.667]}})
PRINTED["fold col"] = ("".join(f"Fold: {f} Epoch: {e} Loss: {f/(e+1):.3f}\n" for f in (1,2) for e in range(3)), {"run.log":{"Loss":([0,1,2],[1,.5,.333])},"run.log#2":{"Loss":([0,1,2],[2,1,.667])}})
PRINTED["dllogger new"] = ("".join(f"DLL 2020-05-01 10:0{i}:00.123456 - Training Epoch: 0 Training Iteration: {100*i}  average_loss : 5.2{i} None step_loss : 5.1{i} None learning_rate : 0.00{i} None \n" for i in range(1,4)), {"train/average_loss": ([100,200,300],[5.21,5.22,5.23]), "train/step_loss":[5.11,5.12,5.13]})
PRINTED["mllog intervals"] = ("".join(f':::MLLOG {{"namespace": "", "time_ms": 15607226321{i}8, "event_type": "INTERVAL_END", "key": "epoch_stop", "value": null, "metadata": {{"file": "train.py", "lineno": 165, "epoch_num": {i}}}}}\n:::MLLOG {{"namespace": "", "time_ms": 15607226321{i}9, "event_type": "POINT_IN_TIME", "key": "eval_error", "value": 0.{9-i}25, "metadata": {{"file": "train.py", "lineno": 165, "epoch_num": {i}}}}}\n' for i in range(1,4)), {"eval_error": ([1,2,3],[.825,.725,.625])})
PRINTED["lcurve comment"] = ({"lcurve.out":"#  step      rmse_val    rmse_trn    rmse_e_val  rmse_e_trn         lr\n# If there is no available reference data, rmse_*_{val,trn} will print nan\n"+"".join(f"{100*i:7d}      {1.5-i/10:.2e}    {1.6-i/10:.2e}      nan    6.79e-01    1.0e-03\n" for i in range(4))}, {"rmse_val": ([0,100,200,300],[1.5,1.4,1.3,1.2]), "rmse_e_trn":[.679]*4})
PRINTED["deepxde console"] = ("Step      Train loss                        Test loss                         Test metric   \n"+"".join(f"{1000*i:<10d}[{1/(i+1):.2e}, {.5/(i+1):.2e}]              [{1.1/(i+1):.2e}, {.6/(i+1):.2e}]              [{.9/(i+1):.2e}]    \n" for i in range(4)), {"Train loss.1": ([0,1000,2000,3000],[.5,.25,.167,.125]), "Test metric.0": [.9,.45,.3,.225]})
PRINTED["tab logger csv-like"] = ("epoch\tloss\tacc\n"+"".join(f"{e}\t{1/(e+1):.3f}\t0.{e}\n" for e in range(4)), {"loss":([0,1,2,3],[1,.5,.333,.25])})
PRINTED["prefixed table"] = ("2024-01-01 10:00:00,123 INFO   epoch      loss       acc\n"+"".join(f"2024-01-01 10:00:0{e},123 INFO       {e}     {1/(e+1):.3f}      0.{e}\n" for e in range(4)), {"loss":([0,1,2,3],[1,.5,.333,.25]), "acc":[0,.1,.2,.3]})
PRINTED["pipe table"] = ("| epoch | train loss | val loss |   lr   |\n|-------|------------|----------|--------|\n"+"".join(f"|   {e}   |   {1/(e+1):.4f}   |  {1.1/(e+1):.4f}  | 1e-0{e+1} |\n" for e in range(4)), {"train loss":([0,1,2,3],[1,.5,.3333,.25]), "lr":[.1,.01,.001,.0001]})
PRINTED["verl console"] = ("".join(f"step:{i} - global_seqlen/min:{100+i}.000 - actor/pg_loss:-0.0{i}1 - critic/score/mean:0.{i}5 - val-core/gsm8k/acc/mean@1:0.{i}75 - perf/max_memory_allocated_gb:40.{i}\n" for i in range(1,4)), {"actor/pg_loss":([1,2,3],[-.011,-.021,-.031]), "val-core/gsm8k/acc/mean@1":[.175,.275,.375]})
PRINTED["megatron new"] = ("".join(f" [2025-04-13 23:41:1{i}] iteration        {i}/    1000 | consumed samples:          {16*i} | elapsed time per iteration (ms): 114{i}.6 | throughput per GPU (TFLOP/s/GPU): 30{i}.2 | learning rate: 1.00000{i}E-05 | global batch size:    16 | lm loss: 7.39941{i}E+00 | loss scale: 1.0 | grad norm: 2.91{i} | number of skipped iterations:   0 | number of nan iterations:   0 |\n" for i in range(1,4)), {"lm loss":([1,2,3],[7.399411,7.399412,7.399413]), "elapsed time per iteration (ms)":[1141.6,1142.6,1143.6], "throughput per GPU (TFLOP/s/GPU)":[301.2,302.2,303.2]})
