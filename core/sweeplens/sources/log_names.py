"""Names of files that look like logs, so that an answer can warn of those that no reader accepts."""

from __future__ import annotations

import re

from sweeplens.readers.decoding.compression import plain_name

__all__ = ["looks_like_log"]

_ALWAYS = re.compile(
    r"\.(?:log|out|err|jsonl|ndjson|jsonlines|wandb|aim|vdlrecords)$|tfevents|vdlrecords", re.IGNORECASE
)
_NAMED = re.compile(r"\.(?:txt|csv|tsv|tab|dat|json|pkl|pickle|npz|npy|parquet|feather|db|sqlite|zip)$", re.IGNORECASE)
_PACKED = re.compile(
    r"(?:^|[^a-z])(?:runs?|exp|exps|experiments?|logs?|wandb|mlruns|tensorboard|tb|outputs?|results?|metrics|sweeps?|offline)"
    r"(?:[^a-z].*)?\.(?:zip|tar|tgz|tbz2|txz|tzst|tar\.(?:gz|bz2|xz|zst))$",
    re.IGNORECASE,
)  # an archive that probably holds runs
_WORDS = re.compile(
    r"(?:^|[^a-z])(?:logs?|logging|history|metrics?|scalars|loss(?:es)?|progress|lcurve|stdout|stderr|trainer_state|"
    r"train(?:ing)?[-_ ]?(?:log|stats|results|curves?)|curves?|console)(?:[^a-z]|$)",
    re.IGNORECASE,
)


def looks_like_log(name: str) -> bool:
    """Whether a file with this name is probably a log: by its ending, or by its ending and a word in it."""
    if _PACKED.search(name):
        return True
    name = plain_name(name)
    return bool(_ALWAYS.search(name) or (_NAMED.search(name) and _WORDS.search(name.rpartition(".")[0])))
