# The same binary on a Raspberry Pi 3: its board file, its chip by label, its temperature, a pin.
# machine: raspi3b
# seconds: 120
tr -d '\0' </proc/device-tree/model >model.txt
"$atrous" devices >devices.txt || fail "devices: exit code $?"
grep -q '^board *Raspberry Pi 3 (raspberry-pi-3)' devices.txt ||
    fail "$(cat model.txt) is taken for $(head -1 devices.txt)"
grep -q '^gpio *pinctrl-bcm2835 .*54 lines' devices.txt || fail "no pinctrl-bcm2835: $(grep gpio devices.txt)"
grep -q 'Cortex-A53' devices.txt || fail "which cores: $(grep cpu devices.txt)"

# What the kernel's own reading is, in thousandths of a degree.
sensor=$(cat /sys/class/thermal/thermal_zone0/temp) || fail "no thermal zone"
"$atrous" doctor -m "$model" >doctor.txt || fail "doctor: exit code $?: $(cat doctor.txt)"
degrees=$(awk -v sensor="$sensor" 'BEGIN { printf "%.0f", sensor / 1000 }')
grep -q "^ok *temperature .*\b$degrees" doctor.txt || fail "the sensor says $sensor: $(grep temperature doctor.txt)"

cat >rules.toml <<'T'
[[rule]]
name = "road"
classes = ["Road"]
on = 0.05
off = 0.01
max_age_ms = 20000
pin = "GPIO17"
T
"$atrous" run 'synthetic://road?size=160x120&fps=2' json: -m truth -c rules.toml -n 2 -q >run.log ||
    fail "run: exit code $?"
tail -1 run.log | grep -q '"active":true' || fail "the rule is not on: $(tail -1 run.log)"
mount -t debugfs debug /sys/kernel/debug
grep -q 'pinctrl-bcm2835' /sys/kernel/debug/gpio || fail "sysfs has another chip"
umount /sys/kernel/debug
note "$(cat model.txt), $degrees °C, GPIO17 driven"
