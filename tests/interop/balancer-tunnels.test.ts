/**
 * The balancer's tunnels end in the tunnel devices of Linux (ipip, sit and ip6tnl), which judge every outer header, and take out
 * of it what they hand to a kernel server. Where the kernel here has none of them, the virtual machine's has.
 */
import { describe, expect, test } from "bun:test";
import { VIPS } from "../../examples/balancer/ground.ts";
import { BalancerBed, fieldsOf, serveTcp } from "../support/balancer-bed.ts";
import { Lab } from "../support/lab.ts";
import { need } from "../support/peer-tools.ts";
import { skipUnless, skipWithoutLab } from "../support/skip.ts";

const LIMIT_MS = 300_000;
const FLOWS = 30;
const MORE = 100;

/** Tunnel devices (ip-link(8)) that together take both families out, by what is outside. */
const DEVICES = {
  ipv4: [
    ["ipip", "ttl", "64"],
    ["sit", "ttl", "64"],
  ],
  ipv6: [["ip6tnl", "mode", "any"]],
} as const;
type Outer = keyof typeof DEVICES;
const OUTERS = ["ipv4", "ipv6"] as const satisfies readonly Outer[];

/** Makes the devices at side b of a lab; what `ip` had against one of them. */
const addDevices = (lab: Lab, outer: Outer, local: string): string | undefined => {
  for (const [kind, ...words] of DEVICES[outer]) {
    const name = `from-${kind}`;
    const add = ["ip", "link", "add", "name", name, "type", kind, "local", local, "remote", "any", ...words];
    const { code, stderr } = lab.exec("b", add, { check: false });
    if (code !== 0) return `${kind}: ${stderr.trim()}`;
    lab.exec("b", ["ip", "link", "set", name, "up"]);
  }
  return undefined;
};

/** True (skip) where this kernel makes no such devices (CONFIG_NET_IPIP, CONFIG_IPV6_SIT, CONFIG_IPV6_TUNNEL). */
const noDevices = (outer: Outer): boolean => {
  using lab = Lab.create();
  const trouble = addDevices(lab, outer, lab.b[outer]);
  return skipUnless(trouble === undefined, `this kernel has no tunnel device ${trouble}`, {
    couldRun: false,
  });
};

/** What each of a backend's tunnel devices has taken out. */
const received = (lab: Lab, outer: Outer): { packets: number; errors: number }[] =>
  DEVICES[outer].map(([kind]) => {
    const text = lab.exec("b", ["ip", "-j", "-s", "link", "show", "dev", `from-${kind}`]).stdout;
    const [shown] = JSON.parse(text) as readonly {
      readonly stats64: { readonly rx: { readonly packets: number; readonly errors: number } };
    }[];
    return shown!.stats64.rx;
  });

/** The numbers of protocols right inside the outer headers of what a capture holds of the service. */
const numbersInside = async (file: string, outer: Outer): Promise<string[]> => {
  const [layer, protocol] = outer === "ipv4" ? ["ip", "ip.proto"] : ["ipv6", "ipv6.nxt"];
  const filter = `frame.protocols matches ":${layer}:ip(v6)?:" && (tcp || udp) && !icmp && !icmpv6`;
  const found = await fieldsOf(file, filter, protocol!);
  return found.map((line) => line.split(",")[0]!);
};

const without = skipWithoutLab(Lab.unavailable()) || need("curl", "tshark", "tcpdump");

describe.skipIf(without)("the kernel's own tunnel devices", () => {
  for (const outer of OUTERS)
    test.skipIf(without || noDevices(outer))(
      `take both families out of ${outer}, datagrams and connections`,
      async () => {
        await using bed = await BalancerBed.start(["--mode", "tunnel"], ({ backends }) => {
          for (const place of backends) expect(addDevices(place.lab, outer, place[outer])).toBeUndefined();
          return backends.map((place) => place[outer]);
        });
        for (const vip of VIPS) {
          const clients = await bed.ask(vip, FLOWS, 300);
          expect(Object.keys((await clients.more(MORE)).byName)).toHaveLength(3);
          expect(clients.last().moved).toBe(0);
          await clients.end();
          await serveTcp(bed, vip);
        }
        const { forwarded, tunnelled, backends } = await bed.next();
        expect(tunnelled).toBe(forwarded);
        for (const [i, { lab }] of bed.ground.backends.entries()) {
          const counts = received(lab, outer);
          // Every packet for a backend came out of one of its devices, whole.
          expect(counts.reduce((sum, { packets }) => sum + packets, 0)).toBe(backends[i]!.packets);
          for (const { packets, errors } of counts) {
            expect(packets).toBeGreaterThan(0);
            expect(errors).toBe(0);
          }
        }
        const numbers = await numbersInside(await bed.finish(), outer);
        expect(numbers.length).toBeGreaterThan(2 * FLOWS);
        // IPv4 is 4 and IPv6 is 41, whatever is around them.
        expect([...new Set(numbers)].sort()).toEqual(["4", "41"]);
      },
      LIMIT_MS,
    );
});
