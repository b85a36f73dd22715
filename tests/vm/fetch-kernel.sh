#!/usr/bin/env bash
# Puts Debian's cloud kernel and the few modules the test machine needs into target/vm, once.
# Nothing is installed: the package is downloaded and unpacked beside the build.
set -euo pipefail

say() { printf 'vm: %s\n' "$*" >&2; }

root=$(cd "$(dirname "$0")/../.." && pwd)
out=$root/target/vm
modules=(virtio_ring virtio virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_blk dummy veth)

if [ -f "$out/complete" ]; then
  say "kernel $(cat "$out/complete") is there"
  exit 0
fi
if [ "$(dpkg --print-architecture)" != amd64 ]; then
  say "only amd64 machines boot the test machine; nothing fetched"
  exit 0
fi

work=$out/fetch
rm -rf "$work"
mkdir -p "$work"
cd "$work"
# The metapackage names today's kernel in its dependency.
image=$(apt-cache depends linux-image-cloud-amd64 2>/dev/null | awk '$1 == "Depends:" && $2 ~ /^linux-image-/ { print $2; exit }')
if [ -z "$image" ]; then
  say "no package list knows linux-image-cloud-amd64; run apt-get update"
  exit 1
fi
say "downloading $image"
apt-get -q download "$image" 2>&1 | grep -v 'unsandboxed as root' >&2
dpkg-deb -x ./"$image"_*.deb unpacked
version=${image#linux-image-}

mkdir -p "$out/modules"
cp "unpacked/boot/vmlinuz-$version" "$out/vmlinuz"
order=0
for module in "${modules[@]}"; do
  file=$(find "unpacked/lib/modules/$version/kernel" -name "$module.ko")
  if [ -z "$file" ]; then
    say "kernel $version has no module $module; taken as built in"
    continue
  fi
  order=$((order + 1))
  # The number keeps the order in which they must be loaded.
  cp "$file" "$out/modules/$(printf '%02d' $order)-$module.ko"
done
cd "$out"
rm -rf "$work"
printf '%s\n' "$version" >"$out/complete"
say "kernel $version and $order modules are in target/vm"
