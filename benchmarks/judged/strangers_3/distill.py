"""Vision distillation sweep. usage: gen_distill.py OUT"""
import json, os, sys
import numpy as np
OUT = sys.argv[1]
rng = np.random.default_rng(3107)
BASE = dict(S=66.0, M=71.5, L=74.8)          # no teacher, 120 epochs
KD = dict(S=2.6, M=1.9, L=1.5)               # rn50 at T=4
VIT = dict(S=-1.3, M=0.0, L=1.4)             # vit minus rn50
TEMP = {1: -1.3, 2: -0.4, 4: 0.0, 8: 0.0}
UNSCALED, SHORT, BADHEAD = -1.7, -2.2, -6.0
PAR = dict(S=0.93, M=2.71, L=6.14); LAT = dict(S=2.2, M=4.3, L=9.6); HRS = dict(S=2.0, M=3.1, L=5.2)
TACC = dict(rn50=78.9, vitb=84.6)
T0 = 1788000000

def run(name, st, teacher, T, seed, epochs=120, scale=True, bad=False, bump=0.0, stop=None, crash=None,
        resume=None, batch=256, accum=1, log=True, host=None, commit="a41f09c"):
    d = os.path.join(OUT, "runs", name); os.makedirs(d)
    host = host or f"gpu{rng.integers(1, 7):02d}"
    cfg = [f"name: {name}", "dataset: in100", f"seed: {seed}", f"epochs: {epochs}", "student:", f"  arch: mnv_{st.lower()}",
           f"  params_m: {PAR[st]}"]
    if teacher:
        cfg += ["kd:", f"  teacher: {teacher}", f"  temperature: {T}", "  weight: 0.7", f"  scale_by_t2: {str(scale).lower()}"]
    else:
        cfg += ["kd: null"]
    cfg += ["optim:", "  name: sgd", "  lr: 0.2", "  momentum: 0.9", "  weight_decay: 5.0e-05", f"  batch_size: {batch}",
            f"  accum: {accum}", "  schedule: cosine", "  warmup: 5", f"git: {commit}", f"host: {host}"]
    open(os.path.join(d, "config.yaml"), "w").write("\n".join(cfg) + "\n")
    fin = BASE[st] + rng.normal(0, 0.3) + bump
    if epochs < 120: fin += SHORT
    if teacher:
        fin += KD[st] + (VIT[st] if teacher == "vitb" else 0) + TEMP[T]
        if not scale and T > 1: fin += UNSCALED
        if bad: fin += BADHEAD
    val, lines, rows = fin + rng.normal(0, 0.12), [], []
    t = T0 + int(rng.integers(0, 12 * 86400)); start = t
    hrs = HRS[st] * epochs / 120 * (1.8 if teacher == "vitb" else 1.0 if teacher else 0.7) * rng.uniform(.95, 1.06)
    lines.append(f"[{host}] start {name} seed={seed} commit={commit}")
    lines.append(f"student mnv_{st.lower()} params={PAR[st]}M  train=126689 val=5000 test=5000")
    if teacher:
        lines.append(f"loading teacher {teacher} from /nfs/ckpt/teachers/{teacher}_in100.pt")
        if bad:
            lines.append("WARNING load_state_dict(strict=False): missing keys ['head.weight', 'head.bias'], unexpected keys ['fc.weight', 'fc.bias']")
            lines.append("teacher sanity check: top1 on 1000 val images = 0.9%")
        else:
            lines.append(f"teacher sanity check: top1 on 1000 val images = {TACC[teacher]+rng.normal(0,.6):.1f}%")
        lines.append(f"kd: T={T} weight=0.7 loss multiplier={(T*T if scale else 1)}")
    ep_list = list(range(1, epochs + 1))
    if resume: ep_list = list(range(1, resume + 7)) + list(range(resume, epochs + 1))
    if stop is not None: ep_list = ep_list[:stop]
    spe = 126689 // 256
    seen = 0
    for i, e in enumerate(ep_list):
        x = e / epochs
        if resume and i == resume + 6: lines.append(f"[{host}] preempted (SIGTERM); resume from checkpoint epoch {resume-1}")
        lr = 0.2 * min(1, e / 5) * 0.5 * (1 + np.cos(np.pi * x))
        acc = val * (1 - 0.62 * np.exp(-e / (epochs * .06)) ) - 11.5 * (1 - x) ** 0.8 * (1 - np.exp(-e / 6)) * (0.9 if st == "L" else 1)
        acc += rng.normal(0, 0.15 + 1.3 * (1 - x))
        if e == epochs: acc = val + rng.normal(0, .1)
        acc = float(np.clip(acc, 1, 99))
        ce = 4.6 * np.exp(-e / (epochs * .2)) * .7 + (100 - val) / 26 + .9 * (1 - x) + rng.normal(0, .02)
        r = dict(epoch=e, step=e * spe, lr=round(float(lr), 5), ce_loss=round(float(ce), 4))
        if teacher:
            if bad: kd, ag = 0.11 * T * T * (1 + rng.normal(0, .02)), 0.010 + rng.normal(0, .0012)
            else:
                kd = (0.62 + 1.6 * np.exp(-e / (epochs * .15))) * (1 if scale or T == 1 else 1 / T ** 2) * (1 + rng.normal(0, .02)) * (1.15 if teacher == "vitb" else 1)
                ag = (acc + 5 * (1 if scale else .3)) / 100 + rng.normal(0, .004)
            r.update(kd_loss=round(float(kd), 4), teacher_agree=round(float(ag), 4))
            r["train_loss"] = round(.3 * r["ce_loss"] + .7 * r["kd_loss"], 4)
        else: r["train_loss"] = r["ce_loss"]
        t += hrs * 3600 / epochs * rng.uniform(.97, 1.05)
        r.update(val_acc=round(acc, 2), val_loss=round(float((100 - acc) / 22 + rng.normal(0, .02)), 4), time=round(t, 1))
        rows.append(r)
        if e % 10 == 0 or e == epochs: lines.append(f"epoch {e:3d}/{epochs} loss {r['train_loss']:.3f} val {acc:.2f} lr {lr:.4f}")
    with open(os.path.join(d, "metrics.jsonl"), "w") as f:
        for r in rows: f.write(json.dumps(r) + "\n")
    if crash: lines += crash
    elif stop is None:
        te = round(float(fin + rng.normal(0, 0.12) - 0.6), 2)
        json.dump(dict(test_acc=te, val_acc_last=rows[-1]["val_acc"], val_acc_best=max(r["val_acc"] for r in rows),
                       params_m=PAR[st], latency_ms=round(LAT[st] * rng.uniform(.97, 1.03), 2), gpu_hours=round((t - start) / 3600, 2)),
                  open(os.path.join(d, "summary.json"), "w"), indent=1)
        lines.append(f"done. test top1 {te:.2f}")
    if log: open(os.path.join(d, "train.log"), "w").write("\n".join(lines) + "\n")

OOM = ["Traceback (most recent call last):", '  File "distill.py", line 233, in train_epoch', "    t_logits = teacher(x)",
       "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.17 GiB (GPU 0; 23.69 GiB total capacity; 22.31 GiB already allocated; 402.94 MiB free)"]
NFS = ["Traceback (most recent call last):", '  File "distill.py", line 288, in save_ckpt', "OSError: [Errno 116] Stale file handle: '/nfs/ckpt/students/S_rn50_T1_s2/last.pt'"]
oom = {("L", 2, 1), ("L", 4, 0), ("L", 8, 2)}
for st in "SML":
    for s in range(3): run(f"{st}_none_s{s}", st, None, None, s, epochs=60, log=rng.random() < .6, commit="77be0d2")
    for te in ("rn50", "vitb"):
        for T in (1, 2, 4, 8):
            for s in range(3):
                kw = dict(log=bool(rng.random() < .6))
                name = f"{st}_{te}_T{T}_s{s}"
                if te == "vitb" and T == 8: kw.update(scale=False, commit="c90d3e8")
                if te == "rn50" and T == 2 and s == 1: kw.update(bad=True, host="gpu07", log=st != "L")
                if te == "vitb" and (st, T, s) in oom:
                    run(name, st, te, T, s, stop=0, crash=OOM, **{**kw, "log": True})
                    kw.update(batch=128, accum=2); name += "_r2"
                if (st, te, T, s) == ("L", "vitb", 2, 0): kw["bump"] = 1.15
                if (st, te, T, s) == ("M", "rn50", 4, 1): kw.update(resume=71, log=True)
                if (st, te, T, s) == ("S", "vitb", 1, 2): kw.update(stop=38, log=True)
                if (st, te, T, s) == ("S", "rn50", 1, 2): kw.update(stop=93, crash=NFS, log=True)
                run(name, st, te, T, s, **kw)
for s in range(3): run(f"M_none_e120_s{s}", "M", None, None, s, epochs=120, log=True)
run("M_vitb_T8_s0_b", "M", "vitb", 8, 0, scale=True, log=True, commit="e5512aa")
os.makedirs(os.path.join(OUT, "runs", "L_vitb_T4_s3"), exist_ok=True)
open(os.path.join(OUT, "runs", "L_vitb_T4_s3", "config.yaml"), "w").write("name: L_vitb_T4_s3\ndataset: in100\nseed: 3\n")
open(os.path.join(OUT, "README.md"), "w").write("""# in100 distillation

Students mnv_s / mnv_m / mnv_l, teachers rn50 and vitb (both trained on in100), temperatures 1 2 4 8, three seeds.
`runs/<student>_<teacher>_T<temp>_s<seed>`; `none` = trained on labels only.
metrics.jsonl one line an epoch, summary.json at the end (test at the last epoch, latency on the reference phone, one image).
Phone budget is 6 ms. train.log got lost for some runs when the scratch disk was cleaned.
""")
