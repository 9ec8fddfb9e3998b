#!/usr/bin/env bash
# Runs everything that only a GPU can show: see gpuCheck.ts. Needs bun on PATH (or in node_modules), CMake, a C++ compiler and nvcc.
cd "$(dirname "$0")/.."
bun=$(command -v bun || echo node_modules/.bin/bun)
exec "$bun" scripts/gpuCheck.ts "$@"
