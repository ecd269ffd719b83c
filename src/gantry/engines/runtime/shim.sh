#!/bin/sh
# Runs one program, outlives the control plane, and keeps the exit status.
#
# usage: shim.sh FOLDER TIMEOUT_S GRACE_S TREE KILL_GROUP PROGRAM [ARGUMENT...]
#
# FOLDER      the process's folder; standard output and error are its log already
# TIMEOUT_S   the program is told to end after this; empty for never
# GRACE_S     after this much more time its tree is killed
# TREE        not empty: the whole tree is told to end, not the program alone
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

below() {
    for child in $(cat /proc/"$1"/task/*/children); do
        echo "$child"
        below "$child"
    done
}

# The program, and the leader of its session: its keeper, or itself.
find_program() {
    init=$(sed -n 's/.*"child-pid": *\([0-9]*\)[^0-9].*/\1/p' sandbox)
    read -r app _ _ _ session _ <report
}

tell_to_end() {
    find_program
    if [ -z "$tree" ]; then
        # Inside of a sandbox numbers mean something else.
        [ -n "$init" ] && app=$(below "$init" | head -n 1)
        kill -TERM "$app"
    elif [ -n "$init" ]; then
        kill -TERM $(below "$init")
    else
        # The keeper first, so that it waits for all others.
        kill -TERM "$session" $(in_session)
    fi
}

# Also what was orphaned. The keeper comes once more, which does not matter.
in_session() {
    [ -n "$session" ] || return 0
    for stat in /proc/[0-9]*/stat; do
        pid=${stat#/proc/}
        read -r line <"$stat" || continue
        set -- ${line##*) }
        [ "$4" != "$session" ] || echo "${pid%/stat}"
    done
}

end_tree() {
    if [ -n "$kill_group" ]; then
        while read -r pid; do kill -KILL "$pid"; done <"$kill_group/cgroup.procs"
    fi
    find_program
    if [ -n "$init" ]; then
        kill -KILL "$init"
    else
        kill -KILL $(in_session)
    fi
}

rest() {
    sleep "$1" &
    nap=$!
    [ -z "$over" ] || kill "$nap"
    wait "$nap"
    [ -z "$over" ] || exit 0
}

watch() {
    nap='' over=''
    trap 'over=1; [ -z "$nap" ] || kill "$nap"' TERM
    rest "$timeout_s"
    : >timed-out
    tell_to_end
    rest "$grace_s"
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
    # The program's own, where another process of its tree ended last.
    while read -r word number; do
        case $word:$number in ended:*[!0-9]*) ;; ended:?*) code=$number ;; esac
    done <report
    # In a sandbox the kernel has ended what was left.
    if [ -n "$tree" ]; then
        find_program
        [ -n "$init" ] || kill -KILL $(in_session)
    fi 2>/dev/null
}

comes_back() {
    [ -e restart ] && [ "$code" -gt 128 ] || return 1
    # What dies as soon as it begins is left to the control plane, which waits longer from time to time.
    read -r ended_s _ </proc/uptime
    [ $((${ended_s%.*} - ${began_s%.*})) -ge 1 ] || return 1
    echo "$code" >>restarts
}

main() {
    folder=$1 timeout_s=$2 grace_s=$3 tree=$4 kill_group=$5
    shift 5
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
