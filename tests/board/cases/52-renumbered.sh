# A camera that comes back under another number is found; the one that has its number now is left alone.
# seconds: 120
cameras
level() { [ "$(outside level 5)" = "$1" ]; }
device=/sys/bus/platform/drivers/vivid
start run.log run "$hdmi?size=1280x720&format=yuyv&timeout_ms=1000" json: -m "$quick" -c /suite/webcam.toml
wait_for 40 level 1
# While someone has the webcam open its number stays taken: all that come back move up by one.
exec 9<"$webcam"
echo vivid.0 >"$device/unbind"
free() { ! ls -l "/proc/$pid/fd" | grep -q /dev/video; }
wait_for 20 free
before=$(results run.log)
echo vivid.0 >"$device/bind"
name=$(cat /sys/class/video4linux/video1/name)
[ "$name" = vivid-000-vid-cap ] || fail "$hdmi is $name; the webcam was to have it"
wait_for 60 more_results run.log $((before + 3))
exec 9<&-
ls -l "/proc/$pid/fd" | grep -q /dev/video2 || fail "open is $(ls -l "/proc/$pid/fd" | grep /dev/video)"
[ "$(field run.log width)" = 1280 ] || fail "frames of $(field run.log width) pixels: that is the webcam"
[ "$(field run.log reopens)" -ge 1 ] || fail "no reopen is counted"
note "$(grep -oE 'video1.*video2.*' run.log.err | tail -1)"
finish TERM 0
level 0 || fail "the line is not safe after the end"
