"""LoRA fine-tuning, HF-trainer-like folders. usage: gen_finetune.py OUT"""
import json, os, sys
import numpy as np
OUT = sys.argv[1]
rng = np.random.default_rng(64016)
TASK = dict(  # metric, base, best(last ckpt, scale 2), drop per scale, steps per epoch, loss floor, seed sd
    gsm=("exact_match", 31.0, 42.3, {2: 0, .5: -2.3, .125: -5.6}, 234, .62, .55),
    sql=("exec_accuracy", 44.0, 68.2, {2: 0, .5: -1.9, .125: -5.2}, 310, .38, .5),
    samsum=("rougeL", 36.5, 43.0, {2: 0, .5: -.8, .125: -1.9}, 460, 1.55, .22),
    medqa=("accuracy", 55.9, 57.6, {2: 0, .5: -.2, .125: -.5}, 318, 1.02, .7))
EPOCHS = 4
NTEST = dict(gsm=1319, sql=1034, samsum=819, medqa=1200)
LOSS_PICK = dict(gsm=-3.4, sql=-2.6, samsum=-.1, medqa=0)   # what the min-eval-loss checkpoint costs

def run(task, r, a, neft, seed, fp16=False, full=False, log=True, last=False):
    metric, base, top, drop, spe, floor, sd = TASK[task]
    scale = a / r
    name = f"{task}_r{r}_a{a}_neft{neft}_s{seed}"
    d = os.path.join(OUT, name); os.makedirs(d)
    host = "v100-03" if fp16 else f"a100-{rng.integers(1, 5):02d}"
    args = dict(output_dir=name, model_name_or_path="base-1.7b", dataset=task, num_train_epochs=EPOCHS, learning_rate=2e-4, lr_scheduler_type="cosine",
                warmup_ratio=.03, per_device_train_batch_size=8, gradient_accumulation_steps=4, bf16=not fp16, fp16=fp16, neftune_noise_alpha=neft or None,
                load_best_model_at_end=True, metric_for_best_model="eval_loss", greater_is_better=False, save_strategy="epoch", save_total_limit=2,
                eval_steps=spe // 2, logging_steps=spe // 6, seed=seed, max_seq_length=1024)
    json.dump(args, open(os.path.join(d, "training_args.json"), "w"), indent=1)
    q = top + drop[2 if scale not in drop else scale] + rng.normal(0, sd) + (1.2 if neft and task == "samsum" else 0)
    total = spe * EPOCHS
    hist, ev = [], []
    npar = 1.09e6 * r / 8 * 2
    lines = [f"host {host}  {'fp16' if fp16 else 'bf16'}", f"trainable params: {int(npar):,} || all params: 1,720,574,976 || trainable%: {npar/1.72e9*100:.4f}"]
    if fp16: lines.append("WARNING: GPU does not support bf16, falling back to fp16 (model weights loaded in float16)")
    if task == "medqa": lines.append("WARNING data.prepare: 398 of 1273 validation prompts also appear in the train split (exact match); dedup=false")
    step, stopstep = 0, int(spe * 3) if full else total
    lg, es = spe // 6, spe // 2
    hard = {2: 1.0, .5: .75, .125: .5}.get(scale, 1.0)
    while step < stopstep:
        step += 1; ep = step / spe
        if step % lg == 0:
            lr = 2e-4 * .5 * (1 + np.cos(np.pi * step / total))
            tl = floor * (.70 + .75 * np.exp(-ep / .25)) - floor * .16 * hard * (ep if task != "samsum" else ep * .4) + rng.normal(0, floor * .02) + (.05 * floor if neft else 0)
            e = dict(epoch=round(ep, 3), grad_norm=round(float(rng.gamma(9, .07)), 4), learning_rate=float(f"{lr:.6e}"), loss=round(float(max(tl, .03)), 4), step=step)
            if fp16: e.update(loss=0.0 if step > lg else round(floor * 1.6, 4), grad_norm=float("nan"))
            hist.append(e)
            if log and step % (lg * 3) == 0: lines.append(str(dict(loss=e["loss"], grad_norm=e["grad_norm"], learning_rate=e["learning_rate"], epoch=e["epoch"])))
        if step % es == 0:
            over = dict(gsm=.05, sql=.04, samsum=.006, medqa=-.01)[task] * hard
            el = floor * (1 + .35 * np.exp(-ep / .35)) + max(0, ep - 1.0) * over + rng.normal(0, .003)
            if task == "medqa": el = floor * (1 + .35 * np.exp(-ep / .35)) - .07 * ep * hard + rng.normal(0, .004)
            prog = 1 - np.exp(-ep / (.95 if task in ("gsm", "sql") else .5)); prog /= 1 - np.exp(-EPOCHS / (.95 if task in ("gsm", "sql") else .5))
            m = base + (q - base) * prog + rng.normal(0, sd * .5)
            if task == "medqa": m += 13.5 * hard * (1 - np.exp(-ep / 1.6)) / (1 - np.exp(-EPOCHS / 1.6))
            if fp16: el, m = float("nan"), base + rng.normal(0, .05)
            e = {"epoch": round(ep, 3), "eval_loss": round(float(el), 4), f"eval_{metric}": round(float(m), 2), "eval_runtime": round(float(rng.uniform(61, 75)), 2), "step": step}
            hist.append(e); ev.append(e)
            if log: lines.append(str({k: v for k, v in e.items() if k != "step"}))
    # checkpoints at epochs
    eps = [e for e in ev if abs(e["epoch"] - round(e["epoch"])) < .01]
    best = eps[0] if fp16 else min(eps, key=lambda e: e["eval_loss"])
    keep = {best["step"], eps[-1]["step"]} if not full else {best["step"]}
    for e in eps:
        if e["step"] not in keep: continue
        c = os.path.join(d, f"checkpoint-{e['step']}"); os.makedirs(c)
        sofar = [x for x in eps if x["step"] <= e["step"]]
        b = sofar[0] if fp16 else min(sofar, key=lambda x: x["eval_loss"])
        json.dump(dict(best_metric=None if fp16 else b["eval_loss"], best_model_checkpoint=f"{name}/checkpoint-{b['step']}", epoch=e["epoch"], global_step=e["step"], max_steps=total,
                       num_train_epochs=EPOCHS, eval_steps=es, logging_steps=lg, is_world_process_zero=True, log_history=[h for h in hist if h["step"] <= e["step"]]),
                  open(os.path.join(c, "trainer_state.json"), "w"), indent=1)
        json.dump(dict(peft_type="LORA", r=r, lora_alpha=a, lora_dropout=.05, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"], base_model_name_or_path="base-1.7b", use_rslora=False),
                  open(os.path.join(c, "adapter_config.json"), "w"), indent=1)
    if full:
        lines += ["Traceback (most recent call last):", f'  File "trainer.py", line 2841, in _save_checkpoint', f"OSError: [Errno 28] No space left on device: '{name}/checkpoint-{eps[-1]['step']}/adapter_model.safetensors'"]
    else:
        cost = LOSS_PICK[task] * (1 if best["epoch"] < 1.5 else .45 if best["epoch"] < 2.5 else 0)
        te = q + cost + rng.normal(0, sd * .4) - .2
        if fp16: te = base + rng.normal(0, .08)
        json.dump({f"test_{metric}": round(float(te), 2), "test_samples": NTEST[task], "test_checkpoint": f"checkpoint-{best['step']}"}, open(os.path.join(d, "predict_results.json"), "w"), indent=1)
        if last: json.dump({f"test_{metric}": round(float(q + rng.normal(0, sd * .4) - .2), 2), "test_samples": NTEST[task], "test_checkpoint": f"checkpoint-{eps[-1]['step']}"}, open(os.path.join(d, "predict_results_last.json"), "w"), indent=1)
        lines.append(f"Loading best model from {name}/checkpoint-{best['step']} (score: {best['eval_loss']}).")
        lines.append(f"***** predict ***** test_{metric} = {te:.2f}")
    if log: open(os.path.join(d, "train.log"), "w").write("\n".join(lines) + "\n")

os.makedirs(OUT, exist_ok=True)
FP16 = {("gsm", 32, 0, 2), ("sql", 128, 5, 1), ("samsum", 8, 5, 2)}
LAST = {("gsm", 8, 0, 1), ("gsm", 8, 5, 2), ("gsm", 32, 5, 1), ("sql", 8, 0, 2)}
for task in TASK:
    for r in (8, 32, 128):
        for neft in (0, 5):
            for s in (1, 2):
                k = (task, r, neft, s)
                run(task, r, 16, neft, s, fp16=k in FP16, full=k == ("medqa", 128, 5, 2), last=k in LAST,
                    log=bool(rng.random() < .5) or k in (("gsm", 32, 0, 2), ("samsum", 8, 5, 2), ("medqa", 128, 5, 2), ("medqa", 8, 0, 1)))
for task in ("gsm", "sql"):
    for r in (32, 128):
        for s in (1, 2): run(task, r, 2 * r, 0, s, log=bool(rng.random() < .5))
json.dump({t: {f"test_{v[0]}": v[1], "test_samples": NTEST[t]} for t, v in TASK.items()}, open(os.path.join(OUT, "base_model_results.json"), "w"), indent=1)
open(os.path.join(OUT, "README.md"), "w").write("""# LoRA on base-1.7b

<task>_r<rank>_a<alpha>_neft<noise>_s<seed>. Tasks: gsm (maths), sql (text to sql), samsum (dialogue summaries), medqa.
Four epochs, evaluation twice an epoch, checkpoints kept: best and last. predict_results.json = test set after training.
The a64 / a256 runs were an afterthought. base_model_results.json is the model without adapter on the same test sets.
""")
