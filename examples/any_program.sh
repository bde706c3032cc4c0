#!/bin/sh
# The output of any program, in a flight recorder that is never larger than it was made.
#
#   sh any_program.sh [COMMAND...]
#
# `rchan write` reads lines and stores each as a record. It never waits for a reader or a disk, so the
# program never does. The newest megabyte stays in memory, also when both were killed.
set -eu
[ $# -gt 0 ] || set -- seq 1 200000 # your program

rchan rm job 2>/dev/null || true # of a run before
"$@" 2>&1 | rchan write job --overwrite --size 1M

rchan snapshot --quiet job -o - | tail -n 3 # consumes nothing: look as often as you like
rchan stat job                              # what was written, and what had to make room
rchan rm job                                # the channel stays until then
