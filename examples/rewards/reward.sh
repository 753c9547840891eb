#!/bin/sh
# A reward in shell: the same as reward.py. For programs that take a file or an argument and print a
# number, put them where `pairs` is called.

# 1, and 1 for each letter that would pair with its opposite if the word were folded in half.
pairs() {
    left=$1
    value=1
    while [ ${#left} -ge 2 ]; do
        rest=${left#?}
        case "${left%"$rest"}${rest#"${rest%?}"}" in
            AT | TA | CG | GC) value=$((value + 1)) ;;
        esac
        left=${rest%?}
    done
    echo "$value"
}

echo "ready to measure" >&2
while IFS= read -r request; do
    id=${request#*\"id\":}
    objects=${request#*\"objects\":[}
    rewards=
    # The actor writes no spaces, and words have none.
    for word in $(echo "${objects%%]*}" | tr -d '"' | tr ',' ' '); do
        rewards="$rewards,$(pairs "$word")"
    done
    echo "{\"id\":${id%%,*},\"rewards\":[${rewards#,}]}"
done
