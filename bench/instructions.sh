#!/bin/sh
# Instructions and allocations for an IAMAT of a known client, traffic log on, counted by valgrind.
# They do not depend on what else the machine does, so a bound on them can stand in CI:
#
#     bench/instructions.sh [BOUND]      fails when one IAMAT alone takes more than BOUND instructions
set -eu
cd "$(dirname "$0")"
bound=${1:-}
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --release --features instructions --bin instructions
program=$target/release/instructions

# The counts with N and with 2 N messages; what is counted beside them is the same in both.
count=20000

instructions() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : *//p'
}

allocations() {
    valgrind --tool=memcheck --leak-check=no "$program" "$1" "$2" 2>&1 |
        sed -n 's/.*total heap usage: \([0-9,]*\) allocs.*/\1/p' | tr -d ,
}

each() {
    awk -v one="$2" -v two="$3" -v count="$count" -v form="$1" 'BEGIN { each = (two - one) / count; printf form, each < 0 ? 0 : each }'
}

one=$(instructions $count 1)
two=$(instructions $((2 * count)) 1)
alone=$(each '%.0f' "$one" "$two")
one=$(instructions $count 16)
two=$(instructions $((2 * count)) 16)
together=$(each '%.0f' "$one" "$two")
allocated=$(each '%.2f' "$(allocations $count 1)" "$(allocations $((2 * count)) 1)")

echo "instructions for an IAMAT of a known client: $alone alone in its turn, $together of sixteen together"
echo "allocations for it: $allocated"
if [ -n "$bound" ] && [ "$alone" -gt "$bound" ]; then
    echo "that is more than $bound instructions" >&2
    exit 1
fi
