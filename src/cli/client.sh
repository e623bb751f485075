#!/bin/sh
# Points this desktop's apt at a Lumbung server, or takes it back.
#
# mirror: apt's sources that name a repository which the server keeps are rewritten to the server;
#         every other source is left alone. The original of each changed file is kept.
# proxy:  the sources stay; apt asks for http sources through the server, and for https ones directly.
#
# Needs a POSIX shell and awk, which every Debian and Ubuntu has. Running it twice changes nothing more.

set -eu

SERVER='@SERVER@'
MODE='@MODE@'
# What the server keeps, one place a line: name, host (or *.host), port (- for the scheme's own), path.
RULES='@RULES@'

ROOT=''
DRY_RUN=''
UNDO=''

say() { printf '%s\n' "$*"; }
complain() { printf 'lumbung client: %s\n' "$*" >&2; }

usage() {
    cat <<EOF
Usage: sh client.sh [--mode mirror|proxy] [--server URL] [--dry-run | --undo] [--root DIR]

  --mode mirror   rewrite apt's sources to the server
  --mode proxy    leave the sources, set the server as apt's proxy
  --server URL    the server, when it is not $SERVER
  --dry-run       say what would change, change nothing
  --undo          put back what an earlier run changed
  --root DIR      work on the system below DIR instead of the running one

Now: --mode $MODE --server $SERVER
EOF
}

wrong_usage() {
    complain "$1; --help shows what is possible"
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --mode | --server | --root)
        [ $# -ge 2 ] || wrong_usage "$1 needs a value"
        case $1 in
        --mode) MODE=$2 ;;
        --server) SERVER=$2 ;;
        --root) ROOT=$2 ;;
        esac
        shift
        ;;
    --mode=*) MODE=${1#*=} ;;
    --server=*) SERVER=${1#*=} ;;
    --root=*) ROOT=${1#*=} ;;
    --dry-run) DRY_RUN=yes ;;
    --undo) UNDO=yes ;;
    --help | -h)
        usage
        exit 0
        ;;
    *) wrong_usage "unknown argument: $1" ;;
    esac
    shift
done

SERVER=${SERVER%/}
ROOT=${ROOT%/}
case $MODE in mirror | proxy) ;; *) wrong_usage "--mode is mirror or proxy, not $MODE" ;; esac
case $SERVER in
http://?* | https://?*) ;;
*) wrong_usage "--server begins with http:// or https://, unlike $SERVER" ;;
esac
case $SERVER in
*[!A-Za-z0-9.:/_%~[\]-]*) wrong_usage "--server has a character that no address has" ;;
esac
if [ -n "$DRY_RUN" ] && [ -n "$UNDO" ]; then wrong_usage "--dry-run and --undo exclude each other"; fi

APT=$ROOT/etc/apt
STATE=$ROOT/var/lib/lumbung-client
PROXY_FILE=$APT/apt.conf.d/30lumbung
MARK='// Written by the Lumbung client script; its --undo removes this file.'

if [ ! -d "$APT" ]; then
    complain "there is no $APT: this is for systems that use apt"
    exit 1
fi
if [ -z "$DRY_RUN" ] && [ ! -w "$APT" ]; then
    complain "$APT cannot be changed by this user; run it with sudo, or look first with --dry-run"
    exit 1
fi

NEW=''
trap 'if [ -n "$NEW" ]; then rm -f "$NEW"; fi' EXIT
trap 'exit 1' HUP INT TERM

# Prints the sources file $1 with the places that the server keeps replaced.
rewritten() {
    case $1 in *.sources) form=deb822 ;; *) form=lines ;; esac
    LUMBUNG_SERVER=$SERVER LUMBUNG_RULES=$RULES LUMBUNG_FORM=$form awk '
        BEGIN {
            server = ENVIRON["LUMBUNG_SERVER"]
            form = ENVIRON["LUMBUNG_FORM"]
            count = split(ENVIRON["LUMBUNG_RULES"], lines, "\n")
            rules = 0
            for (i = 1; i <= count; i++) {
                if (split(lines[i], part, " ") != 4) continue
                rules++
                name[rules] = part[1]; host[rules] = part[2]; port[rules] = part[3]
                path[rules] = part[4] == "/" ? "" : part[4]
            }
        }

        # The address on the server that stands for uri; uri itself when there is none. The longest
        # path that fits decides.
        function replaced(uri,    rest, slash, where, at, uport, best, i, tail, suffix, fits) {
            if (uri ~ /^http:\/\//) { rest = substr(uri, 8); uport = 80 }
            else if (uri ~ /^https:\/\//) { rest = substr(uri, 9); uport = 443 }
            else return uri
            slash = index(rest, "/")
            if (slash == 0) { where = rest; rest = "" }
            else { where = substr(rest, 1, slash - 1); rest = substr(rest, slash) }
            if (index(where, "@") || rest ~ /[?#]/) return uri
            at = "-"
            if (match(where, /:[0-9]+$/)) {
                at = substr(where, RSTART + 1) + 0
                where = substr(where, 1, RSTART - 1)
                if (at == uport) at = "-"
            }
            where = tolower(where)
            sub(/\.$/, "", where)
            gsub(/\/+/, "/", rest)
            best = 0
            for (i = 1; i <= rules; i++) {
                if (port[i] != at) continue
                if (substr(host[i], 1, 2) == "*.") {
                    suffix = substr(host[i], 2)
                    fits = length(where) > length(suffix) &&
                        substr(where, length(where) - length(suffix) + 1) == suffix
                } else fits = where == host[i]
                if (!fits) continue
                tail = substr(rest, 1, length(path[i]))
                if (tail != path[i]) continue
                tail = substr(rest, length(path[i]) + 1, 1)
                if (tail != "" && tail != "/") continue
                if (!best || length(path[i]) > length(path[best])) best = i
            }
            if (!best) return uri
            return server "/" name[best] substr(rest, length(path[best]) + 1)
        }

        # text with each of its words replaced, and the space between them as it was.
        # (match sets RSTART and RLENGTH for all functions: they are read before the next one is called.)
        function words(text,    out, word) {
            out = ""
            while (match(text, /[^ \t\r]+/)) {
                out = out substr(text, 1, RSTART - 1)
                word = substr(text, RSTART, RLENGTH)
                text = substr(text, RSTART + RLENGTH)
                out = out replaced(word)
            }
            return out text
        }

        form == "deb822" {
            if ($0 ~ /^#/) { print; next }
            if ($0 !~ /^[ \t]/) uris = tolower($0) ~ /^uris[ \t]*:/
            if (!uris) { print; next }
            if ($0 ~ /^[ \t]/) { print words($0); next }
            colon = index($0, ":")
            print substr($0, 1, colon) words(substr($0, colon + 1))
            next
        }

        # deb [options] uri suite components
        $0 ~ /^[ \t]*deb(-src)?[ \t]/ && match($0, /^[ \t]*deb(-src)?[ \t]+(\[[^]]*\][ \t]*)?/) {
            head = substr($0, 1, RLENGTH)
            rest = substr($0, RLENGTH + 1)
            tail = ""
            if (match(rest, /^[^ \t]+/)) {
                tail = substr(rest, RLENGTH + 1)
                rest = replaced(substr(rest, 1, RLENGTH))
            }
            print head rest tail
            next
        }
        { print }
    ' "$1"
}

show_difference() {
    if command -v diff >/dev/null 2>&1; then
        diff -u "$1" "$2" || :
    else
        say "--- $1, as it would be:"
        cat "$2"
    fi
}

# Copies $1 to $2 with its folder, owner and mode.
keep() {
    mkdir -p "$(dirname "$2")"
    cp -p "$1" "$2"
}

mirror() {
    changed=0
    NEW=$(mktemp)
    for file in "$APT/sources.list" "$APT"/sources.list.d/*.list "$APT"/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        rewritten "$file" >"$NEW"
        if cmp -s "$file" "$NEW"; then continue; fi
        if [ -L "$file" ]; then
            complain "$file is a link and was left alone; change the file that it names"
            continue
        fi
        changed=$((changed + 1))
        if [ -n "$DRY_RUN" ]; then
            show_difference "$file" "$NEW"
            continue
        fi
        name=${file#"$APT/"}
        if [ ! -e "$STATE/original/$name" ]; then
            keep "$file" "$STATE/original/$name"
        elif ! cmp -s "$file" "$STATE/written/$name"; then
            # Somebody changed it since: going back to the original would lose that.
            keep "$file" "$STATE/edited/$name"
        fi
        # In place of the file in one step, with its owner and mode.
        cp -p "$file" "$file.lumbung-new"
        cat "$NEW" >"$file.lumbung-new"
        keep "$file.lumbung-new" "$STATE/written/$name"
        mv "$file.lumbung-new" "$file"
        say "rewritten: $file"
    done
    if [ "$changed" -eq 0 ]; then
        if [ -d "$STATE/original" ]; then
            say "Nothing to change: this desktop uses $SERVER already."
        else
            say "Nothing to change: no source here names a repository that $SERVER keeps."
        fi
    elif [ -z "$DRY_RUN" ]; then
        say "The originals are below $STATE/original. Next: apt update"
    fi
}

proxy() {
    NEW=$(mktemp)
    printf '%s\n' "$MARK" "Acquire::http::Proxy \"$SERVER\";" 'Acquire::https::Proxy "DIRECT";' >"$NEW"
    if [ -e "$PROXY_FILE" ] && cmp -s "$PROXY_FILE" "$NEW"; then
        say "Nothing to change: apt uses $SERVER as its proxy already."
        return
    fi
    if [ -e "$PROXY_FILE" ] && ! ours; then
        complain "$PROXY_FILE exists and is not from this script; move it away first"
        exit 1
    fi
    if [ -n "$DRY_RUN" ]; then
        say "would write $PROXY_FILE:"
        cat "$NEW"
        return
    fi
    mkdir -p "$APT/apt.conf.d"
    chmod 644 "$NEW"
    cp "$NEW" "$PROXY_FILE"
    chmod 644 "$PROXY_FILE"
    say "written: $PROXY_FILE. Next: apt update"
}

ours() {
    IFS= read -r first <"$PROXY_FILE" && [ "$first" = "$MARK" ]
}

undo_proxy() {
    if [ ! -e "$PROXY_FILE" ] || ! ours; then return; fi
    undone=yes
    if [ -n "$DRY_RUN" ]; then
        say "would remove $PROXY_FILE"
    else
        rm -f "$PROXY_FILE"
        say "removed: $PROXY_FILE"
    fi
}

undo_mirror() {
    [ -d "$STATE/original" ] || return 0
    undone=yes
    for kept in "$STATE"/original/sources.list "$STATE"/original/sources.list.d/*; do
        [ -f "$kept" ] || continue
        name=${kept#"$STATE/original/"}
        file=$APT/$name
        if [ -n "$DRY_RUN" ]; then
            say "would put back $file"
            continue
        fi
        if [ -f "$file" ] &&
            { [ -e "$STATE/edited/$name" ] || ! cmp -s "$file" "$STATE/written/$name"; }; then
            keep "$file" "$STATE/before-undo/$name"
            complain "$file was changed after this script had first rewritten it; that version is now $STATE/before-undo/$name"
        fi
        if [ -e "$file" ]; then
            cp -p "$kept" "$file.lumbung-new"
            mv "$file.lumbung-new" "$file"
            say "put back: $file"
        else
            complain "$file was removed since and stays removed; its original is now $STATE/before-undo/$name"
            keep "$kept" "$STATE/before-undo/$name"
        fi
    done
    if [ -z "$DRY_RUN" ]; then rm -rf "$STATE/original" "$STATE/written" "$STATE/edited"; fi
}

undone=''
if [ -n "$UNDO" ]; then
    undo_proxy
    undo_mirror
    if [ -z "$undone" ]; then say "Nothing to undo: this script has changed nothing here."; fi
elif [ "$MODE" = mirror ]; then
    # Each mode replaces the other: a rewritten source asked for through the proxy would go in a circle.
    undo_proxy
    mirror
else
    undo_mirror
    proxy
fi
