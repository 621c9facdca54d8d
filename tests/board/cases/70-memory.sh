# A long run with rules: memory and open files stay as they are.
# seconds: 90
cameras
start run.log run "$webcam?size=640x480&fps=15" json: -m "$quick" -c /suite/webcam.toml -q
# By then every box that circulates has been filled once.
wait_for 60 more_results run.log 20
files=$(files_of "$pid")
memory=$(memory_of "$pid") || fail "no VmRSS"
sleep 10
later=$(memory_of "$pid") || fail "the program is gone"
[ "$(files_of "$pid")" = "$files" ] || fail "open files: $files, then $(files_of "$pid")"
[ $((later - memory)) -lt 512 ] || fail "memory: $memory KiB, 10 s later $later KiB"
note "$memory KiB, 10 s later $later KiB, $files files"
finish TERM 0
