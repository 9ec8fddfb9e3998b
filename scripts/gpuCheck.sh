#!/usr/bin/env bash
# Runs everything that only a GPU can show: see gpuCheck.ts for the options. It needs bun on PATH or in node_modules, and CMake, a C++
# compiler and nvcc. With --prebuilt, or where this file lies in a pack (npm run gpu:pack), it needs python3 only, which unpacks the rest.
set -uo pipefail
started=$(($(date +%s%N) / 1000000))
from=$PWD
here=$(cd "$(dirname "$0")" && pwd)
root=$here/..
limit=540
prebuilt=""
[ -f "$here/castor.tar.xz" ] && prebuilt=$here
arguments=("$@")
for ((i = 0; i < $#; i++)); do
  [ "${arguments[i]}" = --prebuilt ] && prebuilt=${prebuilt:-$root/.gpu}
  [ "${arguments[i]}" = --limit ] && limit=${arguments[i + 1]:-540}
done

[[ $limit =~ ^[0-9]+$ ]] || { echo "castor: --limit is a number of seconds"; exit 1; }

if [ -n "$prebuilt" ]; then
  root=$(mktemp -d "${TMPDIR:-/tmp}/castor-gpu-XXXXXX") || exit 1
  trap 'rm -rf "$root"' EXIT
  # The two archives are unpacked at the same time.
  timeout 120 python3 - "$prebuilt" "$root" <<'END' || { echo "castor: $prebuilt cannot be unpacked; npm run gpu:pack makes it"; exit 1; }
import lzma, os, shutil, sys, tarfile, threading
pack, root = sys.argv[1:]
def bun():
    with lzma.open(os.path.join(pack, "bun.xz")) as packed, open(os.path.join(root, "bun"), "wb") as file:
        shutil.copyfileobj(packed, file, 1 << 20)
    os.chmod(os.path.join(root, "bun"), 0o755)
done = []
thread = threading.Thread(target=lambda: (bun(), done.append(True)))
thread.start()
with tarfile.open(os.path.join(pack, "castor.tar.xz")) as archive:
    archive.extractall(root)
thread.join()
sys.exit(0 if done else 1)
END
  export PATH=$root:$PATH
  arguments+=(--prebuilt)
fi
cd "$root" || exit 1
bun=$(command -v bun || echo node_modules/.bin/bun)
# The program ends by itself before the limit. This one holds even if it cannot.
timeout -k 3 "$((limit + 2))" "$bun" scripts/gpuCheck.ts --started "$started" --from "$from" "${arguments[@]}"
