/** Features of the program and what is around it: hooks, links, claims, other programs, the kernel's own stack, the loop. */
import { join } from "node:path";
import { type Claims, Loop, Transmitter, type XdpDevice } from "../../../../index.ts";
import { getLink } from "../../../../ffi/net/link.ts";
import { inNamespace } from "../../../../ffi/net/namespace.ts";
import { xdpFeatures } from "../../../../ffi/net/xdp-features.ts";
import { until } from "../../../support/lab.ts";
import { ethernet, ETHERTYPE, ipv4, PROTOCOL, udp } from "../../../support/packets.ts";
import { settleAccounts, stream } from "../../../support/stream.ts";
import { startFile } from "../../../support/subprocess.ts";
import { Absent, type Feature, Wrong } from "./feature.ts";
import { type Stage, warm, warmFrame, WINDOW } from "./stage.ts";

const COUNT = 200;
/** So many frames from one change of claims to the next. */
const CHANGE_EVERY = 8;
const SLEEP_COUNT = 64;
/** Above what a frame needs through two emulated cards. */
const TAG_LIMIT_MS = 4000;
const SMALL = 60;
/** Of the numbered packets of tests/support/stream.ts. */
const NUMBERED_ETHERTYPE = 0x88b5;
const PORT = 9000;
const PINGS = 5;
const SEND_EVERY_MS = 5;
/** Bounds of what is waited for, on an emulated processor that does other things too. */
const LIMIT_MS = 30_000;
const HOLDER = join(import.meta.dir, "holder.ts");
const BROADCAST = Array.from({ length: 6 }, () => 0xff);

const attachIn = (stage: Stage, xdp: "native" | "generic"): string => {
  using device = stage.open(stage.lab.b, { xdp, claim: [] });
  return device.mode.xdp;
};

const ids = (stage: Stage): number[] => {
  const { namespace, name } = stage.lab.b;
  return inNamespace(namespace, () => getLink(name).xdp.map(({ id }) => id));
};

const pingArrives = (stage: Stage): boolean =>
  stage.lab.exec("a", ["ping", "-c1", "-W1", stage.lab.b.ipv4], { check: false }).code === 0;

/** A program that is killed must leave an interface that the kernel has to itself. */
const killed = async (stage: Stage): Promise<string> => {
  const { name, namespace } = stage.lab.b;
  const child = startFile(HOLDER, { args: [name, namespace, stage.kind.xdp] });
  try {
    const reader = child.stdout.getReader();
    const said = await Promise.race([reader.read(), Bun.sleep(LIMIT_MS)]);
    if (said?.value === undefined) throw new Error("the program that was to be killed did not attach");
    if (ids(stage).length === 0) throw new Error("no program on the interface before the kill");
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
  await until("the program to go", () => ids(stage).length === 0, LIMIT_MS);
  await until("the kernel's answer to a ping", () => pingArrives(stage), LIMIT_MS);
  return "no program is left after kill -9, and the kernel answers";
};

const exchangeAfterWarm = (a: XdpDevice, b: XdpDevice): void => {
  warm(a, b);
  stream(a, b, { count: COUNT, length: () => SMALL, window: WINDOW });
};

/** xdp-filter first, we beside it; then it goes while we stay. */
const beside = (stage: Stage): string => {
  if (Bun.which("xdp-filter") === null || Bun.which("xdp-loader") === null)
    throw new Absent("xdp-tools is not installed");
  const { name } = stage.lab.b;
  const mode = stage.kind.xdp === "native" ? "native" : "skb";
  stage.lab.exec("b", ["xdp-filter", "load", "-m", mode, name]);
  // Whatever came of the attempt, and whatever xdp-filter itself makes of its end.
  using clean = new DisposableStack();
  clean.defer(() => stage.lab.exec("b", ["xdp-loader", "unload", name, "--all"], { check: false }));
  using b = stage.open(stage.lab.b, { shared: true });
  using a = stage.open(stage.lab.a);
  stage.awaitLinks();
  exchangeAfterWarm(a, b);
  const { stdout } = stage.lab.exec("b", ["xdp-loader", "status", name]);
  for (const program of ["xdp_dispatcher", "xdpfilt", "steer"])
    if (!stdout.includes(program)) throw new Error(`xdp-loader status does not list ${program}`);
  stage.lab.exec("b", ["xdp-filter", "unload", name]);
  stage.awaitLinks();
  exchangeAfterWarm(a, b);
  return "listed by xdp-loader status with xdp-filter; frames before and after that was unloaded";
};

/** What is passed on must reach the kernel's stack: it answers pings that only come to it through the handler. */
const pass = async (stage: Stage): Promise<string> => {
  using device = stage.open(stage.lab.b);
  stage.awaitLinks();
  const loop = new Loop();
  let failure: unknown;
  loop.receive(device, (frame) => {
    try {
      if (!frame.pass()) failure ??= new Error("the kernel did not take a passed frame");
    } catch (error) {
      failure ??= error;
    }
  });
  const ping = stage.lab.spawn("a", ["ping", "-c", String(PINGS), "-i", "0.3", "-W", "5", stage.lab.b.ipv4]);
  const limit = setTimeout(() => ping.kill("SIGKILL"), LIMIT_MS);
  const running = loop.run();
  const code = await ping.exited;
  clearTimeout(limit);
  loop.stop();
  await running;
  loop.close();
  if (failure !== undefined) throw failure;
  const passed = device.queues.reduce((sum, queue) => sum + queue.statistics().passed, 0);
  if (code !== 0)
    throw new Error(`${passed} frames passed on, and the kernel answered none of ${PINGS} pings`);
  return `the kernel answered pings out of ${passed} frames passed to it`;
};

/** Lists that both claim the stream replace one another while it flows: nothing may be missing. */
const changing = (stage: Stage): string =>
  stage.between((a, b) => {
    const lists: readonly Claims[] = [
      { ethertype: NUMBERED_ETHERTYPE },
      [{ ethertype: NUMBERED_ETHERTYPE }, { udp: PORT }, { destination: "10.0.0.0/8", tcp: PORT }],
      "everything",
    ];
    let changes = 0;
    stream(a, b, {
      count: COUNT,
      length: () => SMALL,
      window: WINDOW,
      then: (_, n) => {
        if (n % CHANGE_EVERY === 0) b.setClaims(lists[changes++ % lists.length]!);
      },
    });
    return `${changes} changes while ${COUNT} frames flowed`;
  });

const taggedPacket = (port: number): Uint8Array =>
  ethernet(ETHERTYPE.ipv4, ipv4({ protocol: PROTOCOL.udp }, udp(port, new Uint8Array(SMALL))), {
    to: BROADCAST,
    tags: [ETHERTYPE.vlan],
  });

/** A tagged datagram for another port, which is the kernel's, and one for ours: whether that arrives, tag and all. */
const tagArrives = (a: XdpDevice, b: XdpDevice): boolean => {
  const seen: Uint8Array[] = [];
  const loop = new Loop({ mode: "spin" });
  loop.receive(b, (frame) => void seen.push(frame.copy()));
  loop.add(a);
  const sender = new Transmitter(a.queues[0]!);
  sender.sendBytes(taggedPacket(PORT + 1));
  sender.sendBytes(taggedPacket(PORT));
  const end = performance.now() + TAG_LIMIT_MS;
  while (seen.length === 0 && performance.now() < end) loop.turn();
  loop.close();
  return seen.length === 1 && Buffer.from(taggedPacket(PORT)).equals(seen[0]!);
};

/** Cards filter by VLAN, and take tags off: what keeps a tagged frame away is found by switching it off, one after the other. */
const TAG_REMEDIES: readonly { readonly on: readonly string[]; readonly off: readonly string[] }[] = [
  {
    on: ["ip", "link", "set", "dev", "IFACE", "promisc", "on"],
    off: ["ip", "link", "set", "dev", "IFACE", "promisc", "off"],
  },
  { on: ["ethtool", "-K", "IFACE", "rxvlan", "off"], off: ["ethtool", "-K", "IFACE", "rxvlan", "on"] },
];

const tagged = (stage: Stage): string =>
  stage.between((a, b) => {
    const claims = { udp: PORT };
    b.setClaims(claims);
    if (tagArrives(a, b)) return "claimed by port behind the tag, and arrives with it";
    using clean = new DisposableStack();
    const named = (command: readonly string[]): string[] =>
      command.map((word) => (word === "IFACE" ? b.name : word));
    const tried: string[] = [];
    for (const { on, off } of TAG_REMEDIES) {
      stage.lab.exec("b", named(on), { check: false });
      clean.defer(() => stage.lab.exec("b", named(off), { check: false }));
      tried.push(on.join(" "));
      stage.awaitLinks();
      b.setClaims("everything");
      warm(a, b);
      b.setClaims(claims);
      if (tagArrives(a, b))
        throw new Wrong("the card keeps tagged frames, or their tags, from XDP", tried.join("; "));
    }
    throw new Error(`no tagged frame arrives as it was sent, also not after ${tried.join("; ")}`);
  });

/** What the driver says of itself over netlink must be what a bind finds. */
const toldFeatures = (stage: Stage): string => {
  const { namespace, name } = stage.lab.b;
  const told = inNamespace(namespace, () => xdpFeatures(getLink(name).index));
  if (told === undefined) throw new Absent("before Linux 6.3; doctor then says unknown, and to try");
  const words = Object.entries(told).flatMap(([word, has]) => (has ? [word] : []));
  return words.join(", ");
};

/** A loop that sleeps whenever it can must be woken by each frame. */
const sleeping = async (stage: Stage): Promise<string> => {
  using a = stage.open(stage.lab.a);
  using b = stage.open(stage.lab.b);
  stage.awaitLinks();
  warm(a, b);
  const loop = new Loop({ mode: "sleep" });
  const sender = new Transmitter(a.queues[0]!);
  let got = 0;
  let sent = 0;
  let late = false;
  loop.receive(b, () => {
    got += 1;
    if (got === SLEEP_COUNT) loop.stop();
  });
  loop.add(a);
  loop.every(SEND_EVERY_MS, () => {
    if (sent < SLEEP_COUNT && sender.sendBytes(warmFrame())) sent += 1;
  });
  loop.after(LIMIT_MS, () => {
    late = true;
    loop.stop();
  });
  await loop.run();
  const { sleeps } = loop.statistics();
  loop.close();
  if (late) throw new Error(`${got} of ${sent} frames woke the loop`);
  if (sleeps === 0) throw new Error("the loop never slept");
  settleAccounts(a, b);
  return `${got} frames, ${sleeps} sleeps`;
};

export const PROGRAM_FEATURES: readonly Feature[] = [
  { name: "attach, generic", attempt: (stage) => attachIn(stage, "generic") },
  { name: "attach, native", attempt: (stage) => attachIn(stage, "native") },
  { name: "driver tells its features", attempt: toldFeatures },
  { name: "claims change under traffic", attempt: changing },
  { name: "claims behind VLAN tags", alone: true, attempt: tagged },
  { name: "frame.pass()", attempt: pass },
  { name: "a sleeping loop is woken", attempt: sleeping },
  { name: "nothing left after kill -9", attempt: killed },
  { name: "shared: true, beside xdp-filter", alone: true, attempt: beside },
];
