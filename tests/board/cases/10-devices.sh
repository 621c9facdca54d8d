# `devices` and `doctor` tell of camera, display, pins and CPU what sysfs tells.
cameras
load virtio_gpu
soon 5 test -e /sys/class/drm/card0 || fail "no display appeared"
mount -t debugfs debug /sys/kernel/debug
"$atrous" devices --json >"$kept/devices.json" || fail "devices: exit code $?"
"$atrous" devices >"$kept/devices.txt" || fail "devices in words: exit code $?"
"$atrous" doctor --json -m "$model" >"$kept/doctor.json" || fail "doctor: exit code $?"

# The same facts, read without atrous.
{
    for node in /sys/class/video4linux/video*; do
        echo "video $(basename "$node") $(cat "$node/index") $(cat "$node/name")"
    done
    for head in /sys/class/drm/card*-*; do
        echo "head $(basename "$head") $(cat "$head/status") $(head -1 "$head/modes")"
    done
    grep -oE '^gpiochip[0-9]+: GPIOs [0-9]+-[0-9]+, parent: [^,]*, [^:]*' /sys/kernel/debug/gpio
    echo "cpus $(ls -d /sys/devices/system/cpu/cpu[0-9]* | wc -l)"
    sed -n 's/^CPU part\t: /part /p' /proc/cpuinfo | sort -u
    sed -n 's/^Features\t: /features /p' /proc/cpuinfo | sort -u
    sed -n 's/^MemTotal: *\([0-9]*\) kB/memory \1/p' /proc/meminfo
} >"$kept/facts.txt"
umount /sys/kernel/debug
facts=$(outside check same_facts) || fail "devices and sysfs differ: $facts"
note "$facts"
