/**
 * Existing interfaces as the cables of a lab: what they were like before, the shell text that takes them, and the one that
 * gives them back as they were.
 *
 * The way back is written to a file before anything is moved, so that whoever ends the lab can go it: `close`, the shell
 * that outlives a killed process, the next run, or another process that removes a lab by its name.
 */
import { existsSync, mkdirSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./lab-exec.ts";
import { type End, isMiddle, type Plan } from "./lab-plan.ts";

/** How many queues a device has: combined ones where its driver has those, else receive and transmit queues apart. */
interface Channels {
  readonly combined: boolean;
  readonly count: number;
  readonly most: number;
}

/** What a lab changes of a device, as it was before. */
export interface DeviceState {
  readonly name: string;
  readonly mac: string;
  readonly mtu: number;
  readonly channels: Channels | undefined;
  readonly checksums: { readonly tx: string; readonly rx: string };
}

/** One file for each lab that holds devices, named after it: the way back, as text for `sh`. */
export const RETURN_FOLDER = "/run/millrace-lab";
/**
 * A namespace that is deleted lets go of its devices in the kernel's own time, after grace periods: some 100 ms, more where
 * sockets are still open in it, and a hundred times that on an emulated processor.
 */
const THERE_LIMIT_MS = 10_000;
const THERE_STEP_MS = 20;
/** A socket that was closed a moment ago still holds its queue, for a few grace periods; 100 tries of 20 ms outlast them. */
const RESTORE_TRIES = 100;
const RESTORE_STEP_SECONDS = 0.02;

const isThere = (name: string): boolean =>
  run(["ip", "link", "show", "dev", name], { check: false }).code === 0;

/** Waits until every device is in this namespace; throws, naming the missing ones, where one does not come. */
const awaitDevices = (names: readonly string[]): void => {
  const end = performance.now() + THERE_LIMIT_MS;
  for (;;) {
    const missing = names.filter((name) => !isThere(name));
    if (missing.length === 0) return;
    if (performance.now() > end) {
      throw new Error(
        `no interface ${missing.map((name) => `"${name}"`).join(", ")} in this network namespace: ` +
          `not there, or part of another lab`,
      );
    }
    Bun.sleepSync(THERE_STEP_MS);
  }
};

/** `ethtool -l`: two blocks of the same lines, the limits and what is set. */
const readChannels = (name: string): Channels | undefined => {
  const shown = run(["ethtool", "-l", name], { check: false });
  if (shown.code !== 0) return undefined;
  const [limits = "", current = ""] = shown.stdout.split("Current hardware settings");
  const count = (block: string, key: string): number =>
    Number(new RegExp(`^${key}:\\s*(\\d+)`, "m").exec(block)?.[1] ?? 0);
  const combined = count(limits, "Combined");
  if (combined > 0) return { combined: true, count: count(current, "Combined"), most: combined };
  const most = Math.min(count(limits, "RX"), count(limits, "TX"));
  return { combined: false, count: count(current, "RX"), most };
};

const readDevice = (name: string): DeviceState => {
  const [link] = JSON.parse(run(["ip", "-j", "link", "show", "dev", name], {}).stdout) as [
    { readonly address: string; readonly mtu: number },
  ];
  const features = run(["ethtool", "-k", name], {}).stdout;
  const checksum = (way: string): string =>
    new RegExp(`^${way}-checksumming: (on|off)`, "m").exec(features)?.[1] ?? "on";
  return {
    name,
    mac: link.address,
    mtu: link.mtu,
    channels: readChannels(name),
    checksums: { tx: checksum("tx"), rx: checksum("rx") },
  };
};

/** How many queues each end of the plan is to have. */
const queuesOf = (plan: Plan, end: End): number => {
  const facing = isMiddle(end.side) ? (end === plan.middle?.a ? "a" : "b") : end.side;
  return facing === "b" ? plan.queues.b : plan.queues.a;
};

/** The plan's devices as they are now, after a wait for those that a former lab is still letting go of. */
export const readDevices = (plan: Plan): readonly DeviceState[] => {
  const ends = plan.pairs.flatMap((pair) => [pair.a, pair.b]);
  awaitDevices(ends.map((end) => end.name));
  return ends.map((end) => {
    const state = readDevice(end.name);
    const most = state.channels?.most ?? 1;
    const wanted = queuesOf(plan, end);
    if (wanted > most) throw new RangeError(`queues: ${end.name} has ${most} at most, not ${wanted}`);
    return state;
  });
};

const inside = (namespace: string): string => `nsenter --net=/run/netns/${namespace}`;

/**
 * One shell command. A card whose table still spreads frames over more queues has to be told first which ones remain; the
 * table is its own again afterwards.
 */
const setChannels = (namespace: string, name: string, channels: Channels, count: number): string => {
  const words = channels.combined ? `combined ${count}` : `rx ${count} tx ${count}`;
  const ethtool = (option: string, how: string): string =>
    `${inside(namespace)} ethtool ${option} ${name} ${how}`;
  const set = ethtool("-L", words);
  const narrowed = [ethtool("-X", `equal ${count}`), set, ethtool("-X", "default")].join(" && ");
  return `{ ${set} 2>/dev/null || { ${narrowed}; }; }`;
};

/** One call of `ip` for many commands: on a slow machine starting programs is what making a lab takes. */
const batch = (options: string, lines: readonly string[]): string =>
  `ip ${options} -batch - <<EOF\n${lines.join("\n")}\nEOF`;

/** Lines (for `sh -e`) that move the plan's devices into its namespaces and give them the plan's shape. They stay down. */
export const takeLines = (plan: Plan, states: readonly DeviceState[]): string[] => {
  const ends = plan.pairs.flatMap((pair) => [pair.a, pair.b]);
  const shapes = Object.values(plan.namespaces).map((namespace) =>
    batch(
      `-n ${namespace}`,
      ends
        .filter((end) => end.namespace === namespace)
        .map((end) => `link set dev ${end.name} address ${end.mac} mtu ${plan.mtu}`),
    ),
  );
  const queues = ends.flatMap((end) => {
    const channels = states.find((state) => state.name === end.name)?.channels;
    const wanted = queuesOf(plan, end);
    if (channels === undefined || channels.count === wanted) return [];
    return [setChannels(end.namespace, end.name, channels, wanted)];
  });
  // Down, because not every driver changes address or queues of an interface that is up.
  const moves = ends.flatMap(({ name, namespace }) => [
    `link set dev ${name} down`,
    `link set dev ${name} netns ${namespace}`,
  ]);
  return [batch("", moves), ...shapes, ...queues];
};

const restoreLines = (plan: Plan, end: End, state: DeviceState): string[] => {
  const { name, mac, mtu, channels, checksums } = state;
  const lines = [
    batch(`-force -n ${end.namespace}`, [
      `link set dev ${name} down`,
      `link set dev ${name} address ${mac} mtu ${mtu}`,
    ]),
    ...(plan.offloads
      ? []
      : [`${inside(end.namespace)} ethtool -K ${name} tx ${checksums.tx} rx ${checksums.rx}`]),
  ];
  if (channels !== undefined && channels.count !== queuesOf(plan, end)) {
    lines.push(
      `n=0; until ${setChannels(end.namespace, name, channels, channels.count)}; do`,
      `n=$((n+1)); [ $n -lt ${RESTORE_TRIES} ] || break; sleep ${RESTORE_STEP_SECONDS}; done`,
    );
  }
  // In a namespace that is not the one they came from they fall to the initial one, as the kernel has it.
  lines.push(`[ "$here" = yes ] && ip -n ${end.namespace} link set dev ${name} netns $$`);
  return lines;
};

/** Text for `sh`, run before the namespaces go: the devices as they were, and back where they were, down. */
const returnScript = (plan: Plan, states: readonly DeviceState[]): string => {
  const origin = readlinkSync("/proc/self/ns/net");
  const ends = plan.pairs.flatMap((pair) => [pair.a, pair.b]);
  return [
    "exec >/dev/null 2>&1",
    `[ "$(readlink /proc/self/ns/net)" = "${origin}" ] && here=yes || here=no`,
    ...ends.flatMap((end) => {
      const state = states.find(({ name }) => name === end.name);
      if (state === undefined) return [];
      const there = `if ip -n ${end.namespace} link show dev ${end.name}; then`;
      return [there, ...restoreLines(plan, end, state), "fi"];
    }),
    "",
  ].join("\n");
};

/** Writes down the way back of a lab's devices. */
export const recordReturn = (plan: Plan, states: readonly DeviceState[]): void => {
  if (Bun.which("flock") === null) throw new Error("a lab of devices needs flock, which is not installed");
  mkdirSync(RETURN_FOLDER, { recursive: true, mode: 0o700 });
  writeFileSync(join(RETURN_FOLDER, plan.name), returnScript(plan, states), { mode: 0o600 });
};

/** Forgets the way back, where there is one. */
export const forgetReturn = (labName: string): void => rmSync(join(RETURN_FOLDER, labName), { force: true });

/**
 * A shell line that goes the way back in the file `path` (as the shell is to read it), if there is one. Two processes may reap
 * the same lab at the same time: the second waits for the first, and finds nothing to do.
 */
export const returnLine = (path: string): string =>
  `[ -e ${path} ] && flock ${path} sh ${path}; rm -f ${path}`;

/** Shell lines that go the way back for those of the labs that have one. */
export const returnLines = (labNames: readonly string[]): string[] =>
  labNames
    .map((name) => join(RETURN_FOLDER, name))
    .filter((path) => existsSync(path))
    .map(returnLine);

/** The plan with the interface indices that the devices really have: they keep theirs where the namespace has it free. */
export const withIndices = (plan: Plan): Plan => {
  const shown = new Map<string, number>();
  for (const namespace of Object.values(plan.namespaces)) {
    const links = JSON.parse(run(["ip", "-n", namespace, "-j", "link"], {}).stdout) as {
      readonly ifindex: number;
      readonly ifname: string;
    }[];
    for (const link of links) shown.set(`${namespace} ${link.ifname}`, link.ifindex);
  }
  const real = (end: End): End => ({
    ...end,
    index: shown.get(`${end.namespace} ${end.name}`) ?? end.index,
  });
  const pairs = plan.pairs.map((pair) => ({ a: real(pair.a), b: real(pair.b) }));
  const first = pairs[0]!;
  const last = pairs.at(-1)!;
  return plan.middle === undefined
    ? { ...plan, pairs, a: first.a, b: first.b }
    : { ...plan, pairs, a: first.a, b: last.b, middle: { a: first.b, b: last.a } };
};
