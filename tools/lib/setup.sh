# SPDX-License-Identifier: BSD-3-Clause
# Set-up steps shared by tools/quickstart, tools/test and benchmarks/run.
# Every step is idempotent, says what it does, and is skipped when done.
# Sourced with the repository's top as the working directory.

say() { printf '%s\n' "$*" >&2; }

# setup_packages GROUP...: Debian packages of these groups (tools/packages).
setup_packages() {
	local missing=() name group want start=$SECONDS
	while read -r group name; do
		for want in "$@"; do
			[ "$group" = "$want" ] || continue
			dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed ||
				missing+=("$name")
		done
	done < <(grep -v '^#' tools/packages)
	[ ${#missing[@]} -gt 0 ] || return 0
	say "set-up: installing ${#missing[@]} Debian packages: ${missing[*]}"
	[ "$(id -u)" = 0 ] || { say "set-up: run this as root, or install them yourself"; return 1; }
	# The peers (Postfix, Knot, Dovecot) run only inside the tests' own namespaces: their
	# packages must not start a service on this machine.
	local policy=/usr/sbin/policy-rc.d made=no rc=0
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy && made=yes
	fi
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq &&
		apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || rc=$?
	# Not in an EXIT trap: the callers end with exec, which runs none.
	[ $made = no ] || rm -f $policy
	[ $rc = 0 ] || { say "set-up: the packages could not be installed"; return $rc; }
	say "set-up: packages installed in $((SECONDS - start)) s"
}

# setup_build DIR [meson options] [-- TARGET...]: wolfSSL if needed, configure
# once, build everything or only these targets.
setup_build() {
	local dir=$1 start=$SECONDS prefix options=()
	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift $(($# > 0))
	prefix=$(tools/build-wolfssl) || return 1
	if [ ! -f "$dir/build.ninja" ]; then
		meson setup "$dir" -Dwolfssl_prefix="$prefix" "${options[@]}" >"$dir.log" 2>&1 || {
			tail -20 "$dir.log" >&2
			return 1
		}
		rm -f "$dir.log"
	fi
	say "set-up: building in $dir"
	ninja -C "$dir" --quiet "$@" >"$dir/build.log" 2>&1 || {
		tail -40 "$dir/build.log" >&2
		return 1
	}
	say "set-up: built in $((SECONDS - start)) s"
}

# setup_hugepages COUNT: tries to have COUNT free 2 MiB pages; never fails.
setup_hugepages() {
	local pages=/sys/kernel/mm/hugepages/hugepages-2048kB want=$1 free total
	[ -r "$pages/free_hugepages" ] || { say "set-up: no 2 MiB hugepages here: running with --no-huge"; return 0; }
	free=$(cat "$pages/free_hugepages")
	[ "$free" -ge "$want" ] && return 0
	total=$(cat "$pages/nr_hugepages")
	echo $((total + want - free)) 2>/dev/null >"$pages/nr_hugepages" || true
	free=$(cat "$pages/free_hugepages")
	if [ "$free" -ge "$want" ]; then
		say "set-up: reserved $((want * 2)) MiB of hugepages"
	else
		echo "$total" 2>/dev/null >"$pages/nr_hugepages" || true
		say "set-up: hugepages cannot be reserved here: running with --no-huge"
	fi
}
