# An obstacle enters, stays between the thresholds, leaves, flickers: the pin's edges, seen outside.
# seconds: 150
cameras
cat >rules.toml <<'T'
[[rule]]
name = "obstacle"
classes = ["Car", "Pedestrian", "Bicyclist"]
region = [[0.35, 0.55], [0.65, 0.55], [0.9, 1.0], [0.1, 1.0]]
on = 0.15
off = 0.03
dwell_ms = 3000
max_age_ms = 30000
pin = { chip = "9030000.pl061", line = 5 }
active = "high"
safe = "low"
T
level() { [ "$(outside level 5)" = "$1" ]; }
# edge LEVEL: one edge since the mark, to that level, no sooner than the dwell.
edge() {
    wait_for 40 level "$1"
    set -- "$1" $(outside edges 5)
    [ "$2" = 1 ] || fail "edges: $*"
    echo "${3%:*}" | awk '{ exit !($1 >= 3.0) }' || fail "after ${3%:*} s, and the dwell is 3 s"
    note "${scene:-} after ${3%:*} s"
}

play free=/suite/free.png between=/suite/between.png blocked=/suite/blocked.png
start log.json run "$hdmi?size=1280x720&format=yuyv" json: -m "$model" -c rules.toml -q
wait_for 40 more_results log.json 2
check the line is low on a free road -- level 0

scene=enters
outside mark
show blocked
edge 1

outside mark
before=$(results log.json)
show between
wait_for 60 more_results log.json $((before + 5))
check hysteresis holds the line -- level 1
[ "$(outside edges 5)" = 0 ] || fail "an edge between the thresholds: $(outside edges 5)"

scene=leaves
outside mark
show free
edge 0

outside mark
for rest in 700000 1100000 900000 600000 1300000 800000; do
    show blocked
    usleep "$rest"
    show free
    usleep 1000000
done
[ "$(outside edges 5)" = 0 ] || fail "a flicker shorter than the dwell moved the line: $(outside edges 5)"
note "$(results log.json) results"
finish TERM 0
check the line is low after the end -- level 0
