/**
 * What happens in a world: programs send, join, keep and leave; cables break, hosts restart, time leaps.
 */
import { below, chance, type Random } from "../../stack/device/random.ts";
import { BROADCAST4, IpAddress, type Family } from "../../stack/wire/address.ts";
import { KIND, MAX_PAYLOAD } from "./ledger.ts";
import { GROUPS, type Port, SERVICE, type Station } from "./station.ts";
import type { World } from "./world.ts";

/** One thing that may happen, and how often beside the others. */
interface Action {
  readonly name: string;
  readonly weight: number;
  readonly run: (world: World, station: Station, random: Random) => void;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const MOST_SOCKETS = 6;
const SMALLEST_MTU = 1280;

const pick = <T>(random: Random, all: readonly T[]): T => all[below(random, all.length)]!;
const familyOf = (random: Random): Family => (chance(random, 0.5) ? 4 : 6);

/** Mostly small, some of many packets, few of the largest. */
export const sizeOf = (random: Random): number => {
  const kind = below(random, 20);
  if (kind < 9) return below(random, 64);
  if (kind < 14) return below(random, 1500);
  if (kind < 19) return below(random, 9000);
  return chance(random, 0.3) ? MAX_PAYLOAD : below(random, MAX_PAYLOAD);
};

const targetOf = (world: World, random: Random, family: Family): IpAddress | undefined => {
  const station = pick(random, world.stations);
  if (chance(random, 0.3) && station.ports.length > 1) {
    const { plan } = pick(random, station.ports);
    return IpAddress.parse(family === 4 ? plan.address4 : plan.address6);
  }
  return station.address(family);
};

const PORTS = [SERVICE.echo, SERVICE.echo, SERVICE.sink, SERVICE.keep, SERVICE.nobody, SERVICE.group];

const datagram = (world: World, station: Station, random: Random): void => {
  const to = targetOf(world, random, familyOf(random));
  if (to === undefined || station.host === undefined) return;
  station.send(station.anySocket(), KIND.request, to, pick(random, PORTS), sizeOf(random));
};

/** Addresses that nobody has: on the link, behind a router, and nowhere. */
const nobodyOf = (world: World, random: Random, family: Family): IpAddress => {
  const { net } = pick(random, world.plan.segments);
  const code = 100 + below(random, 100);
  const text =
    family === 4
      ? pick(random, [`10.${net}.0.${code}`, `192.0.2.${code}`])
      : pick(random, [`2001:db8:${net.toString(16)}::${code.toString(16)}`, `2001:db8:ff::${code}`]);
  return IpAddress.parse(text);
};

const broadcast = (world: World, station: Station, random: Random): void => {
  if (station.host === undefined) return;
  const { net } = pick(random, station.ports).plan.segment;
  const to = chance(random, 0.5) ? BROADCAST4 : IpAddress.parse(`10.${net}.0.255`);
  station.send(station.client!, KIND.request, to, SERVICE.echo, below(random, 3000));
};

const membership = (world: World, station: Station, random: Random): void => {
  const { group } = station;
  if (group === undefined || station.interfaces.length === 0) return;
  const [, on] = pick(random, station.interfaces);
  const address = pick(random, GROUPS);
  try {
    if (chance(random, 0.6)) group.join(address, { interface: on.name });
    else group.leave(address, { interface: on.name });
  } catch (error) {
    // A group that it is in, or is not in: a mistake of the program's, which it is told.
    if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
  }
};

const socket = (world: World, station: Station, random: Random): void => {
  const { host, others } = station;
  if (host === undefined) return;
  if (others.length >= MOST_SOCKETS || chance(random, 0.4)) {
    others.splice(below(random, others.length), 1)[0]?.close();
    return;
  }
  const to = targetOf(world, random, familyOf(random));
  if (to === undefined) return;
  const port = pick(random, PORTS);
  const options = chance(random, 0.5) ? {} : { remote: { address: to, port } };
  const made = host.udp({ ...options, onError: () => {} }, (heard) => station.answered(heard));
  others.push(made);
  if (options.remote !== undefined) station.send(made, KIND.request, to, port, sizeOf(random));
};

/** Programs end things from within handlers. */
const surprise = (world: World, station: Station, random: Random): void => {
  const port = pick(random, station.ports);
  station.surprise = pick(random, [
    () => station.others.splice(0).forEach((one) => one.close()),
    () => station.leave(port),
    () => station.close(),
    () => world.stations.forEach((one) => one.letGo(true)),
  ]);
};

const link = (random: Random, port: Port): void => {
  const kind = below(random, 4);
  if (kind < 2) port.memory.setUp(kind === 1);
  else if (kind === 2) port.tap.cut = !port.tap.cut;
  else {
    const most = port.plan.segment.mtu;
    port.memory.setMtu(chance(random, 0.5) ? most : Math.min(most, SMALLEST_MTU + below(random, 300)));
  }
};

const ACTIONS: readonly Action[] = [
  { name: "datagram", weight: 40, run: datagram },
  {
    name: "burst",
    weight: 4,
    run: (world, station, random) => {
      for (let i = below(random, 30); i > 0; i--) datagram(world, station, random);
    },
  },
  {
    name: "ping",
    weight: 8,
    run: (world, station, random) => {
      const to = targetOf(world, random, familyOf(random));
      if (to !== undefined && station.host !== undefined) station.ping(to, Math.min(sizeOf(random), 65_000));
    },
  },
  {
    name: "nobody",
    weight: 5,
    run: (world, station, random) => {
      const to = nobodyOf(world, random, familyOf(random));
      if (station.host !== undefined)
        station.send(station.anySocket(), KIND.request, to, SERVICE.echo, sizeOf(random));
    },
  },
  {
    name: "self",
    weight: 2,
    run: (_, station, random) => {
      const to = IpAddress.parse(chance(random, 0.5) ? "127.0.0.1" : "::1");
      if (station.host !== undefined)
        station.send(station.client!, KIND.request, to, pick(random, PORTS), sizeOf(random));
    },
  },
  { name: "broadcast", weight: 3, run: broadcast },
  { name: "membership", weight: 6, run: membership },
  {
    name: "group",
    weight: 6,
    run: (_, station, random) => {
      const to = IpAddress.parse(pick(random, GROUPS));
      if (station.host !== undefined)
        station.send(station.group!, KIND.request, to, SERVICE.group, below(random, 4000));
    },
  },
  { name: "socket", weight: 5, run: socket },
  { name: "let go", weight: 5, run: (_, station, random) => station.letGo(chance(random, 0.5)) },
  { name: "surprise", weight: 1, run: surprise },
  { name: "link", weight: 5, run: (_, station, random) => link(random, pick(random, station.ports)) },
  { name: "leave", weight: 1, run: (_, station, random) => station.leave(pick(random, station.ports)) },
  {
    name: "join",
    weight: 3,
    run: (_, station) => {
      for (const port of station.ports) station.join(port);
    },
  },
  { name: "close", weight: 1, run: (_, station) => station.close() },
  { name: "open", weight: 3, run: (_, station) => station.open() },
  {
    name: "stall",
    weight: 1,
    run: (world, _, random) =>
      world.stall(chance(random, 0.5) ? below(random, MINUTE_MS) : below(random, 3 * HOUR_MS)),
  },
];
const ALL_WEIGHTS = ACTIONS.reduce((sum, action) => sum + action.weight, 0);

/** Something happens. */
export const act = (world: World): void => {
  const { random } = world;
  let at = below(random, ALL_WEIGHTS);
  const action = ACTIONS.find((one) => (at -= one.weight) < 0)!;
  const station = pick(random, world.stations);
  world.trace.note(`-- ${action.name} on ${station.suspect.name}`);
  action.run(world, station, random);
};

/** Everything that was broken is whole again. */
export const heal = (world: World): void => {
  for (const station of world.stations) {
    station.surprise = undefined;
    station.open();
    for (const port of station.ports) {
      port.memory.setUp(true);
      port.memory.setMtu(port.plan.segment.mtu);
      port.tap.cut = false;
      station.join(port);
    }
  }
};
