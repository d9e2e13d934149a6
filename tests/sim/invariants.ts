/**
 * What holds at every moment of a world: chunks are accounted for, tables stay within their limits, timers are few.
 */
import { MemoryUmem } from "../../stack/device/pool.ts";
import type { Accounts } from "../../stack/device/device.ts";
import type { World } from "./world.ts";

/** Of one interface, besides what its neighbours need: addresses, groups, routers, leases, parked packets. */
const TIMERS_OF_INTERFACE = 64;
/** Of one host: reassembly, path MTUs, routes, those who wait for room. */
const TIMERS_OF_HOST = 16;

/** Checks what holds all the time; what does not is a complaint. */
export const checkAlways = (world: World): void => {
  for (const umem of umemsOf(world)) {
    const accounts = accountsOf(world, umem);
    if (accounts !== undefined && accounts.lent !== 0)
      world.trace.complain(`${accounts.lent} chunks are lent to nobody`);
  }
  let timers = world.stations.length;
  for (const station of world.stations) {
    const { host, plan } = station;
    if (host === undefined) continue;
    timers += TIMERS_OF_HOST;
    const { reassembly } = host.statistics();
    const taken =
      reassembly.freeSlots + reassembly.pending + reassembly.handedOut + reassembly.abandonedSlots;
    if (reassembly.slots !== plan.slots || taken !== plan.slots)
      world.trace.complain(`${taken} slots of ${plan.slots}: ${JSON.stringify(reassembly)}`);
    for (const [, made] of station.interfaces) {
      timers += TIMERS_OF_INTERFACE + 4 * plan.neighbours;
      for (const family of [4, 6] as const) {
        const all = [...made.neighboursOf(family).values()];
        if (all.length > 2 * plan.neighbours)
          world.trace.complain(`${all.length} neighbours where ${plan.neighbours} are the limit`);
        const parked = all.reduce((sum, one) => sum + one.parked.length, 0);
        if (parked > MOST_PARKED) world.trace.complain(`${parked} packets are parked`);
      }
    }
  }
  if (world.loop.timers > timers)
    world.trace.complain(`${world.loop.timers} timers wait where ${timers} are many`);
  for (const complaint of world.loop.complaints.splice(0)) world.trace.complain(complaint);
};

/** As the stations join with. */
const MOST_PARKED = 16;

/** Whether no packet is held back on its way, or waits for a neighbour. */
export const isQuiet = (world: World): boolean =>
  world.ports.every((port) => port.faulty.nextDueMs === Infinity) &&
  world.stations.every((station) =>
    station.interfaces.every(([, made]) =>
      ([4, 6] as const).every((family) =>
        [...made.neighboursOf(family).values()].every((one) => one.parked.length === 0),
      ),
    ),
  );

/** Checks that nothing is under way: what is kept is what programs keep. */
export const checkQuiet = (world: World): void => {
  let kept = 0;
  for (const umem of umemsOf(world)) {
    const accounts = accountsOf(world, umem);
    if (accounts === undefined) continue;
    kept += accounts.kept;
    if (accounts.tx !== 0) world.trace.complain(`${accounts.tx} chunks are being sent, forever`);
  }
  let programs = 0;
  for (const { host, kept: held } of world.stations) {
    // What lies in slots of a host that has ended is no more than garbage.
    programs += held.filter((one) => one.host === host || isFrame(world, one.datagram.bytes)).length;
    kept += host?.statistics().reassembly.handedOut ?? 0;
  }
  if (kept !== programs) world.trace.complain(`${kept} packets are kept, ${programs} of them by programs`);
};

const isFrame = (world: World, bytes: Uint8Array): boolean =>
  [...umemsOf(world)].some((umem) => umem.bytes === bytes);

/** Checks that all is given back: hosts and devices are closed. */
export const checkOver = (world: World): void => {
  for (const umem of umemsOf(world)) {
    const accounts = accountsOf(world, umem);
    if (accounts !== undefined && accounts.pool !== accounts.total)
      world.trace.complain(`chunks are missing at the end: ${JSON.stringify(accounts)}`);
  }
  if (world.loop.timers !== 0) world.trace.complain(`${world.loop.timers} timers are left at the end`);
  const { devices } = world.loop.statistics();
  if (devices !== 0) world.trace.complain(`${devices} devices are left in the loop`);
};

const umemsOf = (world: World): Set<MemoryUmem> => {
  const all = new Set(world.umems);
  for (const { umem } of world.loop.devices) if (umem instanceof MemoryUmem) all.add(umem);
  return all;
};

const accountsOf = (world: World, umem: MemoryUmem): Accounts | undefined => {
  try {
    return umem.accounts();
  } catch (error) {
    world.trace.complain(String(error));
    return undefined;
  }
};
