"""Infers from a metric's name whether lower or higher is better, with one table of words and reasons.

A name is split into words (`val/mIoU` is val, miou; `eval_rouge1` is eval, rouge, 1), which are read from last to
first, since the last noun of an English compound is the measured quantity (`loss_scale` is a scale). The first word or
phrase with a verdict decides. Three kinds of entries are special: a `weak` word (score, top) decides only if no other does;
a `void` word (std, num) leaves the whole name without a goal, at any position; an inverting word (neg, inverse, 1 -)
reverses the goal of the words after it. A name without known words has no goal: then the user must pass it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

from msgspec import Struct

__all__ = ["NameVerdict", "is_share", "read_name"]

Kind = Literal["outcome", "aside", "none", "weak", "void"]


class NameVerdict(Struct, frozen=True):
    """``goal``: lower, higher or unknown, with the reason as text; ``aside``: the metric is not a result, but a cost
    (time, memory, speed) or the quality of a part of an agent."""

    goal: str
    reason: str
    aside: bool = False


class _GoalEntry(Struct, frozen=True):
    """The verdict of one word or phrase."""

    goal: str
    kind: Kind
    reason: str


_TABLE: tuple[tuple[str, Kind, str, str], ...] = (
    # goal, kind, reason, words (- joins the words of a phrase; w@ applies only if @ follows)
    ("lower", "outcome", "a loss or a cost that training minimises",
     "loss losses nll bce ce xent crossentropy cross-entropy ctc-loss logloss log-loss hinge objective-loss cost "
     "criterion"),
    ("lower", "outcome", "an error of predictions",
     "error errors err mse rmse mae mape smape mdape wape mase rmsle msle nmse nrmse rmsse mad medae sse rss epe mpjpe "
     "pampjpe mpvpe ate rpe rte absrel sqrel abs-rel sq-rel squared-error absolute-error deviation-error residual "
     "residuals mistakes misclassification misclassified absolute-percentage-error silog deviance"),
    ("lower", "outcome", "an error rate of recognition or transcription",
     "wer cer ter eer mer wil der val-per dev-per test-per eval-per phone-error-rate pier hter apcer bpcer acer "
     "slot-error tandem-dcf mindcf dcf"),
    ("lower", "outcome", "false alarms or misses",
     "fpr fnr fpr95 far frr fprate false-positive-rate false-negative-rate false-positives false-negatives "
     "false-alarm-rate miss-rate hallucination-rate refusal-error error-rate failure-rate failures crash-rate "
     "collision-rate collisions violations violation-rate toxicity"),
    ("lower", "outcome", "surprise of a language or density model",
     "perplexity ppl bpc bpd bpb bits-per-byte bits-per-char bits-per-character bits-per-dim bits-per-dimension "
     "bits-per-word surprisal"),
    ("lower", "outcome", "a distance from the truth or from real data",
     "fid kid fvd fad cfid sfid fid50k kid50k lpips dists niqe brisque piqe hd hd95 hausdorff assd asd msd chamfer emd "
     "wasserstein mmd sliced-wasserstein edit-distance ned levenshtein mcd swd chamfer-distance"),
    ("lower", "outcome", "a proper score where 0 is perfect, or a miscalibration",
     "brier crps ece mce ace sce calibration pinball pinball-loss quantile-loss winkler nlpd aece"),
    ("lower", "outcome", "a loss against the best possible result",
     "regret gap suboptimality shortfall"),
    ("lower", "outcome", "a criterion that penalises complex models",
     "aic bic waic"),
    ("higher", "outcome", "a share of right answers",
     "acc accuracy accuracies correct balanced-accuracy exact-match em match-rate solved solve-rate pass-rate passed "
     "pass@ resolved-rate hit-rate hits hit top-k-accuracy acc-norm pass-at"),
    ("higher", "outcome", "precision, recall or a mean of them",
     "precision recall f1 f2 fbeta fmeasure f-measure f-score fscore sensitivity specificity tpr tnr npv ppv "
     "true-positive-rate true-negative-rate f-beta p@ r@ average-precision average-recall mar"),
    ("higher", "outcome", "an area under a curve",
     "auc auroc auprc aupr aucpr aupro prauc rocauc aupimo roc-auc pr-auc auc-roc ap aps apm apl map"),
    ("higher", "outcome", "agreement or correlation with the truth",
     "kappa qwk mcc matthews spearman spearmanr spearmans pearson pearsonr plcc srcc krcc kendall kendalltau ccc "
     "concordance concordance-index cindex c-index correlation corr r2 explained-variance-score nse kge ari "
     "nmi ami rand rand-index vmeasure v-measure silhouette purity homogeneity completeness"),
    ("higher", "outcome", "overlap of regions",
     "iou miou giou fwiou dice mdice dsc jaccard jaccard-index pq sq rq nsd boundary-f1 meaniou"),
    ("higher", "outcome", "likeness to a reference text",
     "bleu sacrebleu chrf rouge rougel rougelsum rougew rouges meteor cider spice bertscore bleurt comet moverscore "
     "gleu nist bartscore squadf1 anls"),
    ("higher", "outcome", "likeness to a reference signal",
     "psnr ssim msssim ms-ssim vif fsim pesq stoi estoi sdr sisdr si-sdr sisnr si-snr snr segsnr sisdri sdri vmaf mos "
     "dnsmos utmos"),
    ("higher", "outcome", "quality of generated samples",
     "inception-score clipscore clip-score clipsim aesthetic pickscore hpsv2"),
    ("higher", "outcome", "quality of a ranking",
     "ndcg dcg mrr mrr@ reciprocal-rank map@"),
    ("higher", "outcome", "reward or wins of an agent",
     "reward rewards return returns rew ret epret eprew eprewmean wins "
     "elo trueskill human-normalized-score margins reward-margin coverage-rate preference-rate sharpe profit"),
    ("higher", "outcome", "a share of successes",
     "success successes success-rate win-rate winrate"),
    ("higher", "outcome", "likelihood of the truth",
     "elbo likelihood log-likelihood loglikelihood loglik llh lpd elpd log-evidence evidence modularity"),
    ("higher", "aside", "work per time",
     "throughput fps ips tps tflops mfu hfu sps per-sec per-second samples-per-sec tokens-per-sec steps-per-sec "
     "it-per-sec images-per-sec examples-per-sec frames-per-sec speedup tok-s tokens-s samples-s it-s its-s steps-s "
     "gpu-utilization qps rps goodput"),
    ("lower", "aside", "a cost in time, memory or energy",
     "latency memory mem vram rss-memory ttft tpot itl step-time iter-time iteration-time batch-time data-time "
     "inference-time forward-time backward-time load-time time-per-step time-per-epoch time-per-iter sec-per-step "
     "seconds-per-step ms-per-step s-per-it sec-per-it energy emissions overhead"),
    ("higher", "aside", "the fit of a critic or another part of a model", "explained-variance explained-var"),
    ("higher", "weak", "a score, without more in the name",
     "score scores"),
    ("higher", "weak", "right answers among the first few guesses",
     "top"),
    ("higher", "weak", "a short name of precision, recall or a hit rate",
     "prec rec ar hr"),
    ("higher", "weak", "a benchmark whose score is a share of right answers",
     "mmlu gsm8k hellaswag humaneval mbpp truthfulqa winogrande piqa boolq triviaqa commonsenseqa arc-easy "
     "arc-challenge lambada"),
    ("lower", "weak", "a distance in the l1 or l2 norm",
     "l1 l2"),
    ("unknown", "void", "a spread, not a level: neither way is better",
     "std stdev stddev sd var variance stderr sem se ci cov iqr skew kurtosis histogram hist std-dev "
     "standard-deviation"),
    ("unknown", "void", "a number of things",
     "num numel"),
    ("unknown", "none", "a setting, not a result",
     "coef coeff coefficient weight weights weighting lambda beta gamma alpha scale scaler scaling threshold thresh "
     "thr schedule decay momentum warmup clip-range clipping temperature target-kl baseline dropout"),
    ("unknown", "none", "a size, a number or a place in time",
     "size steps code index idx id ids len lengths length count counts quantity params shape dim version timestamp "
     "port number offset position"),
    ("unknown", "none", "the learning rate or a norm of gradients or weights",
     "lr learning-rate norm norms gnorm grad grads gradient gradients l1-norm l2-norm l1-reg l2-reg l1-penalty "
     "l2-penalty"),
    ("unknown", "none", "a distance between policies or distributions, not a result",
     "kl kld kl-loss kl-div kl-divergence approx-kl kl-penalty kl-coef kl-mean entropy entropy-loss policy-entropy ent"),
    ("unknown", "none", "a loss of one of several players or of a moving target: its level has no meaning",
     "policy-loss pg-loss pi-loss loss-pi loss-v loss-q actor-loss critic-loss value-loss values-loss vf-loss v-loss "
     "q-loss qf-loss loss-actor loss-critic loss-policy loss-value critic-losses actor-losses value-function-loss "
     "policy-gradient-loss value-objective-loss alpha-loss temperature-loss ent-coef-loss log-alpha-loss td-error "
     "td-errors td-loss ppo-loss discriminator-loss generator-loss disc-loss gen-loss d-loss g-loss loss-d loss-g "
     "loss-disc loss-gen d-err g-err err-d err-g loss-discriminator loss-generator adv-loss adversarial-loss gan-loss "
     "critic-error surrogate-loss reward-penalty world-model-loss bellman-error intrinsic-reward intrinsic-rewards "
     "q1-loss q2-loss"),
    ("unknown", "none", "a reward of one side of a pair: only the margin counts",
     "rewards-rejected rewards-chosen reward-rejected reward-chosen rejected chosen rejected-rewards chosen-rewards "
     "rejected-reward chosen-reward rewards-generated rewards-real"),
    ("unknown", "none", "a log probability of samples, a logit, or a plain probability",
     "logps logp logprob logprobs log-prob log-probs logits logit prob probs probability"),
    ("unknown", "none", "a range or a sum whose sign is a convention",
     "reward-gap rewards-gap return-code error-code exit-code retcode map-size acc-steps acc-grad return-to-go "
     "discount advantage advantages value q-value q-values frac fraction clipfrac clip-frac ratio share penalty "
     "penalties budget limit z-score anomaly-score confidence-score"),
    ("unknown", "none", "a clock: longer runs show more",
     "time runtime elapsed duration time-to-accuracy seconds secs hours minutes wall walltime wall-time eta"),
)  # fmt: skip

_INVERTS = frozenset("neg negative negated inverse inverted inv minus complement".split())
_OF_A_CLASS = frozenset("acc accuracy precision recall f1 rec prec iou dice ap correct".split())
"""After `neg`, these may be the score of the negative class, so there is no goal."""
_PREFIXES = ("validation", "training", "valid", "train", "test", "eval", "val", "dev", "mean", "avg")
_BETWEEN = frozenset("mean median root max log total avg average".split())
"""Words allowed between an inverting word and the inverted phrase (`neg_mean_squared_error`)."""
_LONGEST = 4
_SHARES = frozenset(
    ("a share of right answers", "a share of successes", "precision, recall or a mean of them", "an area under a curve",
     "overlap of regions", "right answers among the first few guesses")
)  # fmt: skip


def _entries() -> dict[tuple[str, ...], _GoalEntry]:
    return {
        tuple(phrase.removesuffix("@").split("-")) + ("@",) * phrase.endswith("@"): _GoalEntry(goal, kind, reason)
        for goal, kind, reason, words in _TABLE
        for phrase in words.split()
    }


_ENTRIES = _entries()
_WORDS = frozenset(word for phrase in _ENTRIES for word in phrase) | _INVERTS


@lru_cache(maxsize=4096)
def read_name(metric: str) -> NameVerdict:
    """Returns the goal that the words of a metric's name imply."""
    words = _words(metric)
    for word in words:
        entry = _ENTRIES.get((word,))
        if entry is not None and entry.kind == "void" and not _in_phrase(words, word):
            return NameVerdict("unknown", f"{word}: {entry.reason}")
    weak: NameVerdict | None = None
    for start, phrase, entry in _entries_in(words):
        if entry.kind != "weak":
            return _verdict(words[:start], phrase, entry, metric)
        weak = weak or _verdict(words[:start], phrase, entry, metric)
    return weak or NameVerdict("unknown", "its name has no known word")


def is_share(metric: str) -> bool:
    """Whether a metric is a share by its name: between 0 and 1, or 0 and 100."""
    return read_name(metric).reason.partition(": ")[2] in _SHARES


def _in_phrase(words: list[str], word: str) -> bool:
    """Whether a `void` word is part of a phrase with its own meaning (explained variance)."""
    return any(word in phrase and len(phrase) > 1 and entry.kind != "void" for _, phrase, entry in _entries_in(words))


def _verdict(before: list[str], phrase: tuple[str, ...], entry: _GoalEntry, metric: str) -> NameVerdict:
    phrase_text = " ".join(phrase).replace(" @", "@k")
    if entry.goal == "higher" and before[-1:] == ["loss"] and re.search(r"loss[_ .-]", metric.lower()):
        return NameVerdict("lower", f"loss {phrase_text}: a loss named after the score that it improves")
    inverting = _inverting(before)
    if not inverting or entry.goal == "unknown" or entry.kind == "aside":
        return NameVerdict(entry.goal, f"{phrase_text}: {entry.reason}", entry.kind == "aside")
    if inverting in ("neg", "negative") and phrase[0] in _OF_A_CLASS:
        return NameVerdict("unknown", f"{inverting} {phrase_text}: either of the negative class or with changed sign")
    goal = "lower" if entry.goal == "higher" else "higher"
    return NameVerdict(goal, f"{inverting} {phrase_text}: the opposite of {entry.reason}")


def _inverting(before: list[str]) -> str:
    """Returns the inverting word directly before a phrase, or an empty text."""
    rest = [w for w in before if w not in _BETWEEN]
    return rest[-1] if rest and rest[-1] in _INVERTS else ""


def _entries_in(words: list[str]) -> Iterator[tuple[int, tuple[str, ...], _GoalEntry]]:
    """Yields the entries in a name, last first; at each word the longest phrase that ends there."""
    end = len(words)
    while end > 0:
        for length in range(min(_LONGEST, end), 0, -1):
            phrase = tuple(words[end - length : end])
            entry = _ENTRIES.get(phrase)
            if entry is not None:
                yield end - length, phrase, entry
                end -= length
                break
        else:
            end -= 1


def _words(metric: str) -> list[str]:
    """Splits a name: ``valLoss_epoch`` into val, loss, epoch; ``mIoU``: miou; ``rouge1``: rouge; ``pass@1``: pass, @;
    ``1-acc``: minus, acc."""
    text = re.sub(r"(?<![A-Za-z0-9._-])1\s*[-\u2212]\s*(?=[A-Za-z])", "minus ", metric)
    text = re.sub(r"(^|/)n_", r"\1num_", text)
    text = re.sub(r"@\s*[A-Za-z0-9]*", " @ ", text)
    words: list[str] = []
    for segment in re.split(r"[^A-Za-z0-9@]+", text):
        words += _segment_words(segment)
    return [w for w in words if w and not w.isdigit()]


def _segment_words(segment: str) -> list[str]:
    """Splits letters and digits into words: one word if it is known, else split at capitals and joined to known words."""
    whole = _known(segment.lower())
    if whole or not segment:
        return [whole]
    pieces = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", segment).split()
    words: list[str] = []
    while pieces:
        for length in range(len(pieces), 0, -1):
            word = _known("".join(pieces[:length]).lower())
            if word or length == 1:
                words += [word] if word else _split_prefix(pieces[0].lower())
                pieces = pieces[length:]
                break
    return words


def _known(word: str) -> str:
    """Returns the known word, without a number at its end (rouge1, hits10, fid50k), or an empty text."""
    if word in _WORDS:
        return word
    bare = re.sub(r"\d+k?$", "", word)
    return bare if bare in _WORDS and len(bare) > 1 else ""


def _split_prefix(word: str) -> list[str]:
    """Splits ``valloss`` into val, loss."""
    for part in _PREFIXES:
        rest = _known(word.removeprefix(part)) if word.startswith(part) else ""
        if rest:
            return [part, rest]
    return [word]
