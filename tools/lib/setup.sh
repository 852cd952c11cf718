# SPDX-License-Identifier: BSD-3-Clause
# Set-up steps shared by tools/quickstart, tools/test and benchmarks/run.
# Every step is idempotent, says what it does, and is skipped when done.

say() { printf '%s\n' "$*" >&2; }

# setup_packages GROUP...: Debian packages of these groups (tools/packages).
setup_packages() {
	local missing=() name group want
	while read -r group name; do
		for want in "$@"; do
			[ "$group" = "$want" ] || continue
			dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed ||
				missing+=("$name")
		done
	done < <(grep -v '^#' tools/packages)
	[ ${#missing[@]} -gt 0 ] || return 0
	say "set-up: installing ${#missing[@]} Debian packages: ${missing[*]}"
	[ "$(id -u)" = 0 ] || { say "set-up: run this as root to install them"; return 1; }
	local start=$SECONDS
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
	say "set-up: packages installed in $((SECONDS - start)) s"
}

# setup_build DIR [meson options]: configure once, then build.
setup_build() {
	local dir=$1 start=$SECONDS
	shift
	[ -f "$dir/build.ninja" ] || meson setup "$dir" "$@" >/dev/null || return 1
	say "set-up: building in $dir"
	ninja -C "$dir" --quiet || return 1
	say "set-up: built in $((SECONDS - start)) s"
}
