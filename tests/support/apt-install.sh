#!/bin/sh
# Installs packages with apt and leaves what serves in them at rest: nothing is started, now or when the machine boots.
#
#   apt-install.sh PACKAGE...      as root
#
# Debian starts a service as its package is installed. invoke-rc.d and deb-systemd-invoke ask /usr/sbin/policy-rc.d first (there
# is none by default; 101 is "forbidden"), so one stands there for as long as apt runs. Enabled is then undone for the packages
# that came; those that were there before stay as they are.
set -eu

policy=/usr/sbin/policy-rc.d
before=$(mktemp)
cleanup() {
	rm -f "$before"
	[ -z "${ours:-}" ] || rm -f "$policy"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

installed() { dpkg-query -W -f='${Package} ${Status}\n' | sed -n 's/ install ok installed$//p' | sort; }

# An administrator's own policy stays.
if [ ! -e "$policy" ]; then
	ours=yes
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
installed >"$before"
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null

installed | comm -13 "$before" - | while read -r package; do
	files=$(dpkg -L "$package")
	echo "$files" | sed -n 's|^/etc/init\.d/||p' | while read -r name; do
		! command -v update-rc.d >/dev/null || update-rc.d "$name" disable >/dev/null 2>&1 || true
	done
	echo "$files" | sed -nE 's#^(/usr)?/lib/systemd/system/([^/@]+\.(service|socket|timer))$#\2#p' | while read -r unit; do
		! command -v systemctl >/dev/null || systemctl disable --now --quiet "$unit" >/dev/null 2>&1 || true
	done
done
