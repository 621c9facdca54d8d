# However a run ends, the pin goes to its safe level: signals, a closed pipe, a full disk, SIGKILL.
# seconds: 120
cameras
camera="$webcam?size=320x180&fps=10"
level() { [ "$(outside level 5)" = "$1" ]; }
# live SINK…: a run whose line is high.
live() {
    outside mark
    start run.log run "$camera" "$@" -m "$quick" -c /suite/webcam.toml -q
    wait_for 40 level 1
}

for signal in TERM INT QUIT; do
    live null:
    finish "$signal" 0
    check SIG$signal leaves the line low -- level 0
    set -- $(outside edges 5)
    [ "$1" = 2 ] || fail "SIG$signal: edges $*"
done

# The reader of stdout goes away: a quiet end.
mkfifo pipe
head -n 1 pipe >first &
"$atrous" run "$camera" json: -m "$quick" -c /suite/webcam.toml -q >pipe 2>pipe.err &
pid=$!
ends 0 60
check a closed pipe leaves the line low -- level 0
[ ! -s pipe.err ] || fail "a closed pipe is no error: $(cat pipe.err)"

# A disk that fills up.
mkdir disk
mount -t tmpfs -o size=300k disk disk
live disk/out/ --visualize frame
ends 1 60
grep -qi "no space left" run.log.err || fail "what the disk lacks is not said: $(cat run.log.err)"
check a full disk leaves the line low -- level 0
[ -z "$(find disk -name '.*' -type f)" ] || fail "half a picture is left: $(find disk -name '.*')"
umount disk

# Nobody can act after SIGKILL: the kernel keeps the level, and the service manager calls `safe`.
live null:
kill -KILL "$pid"
wait "$pid"
note "after SIGKILL the kernel keeps level $(outside level 5)"
"$atrous" safe -c /suite/webcam.toml || fail "safe: exit code $?"
wait_for 2 level 0
