# The far side of a run: what a host is told to do with it, in one go.
#
# usage: /bin/sh -c TEXT far-side VERB FOLDER EPOCH MARK LIMIT GRACE ...
#   run   FOLDER EPOCH MARK LIMIT GRACE adopt|replace together|apart ORDER_BYTES FILE_BYTES...   start or find it; wait for the end
#   start FOLDER EPOCH MARK LIMIT GRACE adopt|replace together|apart ORDER_BYTES FILE_BYTES...   start or find it
#   look  FOLDER EPOCH MARK LIMIT GRACE OUT_OFFSET ERR_OFFSET
#   stop  FOLDER EPOCH MARK LIMIT GRACE
# The order, then each file, then the word "complete" come by standard input. The answer is: output,
# and errors after a MARK where they are kept apart, then MARK and a word, with a number for some.
#
# FOLDER/lock       held while something is decided, and by a new run until its pid is written
# FOLDER/epoch      the highest epoch that has asked, and the epoch whose run counts: what lies in
#                   folders of other epochs is no longer looked at, so nothing has to be cleared
# FOLDER/N/pid      leader of the session of run N, its start time, and the boot of the host
# FOLDER/N/out, err what it wrote; FOLDER/N/rc its exit code: a line without its end does not count
# FOLDER/N/work     its working directory
set -eu
verb=$1 folder=$2 epoch=$3 mark=$4 limit=$5 grace=$6
shift 6
umask 077
cd "$HOME"
read -r boot </proc/sys/kernel/random/boot_id

answer() {
    printf '%s%s\n' "$mark" "$*"
    exit 0
}

lock() {
    exec 8>"$HOME/$folder/lock"
    flock -w 60 8 || answer busy
}

known() {
    fence='' current=''
    [ -s "$HOME/$folder/epoch" ] && read -r fence current <"$HOME/$folder/epoch"
}

raise() {
    if [ -s "$HOME/$folder/epoch" ]; then
        # Renamed into place: a host that dies here knows the old epoch or the new one.
        echo "$1 $2" >"$HOME/$folder/epoch.new"
        mv -f "$HOME/$folder/epoch.new" "$HOME/$folder/epoch"
    else
        echo "$1 $2" >"$HOME/$folder/epoch"
    fi
}

ended() {
    rc=''
    [ -s rc ] && read -r rc <rc
}

recorded() {
    leader='' started=0 booted=''
    [ -s pid ] && read -r leader started booted <pid && [ "$booted" = "$boot" ]
}

alive() {
    recorded || return 1
    { read -r line <"/proc/$leader/stat"; } 2>/dev/null || return 1
    set -- ${line##*) }
    [ "$1" != Z ] && [ "${20}" = "$started" ]
}

# Fill $members with the processes of the session. Its number can not be given to another process
# while one of them lives; a leader with another start time proves that none does.
members() {
    members=''
    recorded || return 0
    if { read -r line <"/proc/$leader/stat"; } 2>/dev/null; then
        set -- ${line##*) }
        [ "${20}" = "$started" ] || return 0
    fi
    for stat in /proc/[0-9]*/stat; do
        { read -r line <"$stat"; } 2>/dev/null || continue
        set -- ${line##*) }
        [ $# -ge 20 ] && [ "$4" = "$leader" ] && [ "$1" != Z ] && [ "${20}" -ge "$started" ] || continue
        stat=${stat#/proc/}
        members="$members ${stat%/stat}"
    done
}

# Ask all processes to end; kill those that are left after $grace looks of 20 ms; wait until they
# are gone.
end_session() {
    looks=0
    members
    while [ -n "$members" ]; do
        if [ "$looks" -eq 0 ]; then
            kill -s TERM $members 2>/dev/null || :
        elif [ "$looks" -ge "$grace" ]; then
            kill -s KILL $members 2>/dev/null || :
        fi
        [ "$looks" -lt $((grace + 350)) ] || answer stuck "$members"
        looks=$((looks + 1))
        sleep 0.02
        members
    done
}

receive() {
    number=0
    order=$(head -c "$1")
    shift
    for size in "$@"; do
        number=$((number + 1))
        head -c "$size" >"in.$$.$number"
    done
    # A connection that broke on the way must not leave half a script to be run.
    read -r last && [ "$last" = complete ] || answer cut
}

# Called by the order: put a received file in its place, all of it at once.
place() {
    case $3 in
    /*) target=$3 ;;
    *) target=$PWD/work/$3 ;;
    esac
    (umask 022 && mkdir -p "${target%/*}/")
    install -m "$2" "in.$$.$1" "$target.savanna-$$"
    mv -fT "$target.savanna-$$" "$target"
}

# Leader of the run's session. It outlives the connection, and the lock with it until its pid is known.
supervise='
read -r line </proc/$$/stat
boot=$1
set -- ${line##*) }
echo "$$ ${20} $boot" >pid
exec 8>&-
(
    umask 022
    cd work
    . ../environment
    exec /bin/sh "${PWD%/work}/script"
)
echo $? >rc
'

launch() {
    eval "$order"
    printf '%s' "$script" >script
    printf '%s' "$environment" >environment
    place_files
    raise "$epoch" "$epoch"
    # Both append, so that both may go to one file and stay in order.
    [ "$streams" = apart ] && errors=err || errors=out
    setsid /bin/sh -c "$supervise" savanna-run "$boot" </dev/null >>out 2>>"$errors" &
    exec 8>&-
}

# Called with the lock held, in the folder of this epoch; goes to the folder of the run that counts.
start() {
    if ! known; then
        launch
    elif [ "$epoch" -lt "$fence" ]; then
        answer stale "$fence"
    elif [ "$epoch" -eq "$fence" ]; then
        cd "../$current"
        # Without a pid it never began: its maker broke off before.
        if ! ended && [ ! -s pid ]; then launch; elif ! ended && ! alive; then answer lost; fi
    else
        cd "../$current"
        if [ "$others" = adopt ] && { ended || alive; }; then
            raise "$epoch" "$current"
        else
            # What a finished run left behind, a daemon perhaps, is its result.
            ended || end_session
            cd "../$epoch"
            launch
        fi
    fi
    exec 8>&-
}

await_end() {
    # The shell knows when its own child ends; a run that was found has to be looked at.
    wait
    looks=0
    while alive; do
        looks=$((looks + 1))
        if [ "$looks" -lt 50 ]; then sleep 0.02; else sleep 0.2; fi
    done
    # Whoever stops it holds the lock until its end is written.
    ended || { lock; ended; } || { known; [ "$fence" -gt "$epoch" ] && answer stale "$fence"; answer lost; }
}

give() {
    if [ -s out ]; then tail -c "$limit" out; fi
    if [ -s err ]; then printf '%s' "$mark"; tail -c "$limit" err; fi
}

give_from() {
    if grown out "$1"; then dd if=out iflag=skip_bytes,count_bytes skip="$1" count="$limit" bs=64K status=none; fi
    printf '%s' "$mark"
    if grown err "$2"; then dd if=err iflag=skip_bytes,count_bytes skip="$2" count="$limit" bs=64K status=none; fi
}

# dd fails where an offset lies beyond what the file system could ever hold.
grown() {
    [ -s "$1" ] && [ "$(wc -c <"$1")" -gt "$2" ]
}

state() {
    if ended; then return; fi
    if alive; then rc=-; return; fi
    lock
    known
    cd "../$current"
    if ended; then return; fi
    alive || answer lost
    rc=-
}

case $verb in
run | start)
    others=$1 streams=$2
    shift 2
    command -v flock >/dev/null && command -v setsid >/dev/null || answer lacking
    mkdir -p "$folder/$epoch/work"
    cd "$folder/$epoch"
    [ $# -eq 1 ] || trap 'rm -f "$HOME/$folder/$epoch/in.$$".*' EXIT
    receive "$@"
    lock
    start
    if [ "$verb" = start ]; then
        lock
        [ -s pid ] || ended || answer lost
        answer running
    fi
    await_end
    give
    known
    [ "$fence" -le "$epoch" ] || answer stale "$fence"
    answer ended "$rc"
    ;;
look)
    cd "$folder" 2>/dev/null && known || answer missing
    cd "$current"
    state
    give_from "$1" "$2"
    answer ended "$rc"
    ;;
stop)
    mkdir -p "$folder/$epoch"
    cd "$folder/$epoch"
    lock
    if ! known; then
        # Its start may still be on the way: it finds that it has been stopped.
        echo 143 >rc
        raise "$epoch" "$epoch"
        answer missing
    fi
    [ "$epoch" -ge "$fence" ] || answer stale "$fence"
    cd "../$current"
    [ "$epoch" -eq "$fence" ] || raise "$epoch" "$current"
    word=ended
    if ! ended; then
        end_session
        if ! ended; then
            echo 143 >rc
            rc=143 word=stopped
        fi
    fi
    give
    answer "$word" "$rc"
    ;;
esac
