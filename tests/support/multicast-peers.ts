/**
 * The kernel's side of multicast in a bed: a bridge that snoops and asks, senders and listeners, smcroute.
 */
import { type Daemon, startDaemon } from "./daemon.ts";
import type { Side } from "./lab.ts";
import { runTool } from "./peer-tools.ts";
import type { ServedBed } from "./served-bed.ts";

export interface BridgeOptions {
  /** IGMP 2 or 3, with MLD 1 or 2. */
  readonly version?: 2 | 3;
}

/**
 * Shell lines for the middle: a bridge over both ports that forwards groups only to members, asks who they are every
 * second, and forgets who does not answer for three (all in hundredths of a second).
 */
export const snoopingBridge = ({ version = 3 }: BridgeOptions = {}): string[] => {
  const versions = `mcast_igmp_version ${version} mcast_mld_version ${version - 1}`;
  const intervals = [
    "mcast_query_interval 100",
    "mcast_query_response_interval 50",
    "mcast_membership_interval 300",
    "mcast_startup_query_interval 25",
    "mcast_last_member_interval 20",
  ];
  return [
    `ip link add br0 address 02:00:00:00:00:b0 type bridge mcast_snooping 1 ${versions} ${intervals.join(" ")}`,
    // Only then: until a whole response interval has passed from here on, it floods.
    "ip link set dev br0 type bridge mcast_querier 1",
    "ip link set dev ma master br0",
    "ip link set dev mb master br0",
    "ip addr add 10.77.0.3/24 dev br0",
    "ip link set dev br0 up",
  ];
};

/** What the bridge believes of our port: group, filter mode and sources, one line each. */
export const memberships = (bed: ServedBed): string[] =>
  bed
    .sh("m", ["bridge -d mdb show dev br0"])
    .split("\n")
    .filter((line) => / port mb /.test(line) && !/ src /.test(line))
    .map((line) => {
      const [, group] = / grp (\S+)/.exec(line) ?? [];
      const [, mode = ""] = / filter_mode (\w+)/.exec(line) ?? [];
      const [, sources = ""] = / source_list (\S+)/.exec(line) ?? [];
      const listed = sources.split(",").map((each) => each.split("/")[0]!);
      return [group, mode, ...listed.sort()].filter((word) => word !== "").join(" ");
    })
    .sort();

/** Has the kernel send one datagram to a group, from this address and with this TTL. */
export const sendTo = async (
  bed: ServedBed,
  group: string,
  port: number,
  text: string,
  { from, ttl = 1 }: { readonly from: string; readonly ttl?: number },
): Promise<void> => {
  const six = group.includes(":");
  // IPPROTO_IPV6 and IPV6_MULTICAST_HOPS, for which socat has no name.
  const options = six
    ? `,bind=[${from}],setsockopt-int=41:18:${ttl}`
    : `,bind=${from},ip-multicast-if=${from},ip-multicast-ttl=${ttl}`;
  const to = six ? `UDP6-DATAGRAM:[${group}]:${port}${options}` : `UDP4-DATAGRAM:${group}:${port}${options}`;
  const script = `printf %s '${text}' | socat -u - '${to}'`;
  const { code, stderr } = await runTool(bed.here, ["sh", "-c", script]);
  if (code !== 0) throw new Error(`socat cannot send to ${group}: ${stderr}`);
};

/** A kernel's socket that is a member of a group, in a program that writes down what it hears. */
export const listen = async (
  bed: ServedBed,
  side: Side,
  interfaceName: string,
  group: string,
  port: number,
): Promise<Daemon> => {
  const from = group.includes(":")
    ? `UDP6-RECV:${port},ipv6-v6only=1,ipv6-join-group=[${group}]:${interfaceName}`
    : `UDP4-RECV:${port},ip-add-membership=${group}:${interfaceName}`;
  const shown = ["ip", "maddr", "show", "dev", interfaceName];
  const isMember = (): boolean => bed.lab.exec(side, shown).stdout.includes(` ${group}\n`);
  return startDaemon(bed, side, ["socat", "-u", from, "-"], isMember);
};

/** smcrouted in the middle with these lines of configuration; returns when it shows that many routes. */
export const smcroute = async (bed: ServedBed, lines: readonly string[], routes: number): Promise<void> => {
  const file = bed.file("smcroute.conf", `${lines.join("\n")}\n`);
  const [socket, pid] = ["smcroute.sock", "smcroute.pid"].map((name) => `${bed.folder}/${name}`);
  const words = ["smcrouted", "-n", "-f", file, "-u", socket!, "-P", pid!];
  const show = ["smcroutectl", "-u", socket!, "-t", "-p", "show", "routes"];
  const shown = (): string => bed.lab.exec("m", show, { check: false }).stdout;
  await startDaemon(bed, "m", words, () => (shown().match(/^\s*\(/gm)?.length ?? 0) >= routes);
};
