# Every fault that a camera can show, one by one and then in a random order, while the run goes on.
# seconds: 240
cameras
camera="$webcam?size=320x180&fps=10&timeout_ms=1000"
level() { [ "$(outside level 5)" = "$1" ]; }
device=/sys/bus/platform/drivers/vivid
max_age=6

# How far the host's clock is ahead of this one's, while the mark stands.
clock_of_host() {
    outside mark
    before=$(uptime)
    host=$(outside clock)
    after=$(uptime)
    ahead=$(awk "BEGIN { print $host - ($before + $after) / 2 }")
}

# recovers: results go on and the line is back.
recovers() {
    alive || fail "$fault: the run has ended: $(tail -3 run.log.err)"
    count=$(results run.log)
    wait_for 40 more_results run.log $((count + 2))
    wait_for 10 level 1
}

# outage: no frame until now; the line went safe in time.
outage() {
    wait_for 20 level 0
    last=$(field run.log captured_s)
    edge=$(outside edges 5 | awk '{ split($2, at, ":"); print at[1] }')
    waited=$(awk "BEGIN { print $edge - $ahead - $last }")
    awk "BEGIN { exit !($waited > $max_age - 0.3 && $waited < $max_age + 1.5) }" ||
        fail "$fault: safe $waited s after the last good frame, and max_age is $max_age s"
    note "$fault: safe after $waited s"
}

more_bad() { [ "$(field run.log bad)" -gt "$bad" ]; }

inject() {
    fault=$1
    clock_of_host
    case $fault in
        flagged)
            # The flag may hit a moment without a buffer, or the frame that a start drops.
            bad=$(field run.log bad)
            for shot in 1 2 3 4; do
                control "$webcam" "Inject V4L2_BUF_FLAG_ERROR" 1
                soon 4 more_bad && break
            done
            more_bad || fail "flagged frames are not counted as bad"
            ;;
        fatal) control "$webcam" "Inject Fatal Streaming Error" 1 ;;
        qbuf) control "$webcam" "Inject VIDIOC_QBUF Error" 1 ;;
        reqbufs)
            control "$webcam" "Inject VIDIOC_REQBUFS Error" 1
            control "$webcam" "Inject Fatal Streaming Error" 1
            ;;
        streamon)
            control "$webcam" "Inject VIDIOC_STREAMON Error" 1
            control "$webcam" "Inject Fatal Streaming Error" 1
            ;;
        disconnect) control "$webcam" "Disconnect" 1 ;;
        drops)
            control "$webcam" "Percentage of Dropped Buffers" 50
            sleep 3
            control "$webcam" "Percentage of Dropped Buffers" 0
            ;;
        stall)
            control "$webcam" "Percentage of Dropped Buffers" 100
            outage
            control "$webcam" "Percentage of Dropped Buffers" 0
            ;;
        unbind)
            echo vivid.0 >"$device/unbind"
            outage
            echo vivid.0 >"$device/bind"
            ;;
    esac
    recovers
}

# The counters tell the truth: what came in is what was used, replaced or dropped, and what is on its way.
sums() {
    line=$(tail -1 run.log)
    number() { echo "$line" | grep -oE "\"$1\":[0-9]+" | tail -1 | cut -d: -f2; }
    rest=$(($(number in) - $(number inferred) - $(number superseded) - $(number bad)))
    [ "$rest" -ge 0 ] && [ "$rest" -le 2 ] || fail "frames that are unaccounted for: $rest of $(number in)"
}

start run.log run "$camera" json: -m "$quick" -c /suite/webcam.toml
wait_for 40 level 1
wait_for 60 more_results run.log 10
files=$(files_of "$pid")
memory=$(memory_of "$pid") || fail "no VmRSS"
all="flagged fatal qbuf reqbufs streamon disconnect drops stall unbind"
for fault in $all; do inject "$fault"; done
note "one by one: restarts $(field run.log restarts), reopens $(field run.log reopens)"
order=$(outside shuffle $all)
note "then $order"
for fault in $order; do inject "$fault"; done
sums
[ "$(field run.log reopens)" -ge 4 ] || fail "four reopens are due: $(field run.log reopens)"
[ "$(field run.log driver_lost)" -ge 1 ] || fail "dropped frames are not counted as lost"
[ "$(files_of "$pid")" -le "$files" ] || fail "open files: $files, now $(files_of "$pid")"
later=$(memory_of "$pid")
[ $((later - memory)) -lt 2048 ] || fail "memory: $memory KiB, now $later KiB"
note "$(results run.log) results, $(field run.log bad) bad, $(field run.log driver_lost) lost, memory $memory then $later KiB"
finish TERM 0
level 0 || fail "the line is not safe after the end"
