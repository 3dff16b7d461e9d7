#!/usr/bin/env bash
# Prove `make demo` and `make test` on a machine that has only git, make and python3: a fresh Debian root in a chroot.
# Needs root, debootstrap and unshare; `make test-bare` calls it. It tests the last commit, not the working tree.
#
# Through the environment:
#   SUITE    Debian release (bookworm)
#   MIRROR   Debian mirror (http://deb.debian.org/debian)
#   TARGETS  make targets, in this order (demo test)
#   ROOT     folder of the root (a new one in /var/tmp, removed afterwards); one that exists is used as it is, and kept
#   CARRY    files of this machine to copy to the same place in the root, e.g. /etc/pip.conf or a CA bundle
#   PASS     names of environment variables to pass on, e.g. PIP_INDEX_URL http_proxy
set -euo pipefail

SUITE=${SUITE:-bookworm}
MIRROR=${MIRROR:-http://deb.debian.org/debian}
TARGETS=${TARGETS:-demo test}
checkout=$(cd "$(dirname "$0")/.." && pwd)

if [[ -n ${ROOT:-} ]]; then
  root=$ROOT
else
  root=$(mktemp -d /var/tmp/ivbridge-bare.XXXXXX)
  trap 'rm -rf --one-file-system "$root"' EXIT
fi
if [[ ! -x $root/usr/bin/make ]]; then
  echo "bare root: debootstrap $SUITE into $root"
  debootstrap --variant=minbase --include=git,make,python3,ca-certificates "$SUITE" "$root" "$MIRROR" >"$root.log"
  rm -f "$root.log"
fi
for file in /etc/resolv.conf /etc/hosts ${CARRY:-}; do
  mkdir -p "$root$(dirname "$file")"
  cp -rL --remove-destination "$file" "$root$file"
done
rm -rf "$root/root/ivbridge"
git clone --quiet --no-local "$checkout" "$root/root/ivbridge"
clean=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb)
for name in ${PASS:-}; do clean+=("$name=${!name}"); done

# The mounts live in a namespace of their own and vanish with it, whatever happens inside.
inside='set -e; mount -t proc proc "$0/proc"; mount --rbind /sys "$0/sys"; mount --rbind /dev "$0/dev"
exec chroot "$0" env -i "${@:2}" bash -c "cd /root/ivbridge && $1"'
for target in $TARGETS; do
  echo "bare root: make $target"
  start=$SECONDS
  unshare --mount --pid --fork bash -c "$inside" "$root" "make $target" "${clean[@]}"
  echo "bare root: make $target took $((SECONDS - start)) s; the root holds $(du -xsh "$root" | cut -f1)"
done
