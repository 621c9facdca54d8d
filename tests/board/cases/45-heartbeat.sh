# The heartbeat toggles with fresh results and stops without; SIGHUP exchanges rules and nothing else.
# seconds: 120
cameras
cat >rules.toml <<'T'
[heartbeat]
pin = { chip = "9030000.pl061", line = 6 }
max_rate = 2
max_age_ms = 6000
T
sed 1d /suite/webcam.toml >rule
cat rule >>rules.toml
high() { [ "$(outside level "$1")" = 1 ]; }
low() { [ "$(outside level "$1")" = 0 ]; }
beats() { set -- $(outside edges 6) && echo "$1"; }
beating() { [ "$(beats)" -ge 4 ]; }
start run.log run "$webcam?size=320x180&fps=10&timeout_ms=1000" json: -m "$quick" -c rules.toml
wait_for 40 high 5
outside mark
wait_for 40 beating
set -- $(outside edges 6)
shift
echo "$*" | tr ' ' '\n' | awk -F: '{ if (NR > 1 && $1 - at < 0.35) fast = 1; at = $1 } END { exit fast }' ||
    fail "faster than two edges a second: $*"

control "$webcam" "Percentage of Dropped Buffers" 100
wait_for 20 low 5
outside mark
sleep 3
[ "$(beats)" = 0 ] || fail "$(beats) beats without a result"
control "$webcam" "Percentage of Dropped Buffers" 0
wait_for 20 high 5

# Rules that cannot work change nothing.
sed 's/"Road"/"Rode"/' rule >broken
cp rules.toml saved
cat broken >>rules.toml
outside mark
kill -HUP "$pid"
wait_for 10 grep -q Rode run.log.err
high 5 || fail "broken rules moved the line"
# Another rule on another line; this one's goes safe.
{ head -4 saved; sed 's/line = 5/line = 7/; s/"results"/"other"/' rule; } >rules.toml
kill -HUP "$pid"
wait_for 20 high 7
wait_for 5 low 5
alive || fail "SIGHUP ended the run"
set -- $(outside edges 5)
[ "$1" = 1 ] || fail "edges of the old line: $*"
note "$(grep -o 'rules reloaded.*' run.log.err | tail -1)"
finish TERM 0
low 7 || fail "the line is not safe after the end"
