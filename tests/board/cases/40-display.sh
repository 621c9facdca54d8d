# The display shows the overlay of what the camera sees; afterwards the console is back.
# seconds: 150
cameras
load virtio_gpu
soon 10 test -e /dev/dri/card0 || fail "no display appeared"
# Text, and no blinking cursor, on the console that the run will cover.
printf '\033[2J\033[H\033[?25lThe console of the virtual board.\n' >/dev/tty0
sleep 1
outside screendump before

# console WORDS…: what was there before is there again.
console() {
    sleep 1
    name=$(echo "$*" | tr ' ' '-')
    outside screendump "$name"
    facts=$(outside check same before "$name") || fail "$*: $facts"
}

play free=/suite/free.png
sleep 1
camera="$hdmi?size=1280x720&format=yuyv"
"$atrous" run -q "$camera" "$kept/camera/" -m "$model" -n 1 --visualize frame || fail "camera: exit code $?"
cat >rules.toml <<'T'
[[rule]]
name = "road ahead"
classes = ["Road"]
region = [[0.35, 0.55], [0.65, 0.55], [0.9, 1.0], [0.1, 1.0]]
on = 0.3
off = 0.2
max_age_ms = 20000
T
for signal in TERM INT; do
    start run.log run "$camera" display: json: -m "$model" -c rules.toml -q
    wait_for 40 more_results run.log 3
    sleep 1
    outside screendump "shown-$signal"
    shown=$(outside check overlay "shown-$signal") || fail "SIG$signal: $shown"
    finish "$signal" 0
    console "after SIG$signal"
done
note "$shown"

start run.log run "$camera" display: json: -m "$model" -q
wait_for 40 more_results run.log 3
kill -KILL "$pid"
wait "$pid"
console after SIGKILL

start run.log run 'synthetic://road?size=320x240&fps=4' display: json: -m 'truth?panic=8' -q
wait_for 40 more_results run.log 3
ends 1 30
console after a panic

# A screen that is named wrongly names those there are.
"$atrous" run 'synthetic://road' 'display:///dev/dri/card0?connector=HDMI-A-9' -m truth -q 2>error.err &&
    fail "a connector that is not there was opened"
grep -q Virtual-1 error.err || fail "which connectors there are is not said: $(cat error.err)"
