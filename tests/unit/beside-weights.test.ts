/** The weights of a kernel's multipath routes in the table of a host beside it. */
import { expect, test } from "bun:test";
import type { RouteSource, SystemChange, SystemHop } from "../../stack/device/routesource.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { HostLab } from "../support/host-lab.ts";

const FAMILIES = [4, 6] as const;
const IFINDEX = 5;
const NETWORK = { 4: ["10.1.0.0", 16], 6: ["2001:db8:1::", 48] } as const;
const gatewayText = (family: 4 | 6, last: number): string =>
  family === 4 ? `10.0.0.${last}` : `fe80::${last}`;

const beside = (lab: HostLab, family: 4 | 6) => {
  const changes: SystemChange[] = [];
  const source: RouteSource = {
    fds: [],
    next: () => changes.shift(),
    resolve: () => {},
    joinGroup: () => {},
    leaveGroup: () => {},
    close: () => {},
  };
  const ports = { errorFds: [], reserve: () => undefined, nextError: () => undefined };
  const host = lab.host();
  const [device] = lab.link();
  host.join(device, { beside: { source, interface: IFINDEX, ports, claim: () => {} } });
  const [destination, prefixLength] = NETWORK[family];
  /** The kernel says which hops of which weights the route has now; gives what the host makes of it. */
  const route = (...hops: readonly (readonly [last: number, weight: number, on?: number])[]): string[] => {
    changes.push({
      kind: "route",
      present: true,
      destination: IpAddress.parse(destination).toBytes(),
      prefixLength,
      type: "unicast",
      metric: 7,
      source: undefined,
      mtu: undefined,
      hops: hops.map(([last, weight, on = IFINDEX]): SystemHop => ({
        gateway: IpAddress.parse(gatewayText(family, last)).toBytes(),
        interface: on,
        weight,
      })),
    });
    lab.run(10);
    return host.routes.all().map(({ gateway, weight }) => `${gateway} x${weight}`);
  };
  return { host, route };
};

test.each(FAMILIES)("IPv%d: weights come with the hops, change in place, and go with them", (family) => {
  using lab = new HostLab();
  const { route } = beside(lab, family);
  const [one, two, three] = [1, 2, 3].map((last) => gatewayText(family, last));
  expect(route([1, 3], [2, 1])).toEqual([`${one} x3`, `${two} x1`]);
  expect(route([1, 1], [2, 256])).toEqual([`${one} x1`, `${two} x256`]);
  expect(route([2, 256], [3, 9])).toEqual([`${two} x256`, `${three} x9`]);
  // What leaves by other interfaces is theirs.
  expect(route([1, 200, IFINDEX + 1], [3, 2])).toEqual([`${three} x2`]);
});

test("a hop that IPv4 names several times has the weight of all, at most what a route can have", () => {
  using lab = new HostLab();
  const { route } = beside(lab, 4);
  expect(route([1, 3], [2, 1], [1, 4], [1, 1])).toEqual(["10.0.0.1 x8", "10.0.0.2 x1"]);
  expect(route([1, 200], [2, 1], [1, 200])).toEqual(["10.0.0.1 x256", "10.0.0.2 x1"]);
  expect(route([2, 1], [1, 5])).toEqual(["10.0.0.1 x5", "10.0.0.2 x1"]);
});
