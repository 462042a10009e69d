# Sets a host's namespaces up, from within, and holds them. What is mounted here is seen here only.
set -e
id=$1 name=$2 directory=$3
shift 3
# As a machine's init has it: pods may ask for mounts that others make.
mount --make-rshared /
for mount in "$@"; do
  mount --bind "$mount/$id" "$mount"
done
hostname "$name"
mount -t tmpfs run /run
for place in etc opt var/lib var/log; do
  mkdir -p "$directory/changes/$place" "$directory/work/$place"
  layers="lowerdir=/$place,upperdir=$directory/changes/$place,workdir=$directory/work/$place"
  # Without `volatile`, the kernel writes out everything that this machine has not written yet, whoever changed it, before
  # the host ends. Its mark would keep a host that was turned off from starting again.
  rm -rf "$directory/work/$place/work/incompat"
  mount -t overlay overlay -o "$layers,volatile" "/$place"
done
# A link here may lead to /run, which is new.
resolv=$(readlink -m /etc/resolv.conf)
mkdir -p "${resolv%/*}"
[ -e "$resolv" ] || : > "$resolv"
mount --bind "$directory/resolv.conf" "$resolv"
# Each start of the host is a boot of its own, and each host a machine of its own.
mount --bind "$directory/boot_id" /proc/sys/kernel/random/boot_id
[ ! -e /etc/machine-id ] || mount --bind "$directory/machine-id" /etc/machine-id
ip link set lo up
echo ready
# Whoever is orphaned here is buried by the kernel.
exec env --ignore-signal=CHLD cat > /dev/null
