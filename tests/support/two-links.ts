/**
 * Two hosts joined by two links of memory, each with an address on every link and a service address behind both, and a monitor
 * that says what a test tells it to.
 */
import type { MemoryDevice } from "../../stack/device/memory.ts";
import type { HostPathEvent } from "../../stack/ip/events.ts";
import type { Host } from "../../stack/ip/host.ts";
import type { Interface } from "../../stack/ip/interface.ts";
import type { HostOptions } from "../../stack/ip/options.ts";
import type { PathMonitor } from "../../stack/ip/paths/monitor.ts";
import type { Path, Verdict } from "../../stack/ip/paths/path.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { Prefix } from "../../stack/wire/prefix.ts";
import type { HostLab } from "./host-lab.ts";

/** What lives behind both links of each host. */
export const SERVICES = { near: "10.9.0.1", far: "10.9.0.2" } as const;

export interface End {
  readonly host: Host;
  readonly devices: readonly [MemoryDevice, MemoryDevice];
  readonly interfaces: readonly [Interface, Interface];
  /** The paths to the other end's service address. */
  readonly paths: readonly [Path, Path];
  /** Its path events so far. */
  readonly events: HostPathEvent[];
}

/** "eth0 via 10.1.0.2 down: link". */
export const told = ({ path, state, reason }: HostPathEvent): string =>
  `${path.toString()} ${state}: ${reason}`;

export const pathEvents = (lab: HostLab, host: Host): HostPathEvent[] => {
  const events: HostPathEvent[] = [];
  host.on((event) => {
    if (event.kind === "path") events.push(event);
  });
  return events;
};

/** The second link is as good as the first where `equal`, else its backup. */
export const twoLinks = (
  lab: HostLab,
  options: { readonly near?: HostOptions; readonly far?: HostOptions; readonly equal?: boolean } = {},
): { near: End; far: End } => {
  const { equal = false } = options;
  const links = [lab.link({ names: ["eth0", "eth0"] }), lab.link({ names: ["eth1", "eth1"] })] as const;
  const make = (side: 0 | 1, own: string, other: string, given: HostOptions): End => {
    const host = lab.host(given);
    const join = (link: 0 | 1): Interface =>
      host.join(links[link][side], {
        addresses: [`10.${link + 1}.0.${side + 1}/24`],
        linkLocal: false,
        dad: false,
      });
    const interfaces = [join(0), join(1)] as const;
    host.addService(own);
    for (const link of [0, 1] as const) addRoute(host, interfaces[link], other, link, side, equal);
    const path = (link: 0 | 1): Path => host.paths.find({ gateway: `10.${link + 1}.0.${2 - side}` })!;
    return {
      host,
      interfaces,
      devices: [links[0][side], links[1][side]],
      paths: [path(0), path(1)],
      events: pathEvents(lab, host),
    };
  };
  const near = make(0, SERVICES.near, SERVICES.far, options.near ?? {});
  const far = make(1, SERVICES.far, SERVICES.near, options.far ?? {});
  // What they announce is said.
  lab.run(0);
  return { near, far };
};

/** Has both ends find the other's Ethernet addresses. */
export const introduce = (lab: HostLab, { host, paths }: End): void => {
  for (const via of paths) {
    using echo = host.ping(SERVICES.far, { onReply: () => {} }, { via });
    echo.send(1, new Uint8Array(1));
    lab.run(0);
  }
};

const addRoute = (
  host: Host,
  on: Interface,
  other: string,
  link: 0 | 1,
  side: 0 | 1,
  equal: boolean,
): void => {
  host.addRoute({
    prefix: Prefix.parse(`${other}/32`),
    gateway: IpAddress.parse(`10.${link + 1}.0.${2 - side}`),
    interface: on.index,
    metric: equal ? METRIC : METRIC + link,
    kind: "unicast",
  });
};
const METRIC = 10;

/** Says what a test tells it to. */
export class Oracle implements PathMonitor {
  readonly kind: string;
  verdict: Verdict;
  rttMs: number | undefined = undefined;
  path: Path | undefined;
  starts = 0;
  closes = 0;
  #changed: ((verdict: Verdict, silentMs: number) => void) | undefined;

  constructor(kind = "bfd", verdict: Verdict = "unknown") {
    this.kind = kind;
    this.verdict = verdict;
  }

  start(path: Path, changed: (verdict: Verdict, silentMs: number) => void): void {
    this.starts += 1;
    this.path = path;
    this.#changed = changed;
  }

  /** Changes its mind. */
  say(verdict: Verdict, silentMs = 0): void {
    this.verdict = verdict;
    this.#changed?.(verdict, silentMs);
  }

  close(): void {
    this.closes += 1;
    this.path = undefined;
  }
}
