#!/bin/sh
# Puts itself under limits, then becomes the program.
#
# usage: enter.sh OPEN_FILES OOM_ADJUST [GROUP...] -- PROGRAM [ARGUMENT...]

main() {
    open_files=$1 oom_adjust=$2
    shift 2
    umask 022
    ulimit -c 0
    [ -z "$open_files" ] || ulimit -n "$open_files" || exit 125
    [ -z "$oom_adjust" ] || echo "$oom_adjust" >/proc/self/oom_score_adj
    while [ "$1" != -- ]; do
        echo 0 >"$1/cgroup.procs" || exit 125
        shift
    done
    shift
    exec "$@"
}

main "$@"
