"""A library of curve shapes as training runs log them: healthy ones, and one for each fault at a stated size.

`HEALTHY` and `SICK` map a name to a shape: a function from a random generator to a `DrawnRun`. A sick shape also names the
findings that count as found. Every draw varies: lengths of 20 to 10,000 points, noise, place and size of what happens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["HEALTHY", "SICK", "DrawnRun", "SickShape"]

Floats = NDArray[np.float64]
Rng = np.random.Generator
PAST = 0.55  # where a fault begins, as a share of the run: between this and the next
LATE = 0.75


@dataclass(frozen=True, slots=True)
class DrawnRun:
    """The curves of one run, each with its values at steps 0, 1, 2, ..., and the step at which its fault begins."""

    curves: Mapping[str, Floats]
    onset: int | None = None
    seconds: Floats | None = None  # that each step took
    hparams: Mapping[str, object] = field(default_factory=dict)


Shape = Callable[[Rng], DrawnRun]


@dataclass(frozen=True, slots=True)
class SickShape:
    """A shape and the findings of which one must be there."""

    draw: Shape
    findings: frozenset[str]


def _length(rng: Rng, low: int = 60, high: int = 600) -> int:
    return int(rng.integers(low, high))


def _loss(rng: Rng, n: int, start: float = 2.3, end: float = 0.3, noise: float = 0.03, tau: float = 5) -> Floats:
    """A loss that falls as an exponential, with noise in proportion to it."""
    return (end + (start - end) * np.exp(-tau * np.arange(n) / n)) * (1 + noise * rng.normal(size=n))


def _acc(rng: Rng, n: int, start: float = 0.1, end: float = 0.9, noise: float = 0.01) -> Floats:
    return np.clip(end - (end - start) * np.exp(-6 * np.arange(n) / n) + noise * rng.normal(size=n), 0, 1)


def _wander(rng: Rng, n: int, keep: float = 0.9) -> Floats:
    """Noise that remembers: each value keeps a share of the one before; standard deviation 1."""
    noise, out = rng.normal(size=n) * np.sqrt(1 - keep**2), np.zeros(n)
    for i in range(1, n):
        out[i] = keep * out[i - 1] + noise[i]
    return out


# ------------------------------------------------------------------ healthy


def _plain(rng: Rng) -> DrawnRun:
    n = _length(rng)
    return DrawnRun({"train/loss": _loss(rng, n), "val/loss": _loss(rng, n, end=0.4)})


def _noisy(rng: Rng) -> DrawnRun:
    return DrawnRun({"train/loss": _loss(rng, _length(rng), noise=0.35)})


def _heavy_tails(rng: Rng) -> DrawnRun:
    n = _length(rng, 100)
    return DrawnRun({"train/loss": _loss(rng, n, noise=0) + 0.05 * np.abs(rng.standard_t(3, n))})


def _short_noisy(rng: Rng) -> DrawnRun:
    n = _length(rng, 20, 60)
    return DrawnRun({"train/loss": _loss(rng, n, noise=0.1), "val/loss": _loss(rng, n, end=0.5, noise=0.05)})


def _very_long(rng: Rng) -> DrawnRun:
    return DrawnRun({"train/loss": _loss(rng, 10_000, noise=0.15)})


def _warm_up_lr(rng: Rng) -> DrawnRun:
    n = _length(rng)
    t = np.arange(n) / n
    lr = 1e-3 * np.minimum(t / 0.1, 1) * (1 + np.cos(np.pi * t)) / 2
    return DrawnRun({"train/loss": _loss(rng, n), "lr": lr})


def _constant_lr(rng: Rng) -> DrawnRun:
    n = _length(rng)
    return DrawnRun({"train/loss": _loss(rng, n), "lr": np.full(n, 3e-4)})


def _step_lr(rng: Rng) -> DrawnRun:
    n = _length(rng, 90)
    phase = np.minimum(np.arange(n) * 3 // n, 2)
    loss = np.array([1.0, 0.4, 0.25])[phase] + _loss(rng, n, 1.3, 0, 0.03, 12)
    return DrawnRun({"train/loss": loss * (1 + 0.03 * rng.normal(size=n)), "optim/lr": 0.1 * 0.1**phase})


def _restarts(rng: Rng) -> DrawnRun:
    n, cycles = _length(rng, 120), 4
    inside = (np.arange(n) * cycles / n) % 1
    floor = _loss(rng, n, 2.3, 0.3, 0.03)
    return DrawnRun(
        {"train/loss": floor * (1 + 0.5 * (1 - inside) ** 2), "lr": 1e-3 * (1 + np.cos(np.pi * inside)) / 2}
    )


def _warm_up_hump(rng: Rng) -> DrawnRun:
    n = _length(rng, 100)
    t = np.arange(n) / n
    return DrawnRun({"train/loss": _loss(rng, n) + 1.5 * np.exp(-(((t - 0.05) / 0.02) ** 2))})


def _double_descent(rng: Rng) -> DrawnRun:
    n = _length(rng, 100)
    t = np.arange(n) / n
    hump = 0.25 * np.exp(-(((t - 0.45) / 0.1) ** 2))
    test = 0.3 + 0.6 * np.exp(-6 * t) + hump + 0.01 * rng.normal(size=n)
    return DrawnRun({"train/loss": _loss(rng, n, end=0.01), "test/error": test})


def _grokking(rng: Rng) -> DrawnRun:
    n = _length(rng, 200)
    jump = 1 / (1 + np.exp(-(np.arange(n) / n - rng.uniform(0.5, 0.8)) * 60))
    return DrawnRun({"train/acc": _acc(rng, n, end=0.99), "val/acc": np.clip(0.1 + 0.85 * jump, 0, 1)})


def _plateau_then_drop(rng: Rng) -> DrawnRun:
    n = _length(rng, 150)
    fall = 1 / (1 + np.exp((np.arange(n) / n - rng.uniform(0.3, 0.6)) * 40))
    return DrawnRun({"train/loss": 0.4 + 1.9 * fall + 0.02 * rng.normal(size=n)})


def _gan(rng: Rng) -> DrawnRun:
    n = _length(rng, 100)
    t = np.arange(n) / n
    g = 0.7 + 4 * t + 0.5 * _wander(rng, n, 0.8)
    d = np.maximum(1.4 - t + 0.2 * _wander(rng, n, 0.8), 0.05)
    return DrawnRun(
        {"loss/generator": g, "loss/discriminator": d, "g_loss": g, "d_loss": d, "fid": _loss(rng, n, 200, 12)}
    )


def _wgan(rng: Rng) -> DrawnRun:
    n = _length(rng, 100)
    return DrawnRun(
        {"gen_loss": 5 * _wander(rng, n), "critic_loss": -20 + 15 * np.exp(-np.arange(n) / n) + _wander(rng, n)}
    )


def _dpo(rng: Rng) -> DrawnRun:
    n = _length(rng, 40, 300)
    t = np.arange(n) / n
    chosen, rejected = -2 * t + 0.1 * rng.normal(size=n), -5 * t**0.8 + 0.1 * rng.normal(size=n)
    return DrawnRun({
        "loss": _loss(rng, n, 0.69, 0.14), "rewards/chosen": chosen, "rewards/rejected": rejected,
        "rewards/margins": chosen - rejected, "rewards/accuracies": _acc(rng, n, 0.5, 0.95, 0.02),
        "logps/chosen": -100 + 20 * chosen, "logps/rejected": -110 + 20 * rejected,
        "logits/chosen": -1 - t, "logits/rejected": -1.1 - 1.5 * t,
    })  # fmt: skip


def _grpo(rng: Rng) -> DrawnRun:
    n = _length(rng, 40, 400)
    t = np.arange(n) / n
    return DrawnRun({
        "reward": 0.2 + 0.6 * t + 0.05 * rng.normal(size=n), "reward_std": 0.4 - 0.25 * t, "kl": 0.02 * t + 1e-4 * rng.random(n),
        "frac_reward_zero_std": np.clip(0.05 + 0.6 * t, 0, 1), "loss": np.round(0.02 * t * 0.04 + 1e-5 * rng.normal(size=n), 4),
        "completions/mean_length": 200 + 300 * t + 10 * rng.normal(size=n), "clip_ratio": 0.01 * rng.random(n),
        "entropy": 1.2 - 0.9 * t, "grad_norm": 0.3 + 0.1 * np.abs(rng.normal(size=n)),
    })  # fmt: skip


def _rlhf_ppo(rng: Rng) -> DrawnRun:
    n = _length(rng, 60, 400)
    t = np.arange(n) / n
    return DrawnRun({
        "objective/kl": 30 * t + np.abs(rng.normal(size=n)), "objective/kl_coef": 0.2 * 1.02 ** (100 * t),
        "ppo/loss/policy": 0.01 * rng.normal(size=n), "ppo/loss/value": 0.1 + 0.3 * t + 0.02 * rng.random(n),
        "objective/rewards": -0.5 + 2 * t + 0.2 * rng.normal(size=n), "approx_kl": 0.001 + 0.02 * t + 1e-3 * rng.random(n),
        "policy_loss": -0.01 * t + 0.005 * rng.normal(size=n), "env/reward_std": 1 + t,
    })  # fmt: skip


def _amp(rng: Rng) -> DrawnRun:
    n = _length(rng, 100)
    scale = 65536.0 * 2.0 ** (np.arange(n) // max(n // 8, 1))
    grad = np.where(np.arange(n) < 3, np.inf, 1 + 0.3 * np.abs(rng.normal(size=n)))
    return DrawnRun({"train/loss": _loss(rng, n), "loss_scale": scale, "train/loss_scale": scale, "grad_norm": grad})


def _regret(rng: Rng) -> DrawnRun:
    n = _length(rng, 100, 1000)
    cumulative = np.cumsum(np.abs(rng.normal(size=n)) / np.sqrt(1 + np.arange(n)))
    return DrawnRun({"cumulative_regret": cumulative, "cum_regret": cumulative, "regret": cumulative})


def _bandit(rng: Rng) -> DrawnRun:
    n = _length(rng, 100, 1000)
    return DrawnRun({"reward": (rng.random(n) < 0.2 + 0.5 * np.arange(n) / n).astype(float)})


def _return_noise(rng: Rng) -> DrawnRun:
    n = _length(rng, 60, 500)
    rise = 120 * (1 - np.exp(-5 * np.arange(n) / n))
    return DrawnRun({"episode/return": rise + 25 * rng.normal(size=n)})


def _return_wander(rng: Rng) -> DrawnRun:
    n = _length(rng, 100, 500)
    rise = 200 * (1 - np.exp(-4 * np.arange(n) / n))
    return DrawnRun({"rollout/ep_rew_mean": rise + 15 * _wander(rng, n), "value_loss": 1 + 30 * np.arange(n) / n})


def _sparse_reward(rng: Rng) -> DrawnRun:
    n = _length(rng, 100, 500)
    return DrawnRun({"eval/return": np.where(rng.random(n) < np.arange(n) / n, 1.0, 0.0)})


def _converged(rng: Rng) -> DrawnRun:
    n = _length(rng)
    return DrawnRun(
        {"train/loss": 0.31 + 0.01 * rng.normal(size=n), "val/acc": np.clip(0.91 + 0.004 * rng.normal(size=n), 0, 1)}
    )


def _tiny_converged(rng: Rng) -> DrawnRun:
    return DrawnRun({"train/loss": _loss(rng, _length(rng), 2.3, 0.001, 0.5, 12)})


def _perfect(rng: Rng) -> DrawnRun:
    n = _length(rng)
    return DrawnRun(
        {"train/acc": np.minimum(np.linspace(0.1, 1.6, n), 1.0), "train/loss": _loss(rng, n, 2.3, 0.0, 0.05, 14)}
    )


def _accuracy_noise(rng: Rng) -> DrawnRun:
    n = _length(rng, 20, 60)
    return DrawnRun({"val/acc": rng.binomial(200, np.clip(_acc(rng, n, noise=0), 0, 1)) / 200})


def _slow_learning(rng: Rng) -> DrawnRun:
    n = _length(rng)
    return DrawnRun({"train/loss": 2.3 - 0.3 * np.arange(n) / n + 0.02 * rng.normal(size=n)})


def _flow_nll(rng: Rng) -> DrawnRun:
    n = _length(rng, 100)
    return DrawnRun({"loss": 50 - 3000 * (1 - np.exp(-6 * np.arange(n) / n)) + 20 * rng.normal(size=n)})


def _elbo(rng: Rng) -> DrawnRun:
    n = _length(rng, 100)
    t = np.arange(n) / n
    return DrawnRun(
        {
            "elbo": -200 + 110 * (1 - np.exp(-5 * t)),
            "kl": 25 * (1 - np.exp(-8 * t)),
            "recon_loss": _loss(rng, n, 190, 65),
        }
    )


def _contrastive(rng: Rng) -> DrawnRun:
    n = _length(rng)
    return DrawnRun(
        {
            "loss": -0.9 + 0.9 * np.exp(-5 * np.arange(n) / n) + 0.01 * rng.normal(size=n),
            "temperature": np.linspace(0.5, 0.07, n),
        }
    )


def _curriculum(rng: Rng) -> DrawnRun:
    n = _length(rng, 120)
    level = np.minimum(np.arange(n) * 3 // n, 2)
    return DrawnRun({"train/loss": _loss(rng, n, end=0.5) * (1 + 0.2 * level), "seq_len": 512.0 * 2**level})


def _throughput_noise(rng: Rng) -> DrawnRun:
    n = _length(rng, 60)
    return DrawnRun(
        {
            "train/loss": _loss(rng, n),
            "throughput": 950 + 30 * rng.normal(size=n),
            "step_time": 0.5 + 0.02 * np.abs(rng.normal(size=n)),
        }
    )


def _throughput_pauses(rng: Rng) -> DrawnRun:
    n = _length(rng, 60)
    speed = 950 + 20 * rng.normal(size=n)
    speed[rng.integers(0, n, 3)] *= 0.2
    return DrawnRun({"tokens_per_sec": speed, "train/loss": _loss(rng, n)})


def _throughput_warm(rng: Rng) -> DrawnRun:
    n = _length(rng, 60)
    return DrawnRun(
        {"throughput": 950 * (1 - np.exp(-np.arange(n) / 3)) + 20 * rng.normal(size=n), "train/loss": _loss(rng, n)}
    )


def _counters(rng: Rng) -> DrawnRun:
    n = _length(rng, 60)
    i = np.arange(n)
    return DrawnRun(
        {
            "epoch": (i // 20).astype(float),
            "num_tokens": i * 4096.0,
            "time/total_timesteps": i * 2048.0,
            "train/loss": _loss(rng, n),
        }
    )


def _entropy(rng: Rng) -> DrawnRun:
    n = _length(rng, 60)
    t = np.arange(n) / n
    return DrawnRun(
        {
            "entropy": 1.4 * np.exp(-4 * t),
            "alpha": np.exp(-6 * t),
            "clip_fraction": 0.2 * rng.random(n),
            "explained_variance": 1 - np.exp(-6 * t),
        }
    )


def _memory(rng: Rng) -> DrawnRun:
    n = _length(rng, 60)
    return DrawnRun({"gpu_memory": np.minimum(4 + np.arange(n), 11.0), "train/loss": _loss(rng, n)})


def _gradients(rng: Rng) -> DrawnRun:
    n = _length(rng, 100)
    norm = np.exp(0.5 * rng.normal(size=n)) * (1 + 30 * np.exp(-np.arange(n) / 5))
    return DrawnRun({"grad_norm": norm, "train/loss": _loss(rng, n)})


def _epoch_saw(rng: Rng) -> DrawnRun:
    n = _length(rng, 120)
    return DrawnRun({"train/loss": _loss(rng, n, end=0.6) + 0.05 * ((np.arange(n) % 20) / 20)})


def _val_noise(rng: Rng) -> DrawnRun:
    n = _length(rng, 20, 80)
    return DrawnRun(
        {
            "train/loss": _loss(rng, n),
            "val/loss": _loss(rng, n, end=0.8, noise=0.08),
            "val/acc": _acc(rng, n, noise=0.03),
        }
    )


def _gap_that_stays(rng: Rng) -> DrawnRun:
    n = _length(rng, 40)
    return DrawnRun({"train/loss": _loss(rng, n, end=0.05), "val/loss": _loss(rng, n, end=0.9, noise=0.02)})


def _perplexity(rng: Rng) -> DrawnRun:
    loss = _loss(rng, _length(rng), 10, 3, 0.02)
    return DrawnRun({"train/loss": loss, "train/ppl": np.exp(loss)})


def _fine_tune(rng: Rng) -> DrawnRun:
    n = _length(rng, 20, 60)
    return DrawnRun({"eval_loss": _loss(rng, n, 1.6, 1.4, 0.004), "loss": _loss(rng, n, 1.7, 1.2, 0.05)})


def _metrics_of_vision(rng: Rng) -> DrawnRun:
    n = _length(rng, 20, 60)
    return DrawnRun(
        {"mIoU": _acc(rng, n, 0.2, 0.7, 0.01), "val/mAP": _acc(rng, n, 0, 0.45, 0.01), "psnr": 20 + 10 * _acc(rng, n)}
    )


def _distillation(rng: Rng) -> DrawnRun:
    n = _length(rng)
    return DrawnRun({"kd_loss": _loss(rng, n, 5, 1), "loss_ce": _loss(rng, n), "loss_reg": np.linspace(5e-4, 0.05, n)})


def _weight_norm(rng: Rng) -> DrawnRun:
    n = _length(rng)
    return DrawnRun(
        {
            "param_norm": np.linspace(10, 80, n),
            "update_ratio": 1e-3 * np.exp(0.3 * rng.normal(size=n)),
            "train/loss": _loss(rng, n),
        }
    )


HEALTHY: dict[str, Shape] = {
    shape.__name__.strip("_"): shape
    for shape in (
        _plain, _noisy, _heavy_tails, _short_noisy, _very_long, _warm_up_lr, _constant_lr, _step_lr, _restarts, _warm_up_hump,
        _double_descent, _grokking, _plateau_then_drop, _gan, _wgan, _dpo, _grpo, _rlhf_ppo, _amp, _regret, _bandit,
        _return_noise, _return_wander, _sparse_reward, _converged, _tiny_converged, _perfect, _accuracy_noise, _slow_learning,
        _flow_nll, _elbo, _contrastive, _curriculum, _throughput_noise, _throughput_pauses, _throughput_warm, _counters,
        _entropy, _memory, _gradients, _epoch_saw, _val_noise, _gap_that_stays, _perplexity, _fine_tune, _metrics_of_vision,
        _distillation, _weight_norm,
    )
}  # fmt: skip


# --------------------------------------------------------------------- sick


def _place(rng: Rng, n: int) -> int:
    return int(n * rng.uniform(PAST, LATE))


def _from(values: Floats, at: int, after: Floats) -> Floats:
    return np.concatenate([values[:at], after[: len(values) - at]])


def _overfit_named(rng: Rng) -> DrawnRun:
    """Validation loss 3.02 rising to 3.34 over 30 of 60 points while training falls."""
    val = np.interp(np.arange(60), [0, 8, 30, 59], [4.5, 3.4, 3.02, 3.34]) + 0.01 * rng.normal(size=60)
    return DrawnRun({"train/loss": _loss(rng, 60, 4.6, 2.4, 0.01, 2), "val/loss": val}, 30)


def _overfit_accuracy(rng: Rng) -> DrawnRun:
    """Validation accuracy .80 falling to .70 while training accuracy rises."""
    n = _length(rng, 40, 80)
    top = int(0.4 * n)
    val = np.interp(np.arange(n), [0, top, n - 1], [0.3, 0.8, 0.7]) + 0.004 * rng.normal(size=n)
    return DrawnRun({"train/acc": np.linspace(0.3, 0.99, n), "val/acc": val}, top)


def _overfit_alone(rng: Rng) -> DrawnRun:
    """A validation loss that doubles from its minimum, with no training metric beside it."""
    n = _length(rng, 20, 60)
    low = n // 2
    val = np.interp(np.arange(n), [0, low, n - 1], [2.0, 0.5, 1.0]) * (1 + 0.02 * rng.normal(size=n))
    return DrawnRun({"eval/loss": val}, low)


def _spike_short(rng: Rng) -> DrawnRun:
    """One point of 7.45 between 3.45 and 3.39."""
    n = _length(rng, 20, 60)
    val = np.linspace(4.2, 3.2, n) + 0.03 * rng.normal(size=n)
    at = int(rng.integers(4, n - 3))
    val[at] = 2.16 * val[at]
    return DrawnRun({"val/loss": val, "train/loss": _loss(rng, n, 4.5, 3, 0.01)}, at)


def _spike_long(rng: Rng) -> DrawnRun:
    loss = _loss(rng, _length(rng, 200, 2000), noise=0.05)
    at = _place(rng, len(loss))
    loss[at : at + 2] = 4 * loss[at]
    return DrawnRun({"train/loss": loss}, at)


def _spike_accuracy(rng: Rng) -> DrawnRun:
    """An accuracy of .9 that is .2 at one evaluation."""
    n = _length(rng, 20, 60)
    acc, at = _acc(rng, n), int(rng.integers(n // 2, n - 3))
    acc[at] = 0.2
    return DrawnRun({"val/acc": acc}, at)


def _slowdown(rng: Rng) -> DrawnRun:
    """A logged throughput that halves for good, from 950 to 450."""
    n = _length(rng, 40, 400)
    at = _place(rng, n)
    return DrawnRun(
        {"throughput": np.where(np.arange(n) < at, 950, 450) + 20 * rng.normal(size=n), "train/loss": _loss(rng, n)}, at
    )


def _slower_steps(rng: Rng) -> DrawnRun:
    """Seconds a step that double for good."""
    n = _length(rng, 40, 400)
    at = _place(rng, n)
    return DrawnRun({"perf/step_time": np.where(np.arange(n) < at, 0.5, 1.0) + 0.02 * rng.normal(size=n)}, at)


def _shift(rng: Rng) -> DrawnRun:
    """A metric without a goal that steps by eight deviations for good."""
    n = _length(rng, 40, 400)
    at = _place(rng, n)
    return DrawnRun(
        {"feature_mean": np.where(np.arange(n) < at, 0.0, 0.8) + 0.1 * rng.normal(size=n), "train/loss": _loss(rng, n)},
        at,
    )


def _accuracy_collapse(rng: Rng) -> DrawnRun:
    """Accuracy .9 to .5."""
    n = _length(rng, 40, 400)
    at = _place(rng, n)
    return DrawnRun({"val/acc": _from(_acc(rng, n), at, 0.5 + 0.02 * rng.normal(size=n))}, at)


def _return_collapse(rng: Rng) -> DrawnRun:
    """A return of 200 that falls to 100."""
    n = _length(rng, 60, 400)
    at = _place(rng, n)
    rise = 200 * (1 - np.exp(-8 * np.arange(n) / n)) + 10 * rng.normal(size=n)
    return DrawnRun({"rollout/ep_rew_mean": _from(rise, at, 100 + 10 * rng.normal(size=n))}, at)


def _loss_times_three(rng: Rng) -> DrawnRun:
    """A loss that ends at three times its best."""
    n = _length(rng, 40, 400)
    at = _place(rng, n)
    loss = _loss(rng, n)
    level = float(np.median(loss[at - 5 : at]))
    return DrawnRun({"train/loss": _from(loss, at, 3 * level * (1 + 0.05 * rng.normal(size=n)))}, at)


def _late_divergence(rng: Rng) -> DrawnRun:
    """A loss that grows twentyfold in the last 2 to 5 %."""
    n = _length(rng, 100, 1000)
    tail = max(int(n * rng.uniform(0.02, 0.05)), 3)
    loss = _loss(rng, n)
    loss[-tail:] *= np.geomspace(1.5, 20, tail)
    return DrawnRun({"train/loss": loss}, n - tail)


def _explosion(rng: Rng) -> DrawnRun:
    n = _length(rng, 60, 400)
    at = _place(rng, n)
    return DrawnRun({"train/loss": _from(_loss(rng, n), at, 0.4 * 1.3 ** np.minimum(np.arange(n), 300.0))}, at)


def _never_learning(rng: Rng) -> DrawnRun:
    """A loss that stays at ln k."""
    n = _length(rng, 20, 400)
    k = int(rng.choice([2, 10, 100, 1000]))
    return DrawnRun({"train/loss": np.log(k) * (1 + 0.003 * rng.normal(size=n))}, 0)


def _gradient_explosion(rng: Rng) -> DrawnRun:
    n = _length(rng, 60, 400)
    at = _place(rng, n)
    norm = np.exp(0.3 * rng.normal(size=n))
    norm[at : at + int(rng.integers(1, 10))] *= 1e4
    return DrawnRun({"grad_norm": norm, "train/loss": _loss(rng, n)}, at)


def _zero_loss(rng: Rng) -> DrawnRun:
    """A loss that is exactly 0 from some step on."""
    n = _length(rng, 40, 400)
    at = _place(rng, n)
    return DrawnRun({"train/loss": _from(_loss(rng, n), at, np.zeros(n))}, at)


def _runaway(rng: Rng) -> DrawnRun:
    """A loss that runs to -4000."""
    n = _length(rng, 60, 400)
    at = int(0.3 * n)
    return DrawnRun({"train/loss": _from(_loss(rng, n), at, 0.5 - 4000 * (np.arange(n) / (n - at)) ** 1.5)}, at)


def _nan(rng: Rng) -> DrawnRun:
    n = _length(rng, 40, 400)
    at = _place(rng, n)
    return DrawnRun({"train/loss": _from(_loss(rng, n), at, np.full(n, np.nan))}, at)


def _plateau(rng: Rng) -> DrawnRun:
    """A validation loss that falls for 40 % of the run, then stays."""
    n = _length(rng, 100, 400)
    val = np.interp(np.arange(n), [0, 0.4 * n, n], [2.3, 0.6, 0.6]) + 0.01 * rng.normal(size=n)
    return DrawnRun({"val/loss": val}, int(0.4 * n))


SICK: dict[str, SickShape] = {
    "overfit 3.02 -> 3.34": SickShape(_overfit_named, frozenset({"overfit"})),
    "overfit accuracy .80 -> .70": SickShape(_overfit_accuracy, frozenset({"overfit"})),
    "overfit without a training metric": SickShape(_overfit_alone, frozenset({"overfit", "divergence"})),
    "one-point spike, 20 to 60 points": SickShape(_spike_short, frozenset({"spike"})),
    "spike, 200 to 2,000 points": SickShape(_spike_long, frozenset({"spike"})),
    "accuracy .2 at one evaluation": SickShape(_spike_accuracy, frozenset({"spike"})),
    "throughput 950 -> 450": SickShape(_slowdown, frozenset({"throughput", "level_shift"})),
    "step time doubles": SickShape(_slower_steps, frozenset({"throughput", "level_shift"})),
    "level shift, no goal": SickShape(_shift, frozenset({"level_shift"})),
    "accuracy .9 -> .5": SickShape(_accuracy_collapse, frozenset({"divergence", "collapse"})),
    "return 200 -> 100": SickShape(_return_collapse, frozenset({"divergence", "collapse"})),
    "loss to 3 times its best": SickShape(_loss_times_three, frozenset({"divergence", "collapse"})),
    "divergence in the last 2-5 %": SickShape(_late_divergence, frozenset({"divergence"})),
    "loss explodes": SickShape(_explosion, frozenset({"divergence"})),
    "loss flat at ln k": SickShape(_never_learning, frozenset({"never_learned"})),
    "grad_norm x 1e4": SickShape(_gradient_explosion, frozenset({"gradients"})),
    "loss exactly 0": SickShape(_zero_loss, frozenset({"zero_loss"})),
    "loss to -4000": SickShape(_runaway, frozenset({"runaway"})),
    "NaN": SickShape(_nan, frozenset({"nan"})),
    "plateau from 40 %": SickShape(_plateau, frozenset({"plateau"})),
}
