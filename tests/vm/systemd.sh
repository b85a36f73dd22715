# Functions for a guest script: a root folder with Debian's systemd as first process of its own process namespace,
# so that a unit runs there under exactly the restrictions that it names.
#   systemd_root              makes the root under /new from the files that lie in the machine
#   systemd_boot SECONDS_MAX  starts systemd with multi-user.target and waits for its end of start
#   inside COMMAND…           runs a command beside the units

systemd_root() {
  mkdir -p /new
  mount -t tmpfs new /new
  cp -a /bin /etc /lib64 /usr /new/
  [ ! -d /lib ] || cp -a /lib /new/
  for dir in boot dev home opt proc root run sys tmp var/lib; do mkdir -p "/new/$dir"; done
  ln -s /run /new/var/run
  mount -t devtmpfs dev /new/dev
  mount -t tmpfs run /new/run
  mount -t tmpfs tmp /new/tmp
  mount --rbind /sys /new/sys
  mount -t proc proc /new/proc
  chmod 1777 /new/tmp
  cat >>/new/etc/passwd <<PASSWD
tallyman-agent:x:990:990::/var/lib/tallyman-agent:/usr/sbin/nologin
tallyman-aggregator:x:991:991::/var/lib/tallyman-aggregator:/usr/sbin/nologin
tenant:x:1000:1000::/:/usr/sbin/nologin
PASSWD
  cat >>/new/etc/group <<GROUP
tallyman-agent:x:990:
tallyman-aggregator:x:991:
docker:x:992:
tenant:x:1000:
GROUP
  mkdir -p /new/etc/tallyman /new/etc/systemd/system/multi-user.target.wants
}

systemd_enable() {
  ln -s "/usr/lib/systemd/system/$1" "/new/etc/systemd/system/multi-user.target.wants/$1"
}

systemd_boot() {
  # Moved over the root, for in a mere chroot the kernel makes no user namespaces (PrivateUsers=).
  unshare -f -p -m sh -c "
    mount -t proc proc /new/proc && cd /new && mount --move . / &&
    exec env -i container=vm PATH=/bin:/usr/bin chroot . \
      /usr/lib/systemd/systemd --system --unit=multi-user.target --log-target=kmsg --show-status=no" &
  left=$1
  until inside /usr/bin/systemctl --quiet is-active multi-user.target 2>/dev/null; do
    if [ "$left" -eq 0 ]; then
      echo "systemd did not come up:"
      dmesg | grep systemd
      return 1
    fi
    left=$((left - 1))
    sleep 1
  done
}

inside() {
  # A child of systemd has its name until it has become another program; the first process is the oldest.
  nsenter -m -p -t "$(pidof systemd | tr ' ' '\n' | sort -n | head -n 1)" "$@"
}
