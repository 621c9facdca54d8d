# An engine that panics, fails or hangs in mid-run: the pin goes safe, the run ends with its code.
cat >rules.toml <<'T'
watchdog_ms = 4000
[[rule]]
name = "road"
classes = ["Road"]
on = 0.05
off = 0.01
max_age_ms = 2000
pin = { chip = "9030000.pl061", line = 5 }
safe = "low"
T
level() { [ "$(outside level 5)" = "$1" ]; }
for fault in panic error hang; do
    outside mark
    start run.log run 'synthetic://road?size=160x120&fps=5' json: -m "truth?$fault=15" -c rules.toml
    wait_for 30 level 1
    ends 1 30
    check after "$fault" the line is low -- level 0
    set -- $(outside edges 5)
    [ "$1" = 2 ] || fail "$fault: edges $*"
    last=$(tail -1 run.log.err)
    [ -n "$last" ] || fail "$fault: nothing is said"
    note "$fault: $last"
done
