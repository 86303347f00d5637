# First process of a host, inside its own network, process, name and mount namespaces. Ends with the host.
# usage: init.sh FOLDER ADDRESS/LENGTH NAME HOSTS_FILE SPARK_HOME|- PYTHON_PREFIX|- GATEWAY|-
set -eu
folder=$1 address=$2 name=$3 hosts=$4 spark=$5 python=$6 gateway=$7

# The folder is mounted first, and the hosts file with it: /tmp and /home are about to be covered.
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd /run/savanna
mount --bind "$folder" /run/savanna
mount --bind "$hosts" /etc/hosts
mount --bind /run/savanna/etc/passwd /etc/passwd
if [ "$spark" != - ]; then mkdir /run/spark; mount -o bind,ro "$spark" /run/spark; fi
if [ "$python" != - ]; then mkdir /run/python; mount -o bind,ro "$python" /run/python; fi
mount -t tmpfs -o mode=755 tmpfs /home
mkdir /home/savanna
mount --bind /run/savanna/home /home/savanna
mount --bind /run/savanna/tmp /tmp
hostname "$name"

# The link is put in by the maker of the host; if that one died, so does the host.
tries=0
until grep -q eth0: /proc/net/dev; do
    tries=$((tries + 1)); [ "$tries" -lt 1000 ] || exit 1
    sleep 0.01
done
ip -batch - <<LINK
link set lo up
addr add $address dev eth0
link set eth0 up
LINK
if [ "$gateway" != - ]; then ip route add default via "$gateway"; fi

/usr/sbin/sshd -D -e -f /run/savanna/etc/sshd_config 2>>/run/savanna/sshd.log &
until grep -q ':0016 00000000:0000 0A' /proc/net/tcp; do sleep 0.005; done
: >/run/savanna/up

# Orphans of the host become children of this process: wait reaps them.
while :; do wait; sleep 1; done
