#!/bin/sh
# Counts the instructions and allocations of an IAMAT of a known client, with the traffic log on, by valgrind.
# They do not depend on other load on the machine, so CI can check a bound:
#
#     bench/instructions.sh [BOUND]      fails when a single IAMAT takes more than BOUND instructions
set -eu
cd "$(dirname "$0")"
bound=${1:-}
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --release --features instructions --bin instructions
program=$target/release/instructions

# The difference of the counts with N and with 2 N messages is the cost of N messages: all other costs are equal.
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

echo "instructions per IAMAT of a known client: $alone for one in a turn, $together for sixteen in a turn"
echo "allocations per IAMAT: $allocated"
if [ -n "$bound" ] && [ "$alone" -gt "$bound" ]; then
    echo "$alone instructions: expected at most $bound" >&2
    exit 1
fi
