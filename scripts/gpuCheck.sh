#!/usr/bin/env bash
# Runs everything that only a GPU can show: see gpuCheck.ts for the options. It needs bun on PATH or in node_modules, and CMake, a C++
# compiler and nvcc. With --prebuilt, or where this file lies in a pack (npm run gpu:pack), it needs python3 only, which unpacks the rest.
# Where there is a pack in .gpu but no bun, its bun is used.
set -uo pipefail
started=$(($(date +%s%N) / 1000000))
from=$PWD
here=$(cd "$(dirname "$0")" && pwd)
root=$here/..
pack=$root/.gpu
limit=540
prebuilt=""
[ -f "$here/castor.tar.xz" ] && pack=$here prebuilt=yes
arguments=("$@")
for ((i = 0; i < $#; i++)); do
  [ "${arguments[i]}" = --prebuilt ] && prebuilt=yes
  [ "${arguments[i]}" = --limit ] && limit=${arguments[i + 1]:-540}
done
[[ $limit =~ ^[0-9]+$ ]] || { echo "castor: --limit is a number of seconds"; exit 1; }

# unpack FOLDER ARCHIVE...: unpacks bun.xz, castor.tar.xz, or both at the same time.
unpack() {
  timeout 120 python3 - "$pack" "$@" <<'END' || { echo "castor: $pack cannot be unpacked; npm run gpu:pack makes it"; exit 1; }
import lzma, os, shutil, sys, tarfile, threading
pack, folder, *archives = sys.argv[1:]
def unpack(name):
    path = os.path.join(pack, name)
    if name.endswith(".tar.xz"):
        with tarfile.open(path) as archive:
            archive.extractall(folder)
    else:
        target = os.path.join(folder, name.removesuffix(".xz"))
        with lzma.open(path) as packed, open(target, "wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
        os.chmod(target, 0o755)
    done.append(name)
done = []
threads = [threading.Thread(target=unpack, args=[name]) for name in archives]
for thread in threads: thread.start()
for thread in threads: thread.join()
sys.exit(0 if len(done) == len(archives) else 1)
END
}
# A folder that is removed at the end.
scratch() {
  work=$(mktemp -d "${TMPDIR:-/tmp}/castor-gpu-XXXXXX") || exit 1
  trap 'rm -rf "$work"' EXIT
  export PATH=$work:$PATH
}

if [ -n "$prebuilt" ]; then
  scratch
  unpack "$work" bun.xz castor.tar.xz
  root=$work
  arguments+=(--prebuilt)
elif ! command -v bun >/dev/null && [ ! -x "$root/node_modules/.bin/bun" ] && [ -f "$pack/bun.xz" ]; then
  scratch
  unpack "$work" bun.xz
fi
cd "$root" || exit 1
bun=$(command -v bun || echo node_modules/.bin/bun)
# The program ends by itself before the limit. This one holds even if it cannot.
timeout -k 3 "$((limit + 2))" "$bun" scripts/gpuCheck.ts --started "$started" --from "$from" "${arguments[@]}"
