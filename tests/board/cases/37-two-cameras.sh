# Two cameras in one process, one model between them: each moves its own pin, and one that falls silent takes only its own along.
# seconds: 120
cameras
# pipeline NAME SOURCE LINE: its table, with a rule that is on while there are results.
pipeline() {
    cat <<T
[[pipeline]]
name = "$1"
source = "$2"
[[pipeline.rule]]
name = "$1"
classes = ["Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist"]
on = 0.5
off = 0.4
max_age_ms = 6000
pin = { chip = "9030000.pl061", line = $3 }
safe = "low"
T
}
{
    printf 'model = "%s"\nsinks = ["json:"]\n' "$quick"
    pipeline rear "$webcam?timeout_ms=1000" 5
    pipeline front "$hdmi?size=1280x720&format=yuyv&timeout_ms=1000" 7
} >two.toml
rear() { [ "$(outside level 5)" = "$1" ]; }
front() { [ "$(outside level 7)" = "$1" ]; }
# so_many NAME: results of that camera.
so_many() { grep -c "\"pipeline\":\"$1\",\"index\":" run.log; }
more_of() { [ "$(so_many "$1")" -ge "$2" ]; }

start run.log run -c two.toml
wait_for 40 rear 1
wait_for 40 front 1
wait_for 60 more_of rear 10
# They take turns at the model; a start apart and the cameras' own rates are all that may part them.
apart=$(($(so_many rear) - $(so_many front)))
[ "${apart#-}" -le 3 ] || fail "results: rear $(so_many rear), front $(so_many front)"
note "results: rear $(so_many rear), front $(so_many front)"

control "$hdmi" "Percentage of Dropped Buffers" 100
wait_for 20 front 0
before=$(so_many rear)
wait_for 30 more_of rear $((before + 5))
check the rear camera goes on -- rear 1
control "$hdmi" "Percentage of Dropped Buffers" 0
wait_for 40 front 1
check the rear camera was not disturbed -- rear 1
finish TERM 0
rear 0 && front 0 || fail "a line is not safe after the end"
