# What the scheduler is asked for is what /proc shows of each thread; without rights the run goes on and says so.
# seconds: 60
printf '[realtime]\nrequired = true\n' >all.toml
# thread NAME: its folder in /proc.
thread() {
    for task in "/proc/$pid/task/"*; do
        [ "$(cat "$task/comm")" = "$1" ] && echo "$task" && return
    done
    fail "no thread is called $1"
}
# has NAME PRIORITY CORES: realtime priority (proc(5): field 40 of stat) and processors.
has() {
    task=$(thread "$1")
    set -- "$@" "$(sed 's/.*) //' "$task/stat" | cut -d' ' -f38)" "$(awk '/^Cpus_allowed_list/ { print $2 }' "$task/status")"
    [ "$2 $3" = "$4 $5" ] || fail "$1: priority $4 on processors $5, not $2 on $3"
}
locked() { awk '/^VmLck:/ { print $2 }' "/proc/$pid/status"; }

start run.json run 'synthetic://road?size=160x120&fps=5' json: -m "$quick" -c all.toml --dry-run-gpio
wait_for 30 more_results run.json 2
has trigger 40 0
has watchdog 41 0
has capture 39 0
has inference 0 1
has sink 0 0
[ "$(locked)" -gt 10000 ] || fail "locked: $(locked) KiB"
note "$(grep -o 'realtime: .*' run.json.err), $(locked) KiB"
finish TERM 0

# For a user without rights.
mkdir -p /etc
echo 'nobody:x:65534:65534::/tmp:/bin/sh' >/etc/passwd
refused() {
    start-stop-daemon -S -c nobody -x "$atrous" -- run 'synthetic://road?size=160x120&frames=2' null: -m truth "$@"
}
printf '[realtime]\n' >some.toml
refused -c some.toml 2>said || fail "exit code $?: $(cat said)"
grep -q 'refused: no realtime priority' said || fail "nothing is said of the priority: $(cat said)"
grep -q 'refused: memory not locked' said || fail "nothing is said of the memory: $(cat said)"
refused -c all.toml 2>said
[ $? = 5 ] || fail "insisting ends with another code than 5: $(cat said)"
note "$(tail -1 said)"
