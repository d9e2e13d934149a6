#!/bin/busybox sh
# The guest's first process: the host's files read-only under a layer of memory, the cards by their names, then the job.
#
# The folder /out is the host's and writable: it holds `job`, a shell script, and `environment`; `started` appears there when
# the job begins, and `status`, its exit status, at its end. The kernel writes to the serial line, the job to the virtio console.

export PATH=/bin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
say() { echo "millrace-vm: $*"; }
fail() { say "$*"; poweroff -f; }

while read -r module; do insmod "/modules/$module" || say "insmod $module failed"; done < /modules/order

options=trans=virtio,version=9p2000.L,msize=1048576
# Nobody changes the host's files during a run: loose caching spares a question to the host for each look at a file.
mount -t 9p -o "$options,cache=loose,ro" host /host || fail "the host's files cannot be reached"
mount -t 9p -o "$options,cache=none" out /out || fail "the folder for results cannot be reached"
mount -t tmpfs -o size=75% layer /rw
mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work root /root || fail "no overlay"

set -a
. /out/environment
set +a

for each in proc sys dev; do mount --move "/$each" "/root/$each"; done
mount -t bpf bpf /root/sys/fs/bpf
mkdir -p /root/dev/pts /root/dev/shm
mount -t devpts -o ptmxmode=666 devpts /root/dev/pts
mount -t tmpfs -o mode=1777 shm /root/dev/shm
mount -t tmpfs -o mode=1777 tmp /root/tmp
mount -t tmpfs run /root/run
mkdir -p /root/run/millrace-vm
mount --move /out /root/run/millrace-vm
mkdir -p "/root/lib/modules/$(uname -r)"
mount -o bind "/host$MILLRACE_MODULES" "/root/lib/modules/$(uname -r)"

# What the kernel starts to load a module it starts here, where neither modprobe nor the modules are.
printf '#!/bin/busybox sh\nexec /bin/busybox chroot /root modprobe "$@"\n' > /bin/load-module
chmod +x /bin/load-module
echo /bin/load-module > /root/proc/sys/kernel/modprobe

hostname millrace-vm
ip link set lo up
for module in virtio_net igb veth; do chroot /root modprobe -q "$module" || say "modprobe $module failed"; done
for card in $(echo "$MILLRACE_CARDS" | tr , ' '); do
  for device in /root/sys/class/net/*; do
    [ "$(cat "$device/address" 2>/dev/null)" = "${card#*=}" ] && ip link set "${device##*/}" name "${card%%=*}"
  done
done

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/root
# A session and a terminal of its own, so that a shell has job control.
chroot /root /bin/sh -c '
  cd "$MILLRACE_CHECKOUT"
  : > /run/millrace-vm/started
  setsid -c sh /run/millrace-vm/job <>/dev/hvc0 >&0 2>&1
  echo $? > /run/millrace-vm/status
  sync'
/bin/busybox poweroff -f
