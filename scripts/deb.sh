#!/usr/bin/env bash
# Builds the Debian package of each program into target/debian.
set -euo pipefail

cd "$(dirname "$0")/.."
command -v cargo-deb >/dev/null || cargo install --locked cargo-deb
cargo build --release --locked -p tallyman-agent -p tallyman-aggregator --bins
for package in tallyman-agent tallyman-aggregator; do
  cargo deb --locked --no-build -p "$package"
done
