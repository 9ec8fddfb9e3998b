#!/bin/sh
# keepLog.sh COMPILER ... -o OBJECT ... : runs the compiler, keeps what it says in OBJECT.log, and shows all of it but ptxas's notes.
for argument; do
  [ "$previous" = -o ] && object=$argument
  previous=$argument
done
"$@" >"$object.log" 2>&1
status=$?
grep -v -e '^ptxas info' -e 'bytes stack frame' "$object.log" >&2
exit $status
