#!/bin/sh
# Runs one program, outlives the control plane, and keeps the exit status.
#
# usage: shim.sh FOLDER TIMEOUT_S KILL_GROUP PROGRAM [ARGUMENT...]
#
# FOLDER      the process's folder; standard output and error are its log already
# TIMEOUT_S   the program's tree is killed after this; empty for never
# KILL_GROUP  folder of the control group that holds the program's tree; empty when there is none
#
# While the folder has a file `restart`, a program that a signal ended is run again, also while no control plane runs;
# `restarts` then has a line for each time.
#
# Everything is a function, so that the file is read whole before it runs and may be replaced by an upgrade.

identify() {
    # The start time tells a process from a later one with the same number.
    read -r stat <"/proc/$1/stat"
    printf '%s %s\n' "$1" "${stat##*) }"
}

end_tree() {
    if [ -n "$kill_group" ]; then
        while read -r pid; do kill -KILL "$pid"; done <"$kill_group/cgroup.procs"
    fi
    init=$(sed -n 's/.*"child-pid": *\([0-9]*\)[^0-9].*/\1/p' sandbox)
    if [ -n "$init" ]; then
        kill -KILL "$init"
    else
        read -r app _ <report && kill -KILL "-$app"
    fi
}

watch() {
    nap='' over=''
    trap 'over=1; [ -z "$nap" ] || kill "$nap"' TERM
    sleep "$timeout_s" &
    nap=$!
    [ -z "$over" ] || kill "$nap"
    wait "$nap"
    [ -z "$over" ] || exit 0
    : >timed-out
    # Again and again: the tree may grow while it is being killed.
    while [ -z "$over" ]; do
        end_tree
        sleep 0.1
    done
}

run() {
    read -r began_s _ </proc/uptime
    # The chain reads its script from standard input: opened anew, it is read from the beginning each time.
    "$@" 3>report 4>sandbox </proc/self/fd/0
    code=$?
}

comes_back() {
    [ -e restart ] && [ "$code" -gt 128 ] || return 1
    # What dies as soon as it begins is left to the control plane, which waits longer from time to time.
    read -r ended_s _ </proc/uptime
    [ $((${ended_s%.*} - ${began_s%.*})) -ge 1 ] || return 1
    echo "$code" >>restarts
}

main() {
    folder=$1 timeout_s=$2 kill_group=$3
    shift 3
    cd "$folder" || exit 1
    umask 077
    # Caught, not ignored: a caught signal is the default again in the program. A machine that shuts down sends
    # SIGTERM to everything, and the exit status must still be written.
    trap : TERM INT HUP
    identify $$ >shim.new && mv -f shim.new shim
    dog=''
    if [ -n "$timeout_s" ]; then
        watch 2>/dev/null &
        dog=$!
    fi
    run "$@"
    while comes_back; do run "$@"; done
    if [ -n "$dog" ]; then
        kill "$dog" 2>/dev/null
        wait "$dog"
    fi
    echo "$code" >exit.new && mv -f exit.new exit
}

main "$@"
exit
