#!/bin/sh
# Ask a folder of experiments from a shell: examples/ask.sh DIR
# `sweeplens call` gives the answer that a client would get; --json gives its structured content for programs.
set -eu

if [ $# -ne 1 ]; then
    echo "usage: examples/ask.sh DIR, a folder of experiments" >&2
    exit 2
fi
root="$1"
: "${SWEEPLENS:=sweeplens}" # the command, where it is not on the PATH

echo "== The mean accuracy by learning rate, for people"
"$SWEEPLENS" call summarize_by_hparams hparams=optim.lr metrics=val/acc where="status = 'finished'" --root "$root"

echo "== The three best runs, for programs"
"$SWEEPLENS" call list_runs columns=val/acc.last sort=-val/acc.last limit=3 --root "$root" --json |
    python3 -c 'import json, sys; [print(row[0]) for row in json.load(sys.stdin)["rows"]]'
