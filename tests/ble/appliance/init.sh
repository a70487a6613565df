#!/usr/bin/busybox sh
# The guest's first process: mounts, modules, network, bus, bluetoothd; then it does what it is told.
#
# Ports of the host: "command" takes lines "NUMBER COMMAND…" and gives lines " OUTPUT" and
# "=NUMBER EXIT_CODE"; "log" takes what the programs say; "trace" takes what btmon records; the
# first virtual console is the wire to the Bluetooth controller.
PATH=/usr/bin:/usr/sbin
export PATH
/usr/bin/busybox --install -s /usr/bin

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
# For what the kernel asks for itself, such as a cipher by its name.
echo /usr/bin/modprobe >/proc/sys/kernel/modprobe
while read -r module; do insmod "/usr/lib/modules/$module"; done </usr/lib/modules/loaded

port() {
    for name in /sys/class/virtio-ports/*/name; do
        [ "$(cat "$name")" != "$1" ] || basename "$(dirname "$name")"
    done
}
exec 3<>"/dev/$(port command)" 4>"/dev/$(port log)"
trace=/dev/$(port trace)

ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0

mkdir -p /run/dbus /run/lock
dbus-uuidgen --ensure
dbus-daemon --system --nofork --nopidfile >&4 2>&4 &
until [ -S /run/dbus/system_bus_socket ]; do usleep 20000; done

is_up() { [ -d "/proc/$(cat "/run/$1.pid" 2>/dev/null)/fd" ]; }

# What runs in the background notes its process in /run/NAME.pid; "end" waits until it is gone.
begin() {
    name=$1
    shift
    ! is_up "$name" || return 0
    "$@" >&4 2>&4 3<&- &
    echo $! >"/run/$name.pid"
}

end() {
    is_up "$1" || return 0
    process=$(cat "/run/$1.pid")
    kill "-$2" "$process"
    tries=0
    # A process that an oops caught in the kernel stays for ever: say so instead of waiting for it.
    while is_up "$1" && [ $((tries += 1)) -le 250 ]; do usleep 20000; done
    ! is_up "$1"
}

# What nobody ended is begun again, as systemd does with Restart=on-failure.
keep_bluetoothd() {
    while sleep 1; do
        [ -e /run/bluetoothd.wanted ] && ! grep -qs '^State:[^Z]*$' "/proc/$(cat /run/bluetoothd.pid)/status" || continue
        echo "init: bluetoothd ended by itself and is begun again" >&4
        rm -f /run/bluetoothd.pid
        bluetoothd start
    done
}

bluetoothd() {
    case $1 in
    start)
        begin bluetoothd /usr/libexec/bluetooth/bluetoothd --nodetach ${BLUETOOTHD_OPTIONS:-}
        [ ! -e /run/bluetoothd.kept ] || touch /run/bluetoothd.wanted
        ;;
    keep)
        touch /run/bluetoothd.kept /run/bluetoothd.wanted
        begin keeper keep_bluetoothd
        ;;
    stop) rm -f /run/bluetoothd.wanted && end bluetoothd TERM ;;
    kill) rm -f /run/bluetoothd.wanted && end bluetoothd KILL ;;
    restart) bluetoothd stop && bluetoothd start ;;
    pause) kill -STOP "$(cat /run/bluetoothd.pid)" ;;
    continue) kill -CONT "$(cat /run/bluetoothd.pid)" ;;
    up) is_up bluetoothd ;;
    esac
}

btattach() {
    case $1 in
    start) begin btattach /usr/bin/btattach --bredr /dev/hvc0 --protocol h4 ;;
    stop) end btattach TERM ;;
    esac
}

btmon() {
    case $1 in
    on) begin btmon /usr/bin/btmon --write "$trace" ;;
    off) end btmon TERM ;;
    esac
}

# The way to the bus from outside; without it every connection from there is broken.
bus() {
    case $1 in
    start)
        begin bus socat TCP-LISTEN:5555,fork,reuseaddr,nodelay UNIX-CONNECT:/run/dbus/system_bus_socket
        # 5555 in the kernel's own way of writing it, listening (0A).
        until grep -q ':15B3 [0-9A-F:]* 0A' /proc/net/tcp /proc/net/tcp6; do usleep 20000; done
        ;;
    stop)
        # The one that listens and, for each connection, one more.
        killall -q socat
        end bus TERM
        ;;
    esac
}

# shellcheck disable=SC2086  # words are meant
obey() {
    case $1 in
    bluetoothd | btattach | btmon | bus) "$@" ;;
    power) poweroff -f ;;
    run) shift && eval "$@" ;;
    *) echo "unknown command: $*" && return 64 ;;
    esac
}

bluetoothd start
bus start
echo "=0 0" >&3
while read -r number words <&3; do
    # Not in a pipe: what is begun belongs to this shell, which reaps it.
    # shellcheck disable=SC2086  # words are meant
    obey $words >/run/said 2>&1 </dev/null
    code=$?
    sed 's/^/ /' /run/said >&3
    echo "=$number $code" >&3
done
poweroff -f
