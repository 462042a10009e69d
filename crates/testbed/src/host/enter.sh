# Enters a host's cgroups and new namespaces. Arguments: id, name, directory, mounts of cgroup hierarchies.
set -e
id=$1
for mount in "$@"; do
  case $mount in /sys/fs/cgroup*) echo $$ > "$mount/$id/cgroup.procs";; esac
done
exec unshare --net --mount --pid --uts --ipc --cgroup --fork --mount-proc sh -c "$SETUP" setup "$@"
