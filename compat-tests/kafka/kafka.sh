#!/usr/bin/env bash
# Apache Kafka out of its published jars: the broker to compare with, and the tools to run against either. Needs Java 17 and Maven.
#
#   kafka.sh jars VERSION                 bring the jars where they are missing; prints the folder that holds them
#   kafka.sh broker VERSION DIR PORT CONTROLLER_PORT [KEY=VALUE]...
#                                         run one broker on 127.0.0.1:PORT with its data in DIR, in the foreground and in place of
#                                         this shell: the caller's child is the broker. An empty DIR is formatted first.
#   kafka.sh format VERSION DIR PORT CONTROLLER_PORT [KEY=VALUE]...
#                                         only prepare an empty DIR, for a start that is timed
#   kafka.sh tool CLASS ARGUMENT...       run a tool, for example org.apache.kafka.tools.TopicCommand --bootstrap-server ... --list
#
# WEIR_KAFKA_JARS   where the jars live (default ~/.cache/weir-kafka, one folder a version)
# KAFKA_HEAP        heap of a broker (default 1G)
# KAFKA_TOOL_OPTS   more options for the JVM of a tool
# KAFKA_LOG_LEVEL   what a broker logs (default warn; DIR/broker.log is the caller's business)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${WEIR_KAFKA_JARS:-${XDG_CACHE_HOME:-$HOME/.cache}/weir-kafka}
tools_version=4.3.1

usage() {
  sed -n '2,17s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}

# jars VERSION: a folder that is there is complete, for it gets its name last.
jars() {
  local folder=$cache/$1 without=
  if [ ! -d "$folder" ]; then
    [ "$1" = "$tools_version" ] || without=-Dwithout.tools
    local fresh
    mkdir -p "$cache"
    fresh=$(mktemp -d "$cache/.fetch-XXXXXX")
    mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -Dkafka.version="$1" $without -DoutputDirectory="$fresh" >&2
    mv -T "$fresh" "$folder" 2>/dev/null || rm -rf "$fresh" # another one was faster
  fi
  echo "$folder"
}

run_java() {
  exec java -Djava.awt.headless=true -Dlog4j2.configurationFile="$here/log4j2.xml" "$@"
}

# prepare VERSION DIR PORT CONTROLLER_PORT [KEY=VALUE]...: leaves the jars in $folder and the data directory formatted.
prepare() {
  [ $# -ge 4 ] || usage
  local dir=$2 port=$3 controller=$4
  folder=$(jars "$1")
  shift 4
  mkdir -p "$dir"
  {
    printf '%s\n' process.roles=broker,controller node.id=1 controller.listener.names=CONTROLLER \
      "controller.quorum.voters=1@127.0.0.1:$controller" \
      "listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller" \
      "advertised.listeners=PLAINTEXT://127.0.0.1:$port" "log.dirs=$dir/data" \
      offsets.topic.replication.factor=1 transaction.state.log.replication.factor=1 transaction.state.log.min.isr=1 \
      share.coordinator.state.topic.replication.factor=1 share.coordinator.state.topic.min.isr=1 \
      group.initial.rebalance.delay.ms=0
    [ $# -eq 0 ] || printf '%s\n' "$@"
  } > "$dir/server.properties"
  if [ ! -f "$dir/data/meta.properties" ]; then
    (run_java -cp "$folder/*" kafka.tools.StorageTool format -t V2VpckNvbXBhdFRlc3RzMQ -c "$dir/server.properties") > "$dir/format.log" 2>&1 ||
      { cat "$dir/format.log" >&2; exit 1; }
  fi
}

broker() {
  prepare "$@"
  local dir=$2 heap=${KAFKA_HEAP:-1G}
  # The options of Kafka's own start script, so that a measurement beside it is fair.
  run_java -Xmx"$heap" -Xms"$heap" -server -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -XX:InitiatingHeapOccupancyPercent=35 \
    -XX:+ExplicitGCInvokesConcurrent -Dkafka.log.level="${KAFKA_LOG_LEVEL:-warn}" -cp "$folder/*" kafka.Kafka "$dir/server.properties"
}

tool() {
  [ $# -ge 1 ] || usage
  local folder
  folder=$(jars "$tools_version")
  run_java -Xmx512m ${KAFKA_TOOL_OPTS:-} -cp "$folder/*" "$@"
}

case "${1:-}" in
  jars) [ $# -eq 2 ] || usage; jars "$2" ;;
  broker) shift; broker "$@" ;;
  format) shift; prepare "$@" ;;
  tool) shift; tool "$@" ;;
  *) usage ;;
esac
