"""The words by which a printed line warns, and warnings that are well known to be harmless."""

from __future__ import annotations

import re

__all__ = ["HINTS", "is_harmless", "is_told_by_words"]

HINTS = (
    "WARN", "ERROR", "CRITICAL", "FATAL", "arning", '"error"', '"critical"', "level=", "[W", "[E", "W0", "W1", "W2", "E0", "E1",
    "E2", ": W ", ": E ", "gnor", "nknown", "nused", "nexpected", "nrecogni", "issing", "o effect", "ot applied", "ot be applied",
    "alling back", "ell back", "alls back", "allback", "efaulting", "ismatch", "t match", "verlap", "lso appear", "lso occur",
    "lso present", "uplicate", "eak", "runcat", "kipp", "lipped", "ot found", "ot exist", "n't exist", "o such file", "ould not",
    "ouldn't", "annot", "can't", "nable to", "ailed to", "esum", "equeue", "reempt", "estor", "nitialized", "upport", "ncompatible",
    "on-finite", "onfinite", "NaN", "nan ", "nan:", "inf ", "Inf ", "verflow", "ropped", "ropping", "iscard", "xceed", "oo long",
    "onger than", "isabl", "orrupt", "from scratch", "vailable", "nvalid", "verridden", "ot used", "o checkpoint",
)  # fmt: skip
"""Each line that warns contains one of these."""

_NOUN = (
    r"(?:keys?|key\(s\)|arg(?:ument)?s?|kwargs|options?|(?:hyper-?)?param(?:eter)?s?|settings?|fields?|config\w*|flags?|columns?|"
    r"weights?|layers?|entry|entries|overrides?|values?|files?|labels?|samples?|images?|modules?)"
)
_DATA = (
    r"(?:samples?|examples?|rows?|prompts?|images?|entries|ids?|records?|sentences?|documents?|texts?|items?|questions?|files?|"
    r"pairs?|users?|patients?)"
)
_SPLIT = r"\b(?:train\w*|test|val|valid\w*|eval\w*|dev|splits?|held[- ]?out)\b"
_UNIT = rf"(?:{_DATA}|sequences?|tokens?|inputs?|targets?|completions?|responses?|outputs?|contexts?|captions?)"
_KINDS = (
    # settings
    rf"\b(?:ignor(?:ed|ing)|unknown|unused|unexpected|unrecogni[sz]ed|unsupported|missing|invalid)\b[^.;]{{0,40}}?\b{_NOUN}(?!\w)",
    rf"\b{_NOUN}[^.;]{{0,80}}?\b(?:ignored|unused|not used|not applied|missing|unknown|overridden|unrecogni[sz]ed)\b",
    r"\b(?:is|are|was|were|be|been|being) (?:\w+ )?ignored\b|\bignoring:? ?[\[('\"`\-]|\bignoring \w+[_.=]\w+",
    r"\b(?:has|have|had) no effect\b|\bnot (?:be )?applied\b|\b(?:does not|doesn't|do not|not) support(?:ed)?\b|\bincompatible\b",
    r"\bnot used (?:by|when|in)\b.*[\[({'\"`]",
    r"\bf(?:all(?:ing|s)?|ell) ?back\b|\bfallback (?:to|on)\b|\bdefaulting to\b|\bunsupported\b",
    r"\bdisabl(?:ed|ing)\b[^.]{0,40}\b(?:because|since|due)\b|\b(?:not available|unavailable)\b[^.]{0,30}\busing\b",
    r"\b(?:GPU|CUDA|TPU|MPS)\b (?:is |are )?(?:not |un)available\b",
    # weights and checkpoints
    r"\bmismatch(?:ed|es)?\b|\b(?:does not|do not|doesn't|don't|did not) match\b|\b(?:newly|randomly) initialized\b",
    r"\bnot initialized from\b|\bfrom scratch\b.*\binstead\b|\binstead of\b.*\bfrom scratch\b",
    r"\bno (?:\w+ )?(?:checkpoint|such file)\b",
    r"\b(?:checkpoint\w*|ckpt\w*|weights|file|config\w*|model|state|buffer|dataset|cache|vocab\w*|tokenizer|stats|statistics|\S+\.\w{2,5})"
    r"\b[^.;]{0,60}\b(?:not found|does(?: not|n't) exist|is missing|corrupt\w*)",
    r"\b(?:could not|couldn't|cannot|can't|unable to|failed to) (?:\w+ )?(?:find|load|restor\w+|open|read|resume|import|use|"
    r"save|write|allocate|connect|download|decode|parse|compile)\b",
    r"\bresum(?:ed|ing)\b (?:\w+ ){0,2}(?:from|at)\b|\brestor(?:ed|ing) (?:\w+ ){0,4}(?:from|checkpoint)\b",
    r"\brequeued\b|\bpreempted\b",
    # data
    rf"\boverlap\w*\b.*{_SPLIT}|{_SPLIT}.*\boverlap\w*\b|\balso (?:appear|occur|present)\w*\b",
    rf"\bduplicated? (?:\w+ )?{_DATA}\b|\b{_DATA} (?:\w+ )?(?:are|is|were) duplicate|\bduplicates?\b.*{_SPLIT}",
    rf"\b(?:data|label|test|train|target|information) leak\w*|\bleak\w*\b.*{_SPLIT}|\bcorrupt(?:ed)?\b",
    rf"\btruncat(?:ed|ing)\b.*\b{_UNIT}\b|\b{_UNIT}\b.*\btruncated\b|\b{_UNIT} (?:\w+ )?dropped\b",
    rf"\b(?:dropp(?:ed|ing)|discard(?:ed|ing)) (?:\d\S* )?(?:\w+ )?{_UNIT}\b|\b(?:is|are) too long\b",
    r"\bexceed(?:s|ed|ing)?\b.*\b(?:max\w*|limit|length|memory|size|context)\b|\blonger than the (?:specified )?max\w*\b",
    # steps
    r"\bskipp(?:ed|ing)\b|\bnon-?finite\b|\bgradient overflow\b|\boverflow (?:detected|in|!)",
    r"\b(?:nan|inf|infinite|infs|nans)\b (?:\w+ )?(?:loss\w*|grad\w*|detected|found|encountered|values?|in)\b",
    r"\b(?:loss|grad\w*|norm|weights?|output\w*|activation\w*) (?:is|are|was|became|contains?) (?:nan|inf\w*|non-finite)\b",
    rf"\b(?:values?|labels?|actions?|rewards?|targets?|gradients?|{_DATA})\b[^.;|]{{0,40}}\b(?:is|are|was|were|been) clipped\b",
    rf"\bclipped (?:\d\S* )?(?:\w+ )?(?:{_UNIT}|labels?|actions?|rewards?|values?)\b",
)
_WORDS = re.compile("|".join(_KINDS), re.IGNORECASE)
_KEYWORD = (
    r"(?:missing|unexpected|unused|unknown|overlap\w*|duplicat\w*|leak\w*|skipp\w+|truncat\w+|clipped|mismatch\w*|ignored|also|dropped|"
    r"discarded|corrupt\w*|non-?finite|invalid|nans?|infs?)"
)
_NOTHING = re.compile(
    rf"\b(?:no|zero|none|without|0)\b(?:\s+(?:out )?of\s+[\d,]+|\s*/\s*[\d,]+)?\s+(?:[\w\-]+\s+){{0,3}}?{_KEYWORD}"
    rf"|\b{_KEYWORD}\b(?:[\w\s\-()]{{0,30}}?)[:=]?\s*(?:\b0\b(?![.\d])|\[\]|\{{\}}|\(\)|\bnone\b|set\(\))",
    re.IGNORECASE,
)
_NAMED = re.compile(r"""[\[({]\s*['"]\w""")
_PROSE = re.compile(r"\b(?:we|you|I|he|she|they|our|your|my|his|her|who|let's)\b|\*\*", re.IGNORECASE)
"""Words of texts that a model read or wrote."""
_LONGEST = 400  # characters of a line that is recognised by its words
_SETTING = re.compile(
    r"^\s*[\w.\-/]+\s*[:=]\s*\S+\s*$|^\s*['\"]?[\w.\-]+['\"]?\s*:\s*(?:true|false|null|none)\b", re.IGNORECASE
)

_HARMLESS = re.compile(
    "|".join((
        r"(?:Future|Deprecation|PendingDeprecation|Syntax|Resource|Import|PydanticDeprecated\w*|\w+Deprecation)Warning:",
        r"\bdeprecated\b|will be removed in|huggingface/tokenizers|TOKENIZERS_PARALLELISM|current process just got forked",
        r"Unable to register cu\w+ factory|TF-TRT Warning|oneDNN|optimized (?:with|to use available) CPU|NUMA node",
        r"computation_placer|TensorFlow binary|libcud\w+\.so|libnvinfer|cudart|cuInit|XLA service|AutoGraph|TF_CPP",
        r"rebuild TensorFlow",
        r"lr_scheduler\.step\(\).*optimizer\.step\(\)|optimizer\.step\(\).*lr_scheduler\.step\(\)",
        r"pad_token_id|pad_token\b.*eos|eos\b.*pad_token|Special tokens have been added|slow tokenizer|use_fast|fast tokenizer",
        r"find_unused_parameters|use_reentrant|use_cache=True.*gradient checkpointing|set_float32_matmul_precision|Tensor ?Cores",
        r"does not have many workers|num_workers|persistent_workers|worker processes in total|OMP_NUM_THREADS",
        r"process group has NOT been destroyed|destroy_process_group|used by this process are currently unknown|barrier\(\)",
        r"TypedStorage|resume_download|HF_TOKEN|unauthenticated requests|hf_xet|symlinks|trust_remote_code|pkg_resources",
        r"Box (?:bound|low|high)|Gym has been unmaintained|environment \S+ is out of date|render_mode|initialize NVML|pynvml",
        r"resource_tracker|semaphore_tracker|leaked semaphore|Matplotlib|font family|findfont|cannot cache function",
        r"Checkpoint directory .*not empty|log_every_n_steps|tensorboardX|Redirects are currently not supported",
        r"torch\.meshgrid|weights_only=False|enable_nested_tensor|non-writable|copy construct from a tensor|requirements? .*pip",
        r"don't have a corresponding argument|early[- ]stopp|Restoring (?:best )?(?:model )?weights|restoring the best",
        r"wandb: .*(?:sync|tracked|login|offline|`wandb|Run `|View|Currently)|error[- ]bars?|message_loop has been closed",
        r"Logging before (?:flag parsing|InitGoogle)|device_context\.cc|includes params argument|use_tpu|the model summary",
    )),
    re.IGNORECASE,
)  # fmt: skip


def is_told_by_words(line: str) -> bool:
    """Whether the words of a line warn: keys that were ignored, data in two splits, something missing or skipped."""
    if len(line) > _LONGEST or _SETTING.search(line) or not _WORDS.search(line) or _PROSE.search(line):
        return False
    return not _NOTHING.search(line) or bool(_NAMED.search(_NOTHING.sub("", line)))


def is_harmless(line: str) -> bool:
    """Whether a warning is one of those that most programs print, whatever they train."""
    return bool(_HARMLESS.search(line))
