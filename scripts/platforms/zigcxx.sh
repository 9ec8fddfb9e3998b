#!/bin/sh
# Zig's C++ compiler (clang) behind the arguments of g++: CASTOR_ZIG is the program zig, and the other arguments are those of a compiler.
# Zig writes names of processors with underscores. Its linker has no --exclude-libs, and needs none, because the version script hides the
# static libraries as well. Without an optimisation level, as in CMake's first questions to a compiler, Zig would compile its C++ library once
# more, for debuggers.
case " $* " in
  *" -O"*) ;;
  *) set -- -O3 "$@" ;;
esac
count=$#
while [ "$count" -gt 0 ]; do
  argument=$1
  shift
  count=$((count - 1))
  case $argument in
    -march=x86-64) argument=-march=x86_64 ;;
    -march=x86-64-v*) argument=-march=x86_64_v${argument#-march=x86-64-v} ;;
    -Wl,--exclude-libs,ALL) continue ;;
  esac
  set -- "$@" "$argument"
done
exec "$CASTOR_ZIG" c++ "$@"
