"""The keeper: the shell above a product's program, which stays until the whole tree has ended.

A product's command is often a wrapper (`npm run`, a shell) that ends at its SIGTERM at once. In a sandbox everything else
would be killed with it, in the middle of its work. So every process of the tree gets SIGTERM, the keeper too; and a keeper
that got it waits, after the program has ended, until no other process is left. Whoever sent SIGTERM sends SIGKILL when
the time is up. A program that ends by itself ends its tree as ever.
"""

from collections.abc import Sequence

# In a sandbox: every other process but the first, which is bubblewrap's. All are of one user.
_OTHERS_IN_SANDBOX = "gantry_others() { kill -s 0 -- -1; }"
# Else: the members of the session that the keeper leads. A zombie waits for somebody else.
_OTHERS_IN_SESSION = """gantry_others() {
    for gantry_stat in /proc/[0-9]*/stat; do
        gantry_pid=${gantry_stat#/proc/} gantry_pid=${gantry_pid%/stat}
        [ "$gantry_pid" != $$ ] && read -r gantry_line <"$gantry_stat" || continue
        set -- ${gantry_line##*) }
        [ "$4" = $$ ] && [ "$1" != Z ] && return 0
    done
    return 1
}"""


def kept(becoming: Sequence[str], *, boxed: bool) -> str:
    """A script that runs another one as its child, with its arguments, and ends as that one does.

    Parameters:
        becoming: lines that end by becoming the program. They may write to descriptor 3, where the keeper adds
            `ended CODE` when the program has ended.
        boxed: it is alone in a sandbox with its tree; else it must lead a session.
    """
    return "\n".join(
        (
            "gantry_keep() {",
            "gantry_told=",
            "trap 'gantry_told=1' TERM",
            # "Terminated" would be the shell's word, not the program's.
            "exec 4>&- 5>&2 2>/dev/null",
            "(",
            "exec 2>&5 5>&-",
            *becoming,
            ")",
            "gantry_code=$?",
            'echo "ended $gantry_code" >&3',
            'while [ -n "$gantry_told" ] && gantry_others; do sleep 0.05; done',
            'exit "$gantry_code"',
            "}",
            _OTHERS_IN_SANDBOX if boxed else _OTHERS_IN_SESSION,
            'gantry_keep "$@"',
            "",
        )
    )
