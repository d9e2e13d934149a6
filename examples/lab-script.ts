/** The shell script that makes a lab of a plan, and the one that removes it. */
import { type DeviceState, returnLines, takeLines } from "./lab-devices.ts";
import { type End, isMiddle, type Pair, type Plan } from "./lab-plan.ts";

/** 2 000 polls of a few milliseconds: a link comes up in one or two of them. */
const UP_POLLS = 2000;

/**
 * Settings that keep the kernel from sending frames nobody asked for. They go to `default` before the links exist, so that
 * the links inherit them. Duplicate address detection also delays the use of an address, by a second.
 */
const sysctls = (quiet: boolean): string => {
  const v6: Record<string, number> = {
    disable_ipv6: quiet ? 1 : 0,
    accept_dad: 0,
    dad_transmits: 0,
    router_solicitations: 0,
    accept_ra: 0,
    autoconf: 0,
  };
  const writes = Object.entries(v6).map(([key, value]) => `echo ${value} > ${key}`);
  // A machine without IPv6 has no such folder, and needs none of this.
  return `cd /proc/sys/net/ipv6/conf/default 2>/dev/null && { ${writes.join("; ")}; } || true`;
};

const batch = (on: string, lines: readonly string[]): string =>
  `ip ${on} -batch - <<EOF\n${lines.join("\n")}\nEOF`;

/** Shell text (for `sh -e`) that removes `stale`, makes the plan's lab, and ends when every link is up. */
export const labScript = (
  plan: Plan,
  stale: readonly string[],
  devices: readonly DeviceState[] = [],
): string => {
  const names = Object.values(plan.namespaces);
  const ends = plan.pairs.flatMap((pair) => [pair.a, pair.b]);
  const lines: string[] = [];
  // Another run may reap the same ones at the same time: not finding them is fine.
  if (stale.length > 0) lines.push(removalScript(stale));
  lines.push(
    batch(
      "",
      names.map((name) => `netns add ${name}`),
    ),
  );
  for (const name of names) lines.push(`nsenter --net=/run/netns/${name} sh -c '${sysctls(plan.quiet)}'`);
  lines.push(
    ...(plan.moved
      ? takeLines(plan, devices)
      : [
          batch(
            "",
            plan.pairs.map((pair) => linkLine(plan, pair)),
          ),
        ]),
  );
  for (const name of names) {
    const here = ends.filter((end) => end.namespace === name);
    lines.push(batch(`-n ${name}`, ["link set dev lo up", ...here.flatMap((end) => endLines(plan, end))]));
  }
  if (!plan.offloads) {
    for (const end of ends) {
      const switchOff = `nsenter --net=/run/netns/${end.namespace} ethtool -K ${end.name}`;
      // That sums are complete when they are sent is what is asked for; a device that still checks them does no harm.
      lines.push(`${switchOff} tx off >/dev/null`, `${switchOff} rx off >/dev/null || true`);
    }
  }
  for (const end of ends) lines.push(awaitUp(end));
  return lines.join("\n");
};

/** Shell text that gives devices back and removes namespaces, whether or not each still exists. */
export const removalScript = (names: readonly string[]): string =>
  [...returnLines([...new Set(names.map(labOf))]), deletion(names)].join("\n");

/** The lab that a namespace belongs to: its name without the side. */
const labOf = (namespace: string): string => namespace.replace(/-[amnb]$/, "");

const deletion = (names: readonly string[]): string =>
  `ip -force -batch - >/dev/null 2>&1 <<EOF || true\n${names.map((name) => `netns del ${name}`).join("\n")}\nEOF`;

const linkLine = (plan: Plan, { a, b }: Pair): string => {
  // Middle ends take the count of the side they face: a veth needs as many receive queues as its peer has transmit queues.
  const queues = (end: End, peer: End): string => {
    const side = isMiddle(end.side) ? peer.side : end.side;
    const count = side === "b" ? plan.queues.b : plan.queues.a;
    return `numtxqueues ${count} numrxqueues ${count}`;
  };
  const half = (end: End): string => `mtu ${plan.mtu} address ${end.mac} netns ${end.namespace}`;
  return (
    `link add name ${a.name} index ${a.index} ${half(a)} ${queues(a, b)} type veth ` +
    `peer name ${b.name} index ${b.index} ${half(b)} ${queues(b, a)}`
  );
};

const endLines = (plan: Plan, end: End): string[] => {
  const lines: string[] = [];
  if (end.ipv4 !== "") lines.push(`addr add ${end.ipv4}/24 dev ${end.name}`);
  if (end.ipv6 !== "") lines.push(`addr add ${end.ipv6}/64 dev ${end.name} nodad`);
  lines.push(`link set dev ${end.name} up`);
  for (const gateway of end.gateways) lines.push(`route add default via ${gateway} dev ${end.name}`);
  if (plan.neighbours) {
    for (const other of farEnds(plan, end)) {
      for (const address of [other.ipv4, other.ipv6]) {
        if (address !== "")
          lines.push(`neigh replace ${address} lladdr ${other.mac} dev ${end.name} nud permanent`);
      }
    }
  }
  return lines;
};

/** The ends that `end` talks to as hosts: its peer, or the far side of the middle. */
const farEnds = (plan: Plan, end: End): readonly End[] => {
  if (isMiddle(end.side)) return [];
  if (plan.middle !== undefined) {
    const at = plan.pairs.findIndex((pair) => pair.a === end || pair.b === end);
    return [end.side === "a" ? plan.pairs[at + 1]!.b : plan.pairs[at - 1]!.a];
  }
  return plan.pairs.flatMap((pair) => (pair.a === end ? [pair.b] : pair.b === end ? [pair.a] : []));
};

const awaitUp = (end: End): string =>
  `n=0; until ip -n ${end.namespace} -br link show ${end.name} | grep -q ' UP '; do ` +
  `n=$((n+1)); [ $n -lt ${UP_POLLS} ] || { echo "${end.name} does not come up" >&2; exit 1; }; sleep 0.005; done`;
