"""Completion of settings in bash: what Hydra proposes, for a command that is several words.

Hydra's own script knows `python FILE` and commands of one word alone.
"""

from __future__ import annotations

from .package import command

INSTALL = r"""_calibrate_train() {
    local line=${COMP_LINE:0:COMP_POINT} called="${COMP_WORDS[0]} REST " word
    COMPREPLY=()
    [[ $line == "$called"* ]] || return
    word=${line##* }
    COMPREPLY=($(COMP_LINE="train ${line#"$called"}" $called -sc query=bash 2>/dev/null))
    if [[ $COMP_WORDBREAKS == *=* && $word == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${word%=*}="}")
    fi
}
complete -o nospace -o default -F _calibrate_train NAMES"""
UNINSTALL = "complete -r NAMES; unset -f _calibrate_train"


def script(asked: list[str]) -> str | None:
    """What bash is to evaluate; None where something else is asked for, which is Hydra's to answer."""
    first, _, rest = command("train").partition(" ")
    names = "python python3" if first == "python" else first
    found = {"install=bash": INSTALL, "uninstall=bash": UNINSTALL}.get(" ".join(asked))
    return found and found.replace("REST", rest).replace("NAMES", names)
