#!/usr/bin/env bash
# Runs a program of this folder, built first where its sources are newer: programs.sh CLASS ARGUMENT... Needs Java 17 and Maven. The
# program takes the place of this shell, so that who kills the caller's child kills it.
#
# WEIR_KAFKA_JARS   where what is built lives (default ~/.cache/weir-kafka)
set -euo pipefail

[ $# -ge 1 ] || { sed -n '2,5s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2; exit 2; }
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${WEIR_KAFKA_JARS:-${XDG_CACHE_HOME:-$HOME/.cache}/weir-kafka}
built=$cache/programs-$(cat "$here"/pom.xml "$here"/src/main/java/weir/compat/*.java | sha256sum | cut -c1-16)

# A folder that is there is complete, for it gets its name last.
if [ ! -d "$built" ]; then
  mkdir -p "$cache"
  fresh=$(mktemp -d "$cache/.build-XXXXXX")
  mvn -q -B -f "$here/pom.xml" package dependency:copy-dependencies -DbuildDirectory="$fresh/target" -DoutputDirectory="$fresh" >&2
  cp "$fresh"/target/programs-1.jar "$fresh"
  rm -rf "$fresh/target"
  mv -T "$fresh" "$built" 2>/dev/null || rm -rf "$fresh" # another one was faster
fi
exec java -Xmx512m -Dlog4j2.configurationFile="$here/../kafka/log4j2.xml" -cp "$built/*" "weir.compat.$1" "${@:2}"
