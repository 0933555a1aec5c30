# Runs a PostgreSQL server for as long as whoever started this lives. Arguments: where the binaries are, a directory to be
# made, a port, and the words that put another user in place of root (none where we are not root).
#
# Standard input is the leash: it says `stop`, `start` and `crash`, each answered by a line, and when it ends (also because
# whoever held the other end was killed) the server goes, and its directory with it.
set -u
exec 2>&1
bin=$1 dir=$2 port=$3
shift 3

# A program that a shell starts beside itself ignores SIGQUIT until it has asked for it, so one early signal may be lost.
quit() {
    tries=0
    while [ $tries -lt 100 ] && kill -QUIT "$server" 2>/dev/null; do
        tries=$((tries + 1))
        sleep 0.05
    done
    kill -KILL "$server" 2>/dev/null
    wait "$server"
    server=
}

gone() {
    [ -z "${server:-}" ] || quit
    rm -rf "$dir"
}

start() {
    # As little memory, and as many connections, as several hosts in several tests at once need.
    "$@" "$bin/postgres" -D "$dir/data" -p "$port" -k "$dir" -c listen_addresses=127.0.0.1 -c max_connections=300 \
        -c shared_buffers=64MB >>"$dir/log" 2>&1 &
    server=$!
}

mkdir "$dir" || exit 1
trap gone EXIT
trap 'exit 1' INT TERM HUP
chmod 755 "$dir"
mkdir -m 700 "$dir/data"
[ $# = 0 ] || chown -R "$("$@" id -u)" "$dir"
# Nobody has a password: the server is to be reached from this machine alone, and holds nothing.
"$@" "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync --no-instructions \
    >"$dir/log" 2>&1 </dev/null || { sed "s/^/initdb: /" "$dir/log"; exit 1; }
start "$@"
echo started
while read -r order; do
    case $order in
    stop) kill -INT "$server" && wait "$server"; server= ;;
    crash) quit ;;
    start) start "$@" ;;
    esac
    echo "$order: done"
done
