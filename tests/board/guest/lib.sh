# What cases are written with. A case is a shell script that ends well; `fail` ends it badly.
# Its name is $0, its folder (gone afterwards) the current one.

name=$0
atrous=/suite/atrous
camera_tool=/suite/virtual_camera
model=/suite/road.atrous
# Where any result will do.
quick=/suite/quick.atrous
work=/tmp/case/$name
[ -d "$work" ] && cd "$work"
# Files for the host, kept after the run (only where the machine shares a folder).
kept=/mnt/kept/$name
[ -d /mnt/kept ] && mkdir -p "$kept"

# fail WORDS…: the case went wrong.
fail() {
    echo "FAILED: $*"
    exit 1
}

# skip WORDS…: the case cannot be run on this machine.
skip() {
    echo "note: skipped: $*"
    exit 77
}

# note WORDS…: a figure or fact for the report.
note() { echo "note: $*"; }

# uptime: seconds, with hundredths.
uptime() { cut -d' ' -f1 /proc/uptime; }

# outside VERB ARGUMENTS…: asks the host, and prints its answer (see ../harness/suite.py).
outside() {
    echo "@ask $name $*" >&7
    read -r answer_code answer <&7
    [ -z "$answer" ] || echo "$answer"
    return "${answer_code:-1}"
}

# wait_for SECONDS COMMAND…: until it succeeds; fails the case when it does not in time.
wait_for() {
    wait_limit=$1
    shift
    soon "$wait_limit" "$@" || fail "not within $wait_limit s: $*"
}

# soon SECONDS COMMAND…: whether it succeeds in time.
soon() {
    soon_ticks=$(($1 * 10))
    shift
    until "$@" >/dev/null 2>&1; do
        soon_ticks=$((soon_ticks - 1))
        [ "$soon_ticks" -gt 0 ] || return 1
        usleep 100000
    done
}

# check WORDS… -- COMMAND…: the words say what should hold.
check() {
    words=
    while [ "$1" != -- ]; do
        words="$words $1"
        shift
    done
    shift
    "$@" || fail "$words: $*"
}

# start LOG ARGUMENTS…: atrous in the background, its output in LOG; $pid is its process.
start() {
    start_log=$1
    shift
    "$atrous" "$@" >"$start_log" 2>"$start_log.err" &
    pid=$!
}

# alive: whether the program that `start` started still runs.
alive() { kill -0 "$pid" 2>/dev/null; }

# ends CODE SECONDS: it ends by itself, with this exit code.
ends() {
    soon "$2" gone || fail "still running after $2 s"
    wait "$pid"
    code=$?
    [ "$code" = "$1" ] || { cat ./*.err; fail "exit code $code, not $1"; }
}

gone() { [ ! -e "/proc/$pid" ] || grep -q '^State:.*Z' "/proc/$pid/status"; }

# finish SIGNAL CODE: asks it to end.
finish() {
    kill "-$1" "$pid"
    ends "$2" 20
}

# results LOG: how many JSON lines with a result the log has.
results() { grep -c '"index":' "$1"; }

# more_results LOG COUNT: whether there are at least so many.
more_results() { [ "$(results "$1")" -ge "$2" ]; }

# field LOG NAME: the number of that name in the last JSON line.
field() { tail -1 "$1" | grep -oE "\"$2\":-?[0-9.]+" | head -1 | cut -d: -f2; }

# load MODULE PARAMETERS…: a kernel module with all it needs.
load() {
    load_name=$1
    shift
    while read -r part; do
        [ -e "/sys/module/$part" ] && continue
        if [ "$part" = "$load_name" ]; then insmod "/modules/$part.ko" "$@"; else insmod "/modules/$part.ko"; fi
    done <"/modules/$load_name.order"
}

# The cameras of this board: a webcam on video0; on video1 an HDMI input, which shows what is
# written to the output node video2.
webcam=/dev/video0
hdmi=/dev/video1
screen=/dev/video2
cameras() {
    [ -e /sys/module/vivid ] && return
    load vivid n_devs=2 node_types=0x1,0x101 num_inputs=1,1 input_types=0x0,0x3 \
        num_outputs=1,1 output_types=0x0,0x1 || fail "vivid cannot be loaded"
    soon 5 test -e "$screen" || fail "vivid made no $screen"
}

# control DEVICE NAME VALUE: a control of a virtual camera.
control() { "$camera_tool" set "$@"; }

# play NAME=PICTURE…: shows pictures on the HDMI input; `show NAME` changes to another.
play() {
    mkfifo stage
    control "$hdmi" "OSD Text Mode" 2
    control "$hdmi" "Loop Video" 1
    "$camera_tool" play "$screen" "$@" <stage >played 2>player.err &
    player=$!
    exec 8>stage
    wait_for 20 grep -q showing played
}
show() {
    kill -0 "$player" || fail "the player has ended"
    echo "$1" >&8
    wait_for 10 grep -q "showing $1" played
}

# memory_of PID: resident memory, KiB. files_of PID: how many files it has open.
memory_of() { awk '/^VmRSS:/ { print $2; found = 1 } END { exit !found }' "/proc/$1/status"; }
files_of() { ls "/proc/$1/fd" | wc -l; }

# tidy: after a case, nothing of it may remain. Says what does.
tidy() {
    for process in /proc/[0-9]*; do
        case $(readlink "$process/exe") in
            /suite/*) kill -9 "${process#/proc/}" && usleep 100000 ;;
        esac
    done
    # A program that was killed left its lines as they were.
    [ ! -d /mnt/log ] || "$atrous" safe -q -c /suite/lines.toml
    if [ -e /sys/module/vivid ] && ! soon 5 rmmod vivid; then
        echo "the camera's module is still in use"
        return 1
    fi
    if dmesg | grep -E 'Oops|BUG:|WARNING:|Internal error'; then
        dmesg -c >/dev/null
        return 1
    fi
    dmesg -c >/dev/null
}
