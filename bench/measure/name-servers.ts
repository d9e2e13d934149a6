/**
 * The name servers of the bench: how each is told to serve the same zone at one end of a lab.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Lab } from "../../examples/lab.ts";

const FOLDER = join(import.meta.dir, "..", "peers", "dns");
const ZONE = "millrace.test";
const ZONE_FILE = join(FOLDER, `${ZONE}.zone`);
export const QUERIES_FILE = join(FOLDER, "queries.txt");
/** A name of the zone that has an A record, to see whether a server is there, and how many of the queries ask for what is not. */
export const KNOWN_NAME = `www.${ZONE}`;
export const NXDOMAIN_SHARE = 1 / 10;

/** A server's command at end b of a lab; what it writes goes into `folder`. */
export type NameServer = (lab: Lab, folder: string) => readonly string[];

export const millrace: NameServer = (lab) => [
  process.execPath,
  "run",
  join(import.meta.dir, "..", "..", "examples", "dns.ts"),
  lab.b.name,
  "--zone",
  ZONE_FILE,
];

/** One process that answers, as the others have; without its limit of answers a second, which is on by default. */
export const nsd: NameServer = (lab, folder) => {
  const at = (name: string): string => JSON.stringify(join(folder, name));
  const config = [
    "server:",
    "  server-count: 1",
    `  ip-address: ${lab.b.ipv4}`,
    `  username: ""`,
    `  chroot: ""`,
    `  zonesdir: ${JSON.stringify(FOLDER)}`,
    `  database: ""`,
    `  pidfile: ${at("nsd.pid")}`,
    `  xfrdfile: ${at("xfrd.state")}`,
    `  zonelistfile: ${at("zone.list")}`,
    `  xfrdir: ${JSON.stringify(folder)}`,
    "  rrl-ratelimit: 0",
    "  rrl-whitelist-ratelimit: 0",
    "remote-control:",
    "  control-enable: no",
    "zone:",
    `  name: ${ZONE}`,
    `  zonefile: ${JSON.stringify(ZONE_FILE)}`,
  ];
  const file = join(folder, "nsd.conf");
  writeFileSync(file, `${config.join("\n")}\n`);
  return ["nsd", "-d", "-c", file];
};

/** With its XDP mode on; its worker on sockets has nothing to do. */
export const knot: NameServer = (lab, folder) => {
  const config = [
    "server:",
    `  rundir: ${JSON.stringify(folder)}`,
    "  udp-workers: 1",
    "  tcp-workers: 1",
    "  background-workers: 1",
    "  listen: 127.0.0.1@53",
    "xdp:",
    `  listen: ${lab.b.name}@53`,
    "log:",
    "  - target: stderr",
    "    any: warning",
    "database:",
    `  storage: ${JSON.stringify(folder)}`,
    "zone:",
    `  - domain: ${ZONE}`,
    `    file: ${JSON.stringify(ZONE_FILE)}`,
    "    zonefile-sync: -1",
    "    zonefile-load: whole",
    "    journal-content: none",
  ];
  const file = join(folder, "knot.conf");
  writeFileSync(file, `${config.join("\n")}\n`);
  return ["knotd", "-c", file];
};
