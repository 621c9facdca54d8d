# A camera's controls are set from the config and the URI; what cannot be set is said, with what can.
cameras
camera="$webcam?size=320x180&fps=10"
now() { "$camera_tool" controls "$webcam" | grep "^$1: " | grep -oE 'Integer\(-?[0-9]+\)|Boolean\([a-z]+\)'; }
cat >config.toml <<'T'
[camera.controls]
brightness = 77
contrast = 11
T
"$atrous" run "$camera&ctrl.contrast=99" null: -m "$quick" -c config.toml -n 1 -q || fail "exit code $?"
[ "$(now Brightness)" = "Integer(77)" ] || fail "brightness is $(now Brightness)"
[ "$(now Contrast)" = "Integer(99)" ] || fail "the URI's contrast does not win: $(now Contrast)"

# refused OPTION WORD: exit code 2, and a message with the word.
refused() {
    "$atrous" run "$camera&$1" null: -m "$quick" -n 1 -q 2>error.err
    code=$?
    [ "$code" = 2 ] || fail "$1: exit code $code, $(cat error.err)"
    grep -q "$2" error.err || fail "$1: $(cat error.err)"
}
refused ctrl.brightnes=1 brightness
refused ctrl.brightness=256 255
refused ctrl.read_only_integer_32_bits=1 read
note "$(tail -1 error.err)"
