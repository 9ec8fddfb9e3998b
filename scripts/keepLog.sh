#!/bin/sh
# keepLog.sh COMPILER ... -o OBJECT ... : runs the compiler, stores its messages in OBJECT.log, and prints all of them but the notes of ptxas.
for argument; do
  [ "$previous" = -o ] && object=$argument
  previous=$argument
done
"$@" >"$object.log" 2>&1
status=$?
grep -v -e '^ptxas info' -e 'bytes stack frame' "$object.log" >&2
exit $status
