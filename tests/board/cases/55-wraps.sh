# Sequence numbers and time stamps that start anew in mid-run lose nothing and make nothing older.
cameras
camera="$webcam?size=320x180&fps=60"
# came COUNT: whether so many frames have come in.
came() { [ "$(field run.log in)" -ge "$1" ]; }
for wrap in "Wrap Sequence Number" "Wrap Timestamp"; do
    control "$webcam" "$wrap" 1
    start run.log run "$camera" json: -m "$quick" -q
    # The counter is set 128 before its end when the stream starts.
    wait_for 50 came 200
    finish TERM 0
    lost=$(field run.log driver_lost)
    frames=$(field run.log in)
    [ "$lost" -lt 2000 ] || fail "$wrap: $lost lost of $frames"
    grep -oE '"age_ms":-?[0-9.]+' run.log | awk -F: '$2 < 0 || $2 > 20000 { bad = 1 } END { exit bad }' ||
        fail "$wrap: ages $(grep -oE '"age_ms":-?[0-9.]+' run.log | tail -3)"
    note "$wrap: $frames in, $lost lost"
    control "$webcam" "$wrap" 0
done
