"""What trainers of agents, of language models and loops with odd prints write.

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
PRINTED["rsl_rl"] = ("".join(f"""################################################################################
                      \x1b[1m Learning iteration {i}/1500 \x1b[0m                      

                       Computation: {30000+i} steps/s (collection: 1.2{i}s, learning 0.3{i}s)
               Value function loss: 0.01{i}3
                    Surrogate loss: -0.00{i}5
             Mean action noise std: 0.9{i}
                       Mean reward: 12.3{i}
               Mean episode length: 200.5{i}
--------------------------------------------------------------------------------
                   Total timesteps: {98304*(i+1)}
                    Iteration time: 1.5{i}s
                        Total time: {15+i}.00s
                               ETA: 2250.{i}s

""" for i in range(4)), {"Mean reward":([0,1,2,3],[12.30,12.31,12.32,12.33]), "Surrogate loss":([0,1,2,3],[-.0005,-.0015,-.0025,-.0035]), "Mean episode length":[200.50,200.51,200.52,200.53]})
PRINTED["llama recipes"] = ("".join("\r".join(f"Training Epoch: {e}/2, step {k}/4 completed (loss: {2-e/2-k/10:.4f}): {25*k:3d}%|\x1b[34m██▌       \x1b[0m| {k}/4 [00:10<00:10,  2.00s/it]" for k in (1,2,3,4))+f"\n eval_ppl=tensor({3-e}.1234, device='cuda:0') eval_epoch_loss=tensor({2-e}.1234, device='cuda:0')\nEpoch {e}: train_perplexity={4-e}.4012, train_epoch_loss={2-e}.2012, epoch time 100.5{e}s\n" for e in (1,2)), {"train/loss":([1,2,3,4,5,6,7,8],[1.4,1.3,1.2,1.1,.9,.8,.7,.6]), "train_perplexity":([4,8],[3.4012,2.4012]), "eval_ppl":[2.1234,1.1234]})
PRINTED["neox"] = ("".join(f" samples/sec: 30.1{i} | iteration       {10*i}/  320000 | elapsed time per iteration (ms): 1000.{i} | learning rate: 1.00{i}E-05 | approx flops per GPU: 30.1TFLOPS | lm_loss: 1.0{i}E+01 | loss scale: 65536.0 | number of skipped iterations:   0 | number of nan iterations:   0 |\n" for i in (1,2,3)), {"lm_loss":([10,20,30],[10.1,10.2,10.3]), "samples/sec":[30.11,30.12,30.13]})
PRINTED["yolox"] = ("".join(f"2021-01-01 10:0{i}:00 | INFO     | yolox.core.trainer:250 - epoch: {1+i//2}/300, iter: {10*(1+i%2)}/20, mem: 5000Mb, iter_time: 0.50{i}s, data_time: 0.001s, total_loss: 12.{i}, iou_loss: 4.{i}, l1_loss: 0.0, lr: 1.00{i}e-08, size: 640, ETA: 1 day, 2:00:00\n" for i in range(4)), {"total_loss":([10,20,30,40],[12.0,12.1,12.2,12.3]), "lr":[1e-8,1.001e-8,1.002e-8,1.003e-8]})
PRINTED["keras callbacks"] = ("".join(f"Epoch {e}/10\n100/100 [==============================] - ETA: 0s - loss: 0.{9-e}12 - accuracy: 0.{e}5\nEpoch {e}: val_loss improved from 0.{9-e}99 to 0.{9-e}50, saving model to best.keras\n\r100/100 [==============================] - 5s 50ms/step - loss: 0.{9-e}12 - accuracy: 0.{e}5 - val_loss: 0.{9-e}50 - val_accuracy: 0.{e}2 - lr: 0.0010\n" for e in (1,2,3))+"Epoch 3: ReduceLROnPlateau reducing learning rate to 0.00020000000949949026.\nRestoring model weights from the end of the best epoch: 1.\nEpoch 3: early stopping\n", {"loss":([1,2,3],[.812,.712,.612]), "val_loss":([1,2,3],[.850,.750,.650]), "val_accuracy":[.12,.22,.32]}, {"runs":["run.log"]})
PRINTED["lightning ckpt"] = ("".join(f"Epoch {e}: 100%|██████████| 10/10 [00:01<00:00,  8.0it/s, loss=0.{9-e}12, v_num=0]\nEpoch {e}, global step {10*(e+1)}: 'val_loss' reached 0.{8-e}1234 (best 0.{8-e}1234), saving model to '/x/epoch={e}-step={10*(e+1)}.ckpt' as top 1\n" for e in range(3)), {"loss":([10,20,30],[.912,.812,.712])}, {"runs":["run.log"]})
PRINTED["axolotl"] = ("".join(f"[2024-01-01 10:00:0{i},123] [INFO] [axolotl.train.train:100] [PID:1234] [RANK:0] step stuff\n{{'loss': 1.{9-i}123, 'grad_norm': 0.5{i}, 'learning_rate': 0.0002, 'epoch': 0.0{i}}}\n" for i in (1,2,3,4)), {"loss":[1.8123,1.7123,1.6123,1.5123],"epoch":[.01,.02,.03,.04]})
PRINTED["hf bar loss"] = ("".join(f"{i*10}%|█         | {i}/10 [00:0{i}<00:09,  1.0it/s]{{'loss': {2-i/10}, 'learning_rate': 1e-05, 'epoch': {i/10}}}\n" for i in range(1,5)), {"loss":[1.9,1.8,1.7,1.6]})
PRINTED["simple iter colon"] = ("".join(f"iter {i*100:6d} | loss {1/(i+1):.4f} | {10.5+i:.1f} ms\n" for i in range(5)), {"loss":([0,100,200,300,400],[1,.5,.3333,.25,.2])})
PRINTED["step slash"] = ("".join(f"step {i}/100: loss={1/i:.3f} ppl={2.7+i:.2f} tok/s={1000*i}\n" for i in range(1,5)), {"loss":([1,2,3,4],[1,.5,.333,.25]),"ppl":[3.7,4.7,5.7,6.7]})
PRINTED["k steps"] = ("".join(f"step: {i}k loss: {1/i:.3f} reward: {i}.5\n" for i in range(1,5)), {"loss":([1000,2000,3000,4000],[1,.5,.333,.25])})
PRINTED["comma thousands step"] = ("".join(f"Step {i},000: loss {1/i:.3f}, tokens {i},024,000\n" for i in range(1,5)), {"loss":([1000,2000,3000,4000],[1,.5,.333,.25]),"tokens":[1024000,2024000,3024000,4024000]})
PRINTED["sb two run restarts episode"] = ("".join(f"Episode {e}\tAverage Score: {e*1.5:.2f}\tEpsilon: {1-e/10:.2f}\n" for e in range(1,5)), {"Average Score":([1,2,3,4],[1.5,3,4.5,6]),"Epsilon":[.9,.8,.7,.6]})
PRINTED["episode slash reward"] = ("".join(f"Episode: {e}/100, score: {20+e}, e: {1-e/10:.2}\n" for e in range(1,5)), {"score":([1,2,3,4],[21,22,23,24])})
PRINTED["pytorch dqn last"] = ("".join(f"Episode {e*10}\tLast reward: {20+e}.00\tAverage reward: {15+e}.12\n" for e in range(1,5)), {"Last reward":([10,20,30,40],[21,22,23,24]),"Average reward":[16.12,17.12,18.12,19.12]})
PRINTED["catalyst"] = ("".join(f"{e}/3 * Epoch {e} (train): accuracy01: 0.{e}5 | loss: 0.{9-e}1 | lr: 0.0010\n{e}/3 * Epoch {e} (valid): accuracy01: 0.{e}4 | loss: 0.{9-e}2\n" for e in (1,2,3)), {"train/loss":([1,2,3],[.81,.71,.61]),"val/loss":([1,2,3],[.82,.72,.62])})
PRINTED["skorch"] = ("  epoch    train_loss    valid_acc    valid_loss     dur\n-------  ------------  -----------  ------------  ------\n"+"".join(f"      {e}        \x1b[36m0.{9-e}123\x1b[0m       \x1b[32m0.{e}512\x1b[0m        \x1b[35m0.{9-e}212\x1b[0m  0.04{e}1\n" for e in (1,2,3)), {"train_loss":([1,2,3],[.8123,.7123,.6123]),"valid_loss":[.8212,.7212,.6212],"dur":[.0411,.0421,.0431]})
PRINTED["tabnet"] = ("".join(f"epoch {e}  | loss: 0.{9-e}1234 | val_auc: 0.{e}5123 |  0:00:0{e}s\n" for e in range(4)), {"loss":([0,1,2,3],[.91234,.81234,.71234,.61234]),"val_auc":[.05123,.15123,.25123,.35123]})
PRINTED["allennlp console"] = ("".join(f"2020-01-01 10:0{e}:00,123 - INFO - allennlp.training.trainer - Epoch {e}/2\n"+f"2020-01-01 10:0{e}:30,123 - INFO - allennlp.training.tensorboard_writer -                        Training |  Validation\n2020-01-01 10:0{e}:30,123 - INFO - allennlp.training.tensorboard_writer - accuracy           |     0.{7+e}12  |     0.{6+e}12\n2020-01-01 10:0{e}:30,123 - INFO - allennlp.training.tensorboard_writer - loss               |     0.{5-e}12  |     0.{6-e}12\n" for e in range(3)), {"train/loss":([0,1,2],[.512,.412,.312]),"val/accuracy":([0,1,2],[.612,.712,.812])})
PRINTED["nan/inf"] = ("".join(f"step {i} loss {v} grad {g}\n" for i,(v,g) in enumerate((("1.5","2.0"),("nan","inf"),("NaN","-inf"),("0.5","1e10")))), {"loss":([0,1,2,3],[1.5,float("nan"),float("nan"),.5])})
PRINTED["iteration time first"] = ("".join(f"[{i*3.5:.1f}s] iteration {i*10}, train loss {1/(i+1):.4f}, val loss {1.1/(i+1):.4f}\n" for i in range(4)), {"train/loss":([0,10,20,30],[1,.5,.3333,.25]),"val/loss":[1.1,.55,.3667,.275]})
PRINTED["two digit rank brackets"] = ("".join(f"[{r}] epoch {e} loss {1/(e+r+1):.3f}\n" for e in range(1,4) for r in (0,1,2)), {"loss":([1,2,3],[.5,.333,.25]),"rank2/loss":[.25,.2,.167]})
PRINTED["paren epoch"] = ("".join(f"(epoch {e}) train: loss 0.{9-e}1, acc 0.{e}1 / val: loss 0.{9-e}2, acc 0.{e}2\n" for e in (1,2,3)), {"train/loss":([1,2,3],[.81,.71,.61]),"val/loss":([1,2,3],[.82,.72,.62])})
PRINTED["same name two splits pipe"] = ("".join(f"Epoch {e} | Train: loss=0.{9-e}1 acc=0.{e}1 | Val: loss=0.{9-e}2 acc=0.{e}2\n" for e in (1,2,3)), {"train/loss":([1,2,3],[.81,.71,.61]),"val/loss":([1,2,3],[.82,.72,.62]),"val/acc":[.12,.22,.32]})
PRINTED["val every 2"] = ("".join(f"epoch {e} train_loss {1/e:.3f}\n"+(f"  validation: loss {1.1/e:.3f} acc 0.{e}\n" if e%2==0 else "") for e in range(1,5)), {"train_loss":([1,2,3,4],[1,.5,.333,.25]),"val/loss":([2,4],[.55,.275])})
PRINTED["unicode arrows"] = ("".join(f"Epoch {e} → loss: {1/e:.3f} ↓ acc: 0.{e} ↑\n" for e in range(1,5)), {"loss":([1,2,3,4],[1,.5,.333,.25]),"acc":[.1,.2,.3,.4]})
PRINTED["emoji"] = ("".join(f"🚀 Epoch {e}/4 | 📉 Loss: {1/e:.3f} | 🎯 Acc: 0.{e}\n" for e in range(1,5)), {"Loss":([1,2,3,4],[1,.5,.333,.25]),"Acc":[.1,.2,.3,.4]})
PRINTED["chinese"] = ("".join(f"第{e}轮 epoch:{e} 损失 loss:{1/e:.3f} 准确率 acc:0.{e}\n" for e in range(1,5)), {"损失 loss":([1,2,3,4],[1,.5,.333,.25])})
PRINTED["plusminus"] = ("".join(f"Epoch {e}: loss 0.{e}12 ± 0.0{e}, acc 0.{e}5 +/- 0.0{e}\n" for e in range(1,5)), {"loss":([1,2,3,4],[.112,.212,.312,.412]),"acc":[.15,.25,.35,.45]})
PRINTED["percent of"] = ("".join(f"Epoch {e} done in {10+e}.5s, loss 0.{e}1, {e}00/1000 correct ({e}0.0%)\n" for e in range(1,5)), {"loss":([1,2,3,4],[.11,.21,.31,.41])})
