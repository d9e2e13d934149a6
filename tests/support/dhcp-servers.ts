/**
 * dnsmasq and ISC dhcpd as servers in a bed: configured by a file of their own, in the foreground, their leases readable.
 */
import { readFileSync } from "node:fs";
import { type Daemon, startDaemon } from "./daemon.ts";
import type { Side } from "./lab.ts";
import type { ServedBed } from "./served-bed.ts";

export interface DhcpServer extends Daemon {
  /** What it has written down about its leases, as it is now. */
  leases(): string;
}

let started = 0;

const run = async (
  bed: ServedBed,
  side: Side,
  words: readonly string[],
  leases: string,
  ready: string,
): Promise<DhcpServer> => {
  const daemon = await startDaemon(bed, side, words, (said) => said.includes(ready));
  return { ...daemon, leases: () => readFileSync(leases, "utf8") };
};

/** dnsmasq, serving DHCP alone; `lines` are of its configuration file. */
export const dnsmasq = async (
  bed: ServedBed,
  lines: readonly string[],
  options: { readonly side?: Side } = {},
): Promise<DhcpServer> => {
  const name = `dnsmasq-${started++}`;
  const leases = bed.file(`${name}.leases`);
  const config = [
    "port=0",
    "user=root",
    "no-ping",
    "log-dhcp",
    "log-facility=-",
    "dhcp-authoritative",
    "dhcp-sequential-ip",
    `dhcp-leasefile=${leases}`,
    "pid-file=",
    ...lines,
  ];
  const file = bed.file(`${name}.conf`, `${config.join("\n")}\n`);
  const words = ["dnsmasq", "--keep-in-foreground", `--conf-file=${file}`];
  return run(bed, options.side ?? "a", words, leases, "DHCP, ");
};

/** ISC dhcpd on one interface; `lines` are of its configuration file. */
export const dhcpd = async (
  bed: ServedBed,
  interfaceName: string,
  lines: readonly string[],
  options: { readonly side?: Side } = {},
): Promise<DhcpServer> => {
  const name = `dhcpd-${started++}`;
  const leases = bed.file(`${name}.leases`);
  const config = ["authoritative;", "ping-check false;", "ddns-update-style none;", ...lines];
  const file = bed.file(`${name}.conf`, `${config.join("\n")}\n`);
  const words = ["dhcpd", "-4", "-f", "-d", "--no-pid", "-cf", file, "-lf", leases, interfaceName];
  return run(bed, options.side ?? "a", words, leases, "Server starting service.");
};

/** The last lease that dhcpd has written for an address: its block, or nothing. */
export const dhcpdLease = (server: DhcpServer, address: string): string => {
  const blocks = server.leases().split(/^(?=lease )/m);
  return blocks.findLast((block) => block.startsWith(`lease ${address} {`)) ?? "";
};
