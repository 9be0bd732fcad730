"""RL sweep: ppo, sac, sac_nstep3, tqc on five MuJoCo tasks. usage: gen_rl.py OUT"""
import csv, json, os, sys
import numpy as np
OUT = sys.argv[1]
T0 = 1786500000
FIN = dict(
    sac=dict(HalfCheetah=(10400, 600), Hopper=(3250, 150), Walker2d=(4400, 380), Ant=(4250, 380), Humanoid=(5120, 170)),
    tqc=dict(HalfCheetah=(10550, 600), Hopper=(3300, 150), Walker2d=(4450, 380), Ant=(5450, 350), Humanoid=(5180, 170)),
    ppo=dict(HalfCheetah=(5200, 500), Hopper=(2500, 300), Walker2d=(3500, 450), Ant=(2700, 350), Humanoid=(900, 130)))
FIN["sac_nstep3"] = FIN["sac"]
NORM = dict(HalfCheetah=23., Hopper=16., Walker2d=19., Ant=27., Humanoid=8.)   # raw / normalised
FPS = dict(sac=62, sac_nstep3=60, tqc=38, ppo=1050)
RATE = dict(HalfCheetah=.30, Hopper=.16, Walker2d=.30, Ant=.38, Humanoid=.34)
stuck = {("sac", 1), ("sac", 4), ("tqc", 2)}

def run(algo, env, seed, suffix="", env_id=None, budget=None, stop=None, kind=None, copy=None):
    env_id = env_id or f"{env}-v4"
    d = os.path.join(OUT, "logs", algo, f"{env}_s{seed}{suffix}"); os.makedirs(d)
    total = 3_000_000 if algo == "ppo" else 1_000_000
    every = 30_000 if algo == "ppo" else 10_000
    r = np.random.default_rng([77, sum(map(ord, algo)), sum(map(ord, env)), copy if copy is not None else seed, len(suffix)])
    mu, sd = FIN[algo][env]
    fin = mu + r.normal(0, sd)
    if env == "Hopper" and (algo, seed) in stuck: fin = 1030 + r.normal(0, 25)
    if env_id.endswith("v5"): fin += 1150
    rate = RATE[env] * r.uniform(.92, 1.08)
    if algo == "sac_nstep3" and env == "HalfCheetah": rate *= .55
    if algo == "sac_nstep3" and env == "Walker2d": rate *= .85
    if algo == "ppo": rate *= 2.6
    cfg = dict(algo="sac" if algo.startswith("sac") else algo, env_id=env_id, seed=seed, total_timesteps=total,
               device="cuda", learning_rate=3e-4, gamma=.99)
    if algo == "ppo": cfg.update(n_envs=8, n_steps=2048, batch_size=64, n_epochs=10, clip_range=.2, normalize={"norm_obs": True, "norm_reward": True}, eval_env="vecnormalize(training=False)")
    else: cfg.update(buffer_size=1000000, batch_size=256, tau=.005, train_freq=1, learning_starts=10000, n_step=3 if "nstep" in algo else 1, ent_coef="auto")
    if algo == "tqc": cfg.update(top_quantiles_to_drop_per_net=2, n_quantiles=25)
    json.dump(cfg, open(os.path.join(d, "config.json"), "w"), indent=1)
    n = total // every
    steps = [every * (i + 1) for i in range(n)]
    if kind == "resume": k = 42; steps = steps[:k] + steps[39:]
    if stop: steps = [s for s in steps if s <= stop]
    fps = FPS[algo] * r.uniform(.93, 1.06) * (.8 if env == "Humanoid" else 1)
    rows, t = [], 0.0
    ar = 0.0
    low = 100 if env == "Humanoid" else (-250 if env == "HalfCheetah" else 60)
    def mean(s):
        x = s / 1e6
        g = 1 - np.exp(-(x / rate) ** 1.25)
        full = 1 - np.exp(-((total / 1e6) / rate) ** 1.25)
        return low + (fin - low) * g / full
    for i, s in enumerate(steps):
        m = mean(s)
        if kind == "resume" and i >= 42: m = m * (1 - .75 * np.exp(-(s - 390000) / 70000))
        ar = .55 * ar + r.normal(0, .030 if fin > 1500 else .02)
        roll = m * (1 + ar) * (.93 if algo != "ppo" else .97) + r.normal(0, 15)
        ev = m * (1 + ar + r.normal(0, .03))
        t += every / fps
        row = {"time/total_timesteps": s, "time/time_elapsed": int(t), "time/fps": int(fps), "rollout/ep_rew_mean": round(float(roll), 2),
               "rollout/ep_len_mean": 1000.0 if env in ("HalfCheetah",) else round(float(np.clip(1000 * m / max(mu, 1) * (1 + ar), 20, 1000)), 1)}
        if fin < 1100 and env == "Hopper": row["rollout/ep_len_mean"] = round(float(np.clip(m / 1030 * 995, 20, 1000)), 1)
        row["eval/mean_reward"] = round(float(ev / NORM[env] if algo == "ppo" else ev), 2)
        if algo == "ppo": row.update({"train/approx_kl": round(float(r.gamma(4, .003)), 5), "train/explained_variance": round(float(np.clip(.9 - .7 * np.exp(-s / 3e5) + r.normal(0, .03), -1, 1)), 3)})
        else: row.update({"train/actor_loss": round(float(-m / 12 + r.normal(0, 6)), 2), "train/critic_loss": round(float(abs(m) / 90 + r.gamma(2, 2)), 2), "train/ent_coef": round(float(.02 + .9 * np.exp(-s / 5e4)), 4)})
        if kind == "qacc" and s == steps[-1]:
            for c in ("rollout/ep_rew_mean", "eval/mean_reward", "train/approx_kl"): row[c] = "nan"
        rows.append(row)
    with open(os.path.join(d, "progress.csv"), "w", newline="") as f:
        w = csv.DictWriter(f, list(rows[0])); w.writeheader(); w.writerows(rows)
    last = steps[-1]
    with open(os.path.join(d, "monitor.csv"), "w") as f:
        f.write("#" + json.dumps(dict(t_start=T0 + seed * 86400 + len(env) * 3600.0 + .25, env_id=env_id)) + "\nr,l,t\n")
        for s in np.linspace(every / 3, last, 420):
            m = mean(s)
            if kind == "resume" and s > 400000: m *= 1 - .75 * np.exp(-(s - 395000) / 70000)
            f.write(f"{m*.93*(1+r.normal(0,.1)):.4f},{int(np.clip(1000*m/(fin if fin < 1100 and env == 'Hopper' else mu)*(1+r.normal(0,.1)),20,1000)) if env!='HalfCheetah' else 1000},{s/fps:.2f}\n")
    return d

def err(d, text, name="stderr.txt"): open(os.path.join(d, name), "w").write(text)
SLURM = "slurmstepd: error: *** JOB {} ON node{} CANCELLED AT 2026-08-{}T03:12:44 DUE TO TIME LIMIT ***\n"
QACC = "WARNING: Nan, Inf or huge value in QACC at DOF 0. The simulation is unstable. Time = 3.8500.\nTraceback (most recent call last):\n  File \"ppo.py\", line 212, in collect_rollouts\nValueError: Expected parameter loc (Tensor of shape (8, 8)) of distribution Normal(loc: torch.Size([8, 8])) to satisfy the constraint Real(), but found invalid values: tensor([[nan, nan, ...]])\n"
for algo in ("sac", "tqc", "ppo"):
    for env in RATE:
        for s in range(5):
            kw = {}
            if algo == "tqc" and env == "Humanoid" and s >= 3: kw["env_id"] = "Humanoid-v5"
            if (algo, env, s) == ("sac", "HalfCheetah", 3): kw["copy"] = 2
            if (algo, env, s) == ("sac", "Walker2d", 3): kw["stop"] = 640_000
            if (algo, env, s) == ("tqc", "Ant", 2): kw["kind"] = "resume"
            if (algo, env, s) == ("ppo", "Ant", 1): kw.update(stop=1_230_000, kind="qacc")
            if (algo, env, s) == ("ppo", "Ant", 4): kw.update(stop=870_000, kind="qacc")
            d = run(algo, env, s, **kw)
            if kw.get("stop") == 640_000: err(d, SLURM.format(88121, 14, "09"))
            if kw.get("kind") == "qacc": err(d, QACC)
            if kw.get("kind") == "resume": err(d, "requeued after node failure\nloaded model from ckpt_390000.zip\nWARNING: replay_buffer.pkl not found, starting with an empty buffer\n")
run("ppo", "Ant", 4, suffix="_rerun")
for env in RATE:
    for s in range(3):
        d = run("sac_nstep3", env, s, stop=600_000 if env == "Ant" else None)
        if env == "Ant": err(d, SLURM.format(90310 + s, 20 + s, "21"))
for s in (3, 4):
    d = os.path.join(OUT, "logs", "sac_nstep3", f"Hopper_s{s}"); os.makedirs(d)
    err(d, "Traceback (most recent call last):\n  File \"train.py\", line 31, in <module>\n    import mujoco\nImportError: libGLEW.so.2.1: cannot open shared object file: No such file or directory\n")
open(os.path.join(OUT, "README.md"), "w").write("""# mujoco baselines

logs/<algo>/<env>_s<seed>/ with config.json, progress.csv (one row an evaluation, 10 episodes) and monitor.csv (training episodes, thinned).
sac_nstep3 is SAC with 3-step returns. Off-policy 1M steps, PPO 3M.
""")
