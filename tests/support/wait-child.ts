/**
 * Programs for the tests of waiting, each in a process of its own, because a wait that never ends could not be ended from
 * inside: `bun run wait-child.ts PROGRAM MODE found|fallback`. It prints one line of JSON.
 */
import { attach, Loop, PollWaiter, Transmitter, type WaitMode, type XdpDevice } from "../../index.ts";
import { Lab } from "./lab.ts";
import { SMALL_BYTES } from "./pair.ts";
import { numbered, settleAccounts } from "./stream.ts";

/** Long, so that whatever ends a sleep shows: nothing that is late by it would pass. */
const LONG_NAP_MS = 2000;
const IDLE_MS = 2000;
const WARM_TURNS = 100_000;
/** Until what the start left to other threads (collector, allocator, compiler) is done. */
const SETTLE_MS = 1500;
const LOAD_MS = 2000;
const TICK_MS = 10;
/** Frames that each of the loaded devices has in flight. */
const WINDOW = 256;

const [, , program, modeWord, runtime] = process.argv;
const mode = modeWord as WaitMode;

const waiter = (): PollWaiter =>
  runtime === "fallback" ? new PollWaiter({ eventLoopFd: -1 }) : new PollWaiter();

const openAt = (lab: Lab, pair: number, side: "a" | "b"): XdpDevice =>
  attach(lab.pairs[pair]![side].name, { namespace: lab.namespace(side), bind: "copy" });

const say = (report: object): void => console.log(JSON.stringify(report));

/** Runs a loop that sleeps long, starts `event` once it does, and says how long after its cause the event was seen. */
const timed = async (loop: Loop, event: (happened: () => void) => void): Promise<number> => {
  const began = performance.now();
  let tookMs = Number.NaN;
  event(() => {
    tookMs = performance.now() - began;
    loop.stop();
  });
  await loop.run();
  return tookMs;
};

/** Every kind of event, each against a loop that would sleep two seconds if it did not end the sleep. */
const wake = async (): Promise<void> => {
  using lab = Lab.create({ quiet: true });
  using a = openAt(lab, 0, "a");
  using b = openAt(lab, 0, "b");
  using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("here") });
  const worker = new Worker(
    URL.createObjectURL(new Blob(["self.onmessage = (e) => setTimeout(() => self.postMessage(1), e.data)"])),
  );
  const send = (code: string): Bun.Subprocess =>
    Bun.spawn([process.execPath, "-e", code], { stdin: "ignore", stdout: "ignore", stderr: "inherit" });
  const kill = (signal: string) => `process.kill(${process.pid}, ${JSON.stringify(signal)})`;
  const events: Readonly<Record<string, (happened: () => void, loop: Loop) => void>> = {
    frame: (happened, loop) => {
      loop.receive(b, happened);
      // Sent by another program: while this one sleeps it could not.
      lab.spawn("a", ["ping", "-c1", "-W1", lab.b.ipv4]);
    },
    link: (happened, loop) => {
      loop.link(b, (event) => {
        if (event.kind === "mtu") happened();
      });
      lab.spawn("b", ["ip", "link", "set", lab.b.name, "mtu", "1400"]);
    },
    server: (happened) => {
      const child = send(`await (await fetch("${server.url}")).text()`);
      void child.exited.then(happened);
    },
    fetch: (happened) =>
      void fetch(server.url)
        .then((response) => response.text())
        .then(happened),
    worker: (happened) => {
      worker.onmessage = happened;
      worker.postMessage(50);
    },
    child: (happened) => void send("0").exited.then(happened),
    SIGINT: (happened, loop) => {
      loop.signal("SIGINT", happened);
      send(kill("SIGINT"));
    },
    SIGUSR1: (happened, loop) => {
      loop.signal("SIGUSR1", happened);
      send(kill("SIGUSR1"));
    },
    timer: (happened, loop) => void loop.after(50, happened),
    promise: (happened) => void Promise.resolve().then(happened),
    immediate: (happened) => void setImmediate(happened),
  };
  const took: Record<string, number> = {};
  for (const [name, event] of Object.entries(events)) {
    using loop = new Loop({ mode, napMs: LONG_NAP_MS, waiter: waiter() });
    loop.add(a);
    took[name] = await timed(loop, (happened) => event(happened, loop));
  }
  // The runtime's own timers are no descriptors: they are late by a nap at the most, so this nap is a usual one.
  using loop = new Loop({ mode, napMs: 5, waiter: waiter() });
  loop.add(b);
  took.runtimeTimer = await timed(loop, (happened) => void setTimeout(happened, 50));
  worker.terminate();
  settleAccounts(a, b);
  say({ took, seesRuntime: waiter().seesRuntime });
};

/** How much of a core an idle loop takes, and how often it turns. */
const idle = async (): Promise<void> => {
  using lab = Lab.create({ quiet: true });
  using b = openAt(lab, 0, "b");
  using loop = new Loop({ mode, waiter: waiter() });
  loop.receive(b, () => {});
  // The compiler's own work at the start would otherwise be most of what is measured.
  for (let turn = 0; turn < WARM_TURNS; turn++) loop.turn();
  setTimeout(() => {
    const before = { ...process.cpuUsage(), ...loop.statistics() };
    const began = performance.now();
    setTimeout(() => {
      const used = process.cpuUsage();
      const ms = performance.now() - began;
      const cpuMs = (used.user - before.user + used.system - before.system) / 1000;
      settleAccounts(b);
      say({ percent: (100 * cpuMs) / ms, turns: loop.statistics().turns - before.turns });
      loop.stop();
    }, IDLE_MS);
  }, SETTLE_MS);
  await loop.run();
};

/** Three devices that never have nothing to do, a server that is asked all the time, and an interval. */
const load = async (): Promise<void> => {
  using lab = Lab.create({ quiet: true, pairs: 3 });
  using open = new DisposableStack();
  const pairs = [0, 1, 2].map((i) => [open.use(openAt(lab, i, "a")), open.use(openAt(lab, i, "b"))] as const);
  using loop = new Loop({ mode, waiter: waiter() });
  const bounced = [0, 0, 0];
  pairs.forEach(([a, b], i) => {
    loop.receive(b, (frame) => void frame.send());
    loop.receive(a, (frame) => {
      bounced[i]! += 1;
      frame.send();
    });
    const sender = new Transmitter(a.queues[0]!);
    for (let n = 0; n < WINDOW; n++) sender.sendBytes(numbered(n, SMALL_BYTES));
    a.queues[0]!.flush();
  });
  using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("here") });
  let ticks = 0;
  let answers = 0;
  let slowestMs = 0;
  const interval = setInterval(() => void (ticks += 1), TICK_MS);
  const ask = async (): Promise<void> => {
    while (loop.running) {
      const asked = performance.now();
      await (await fetch(server.url)).text();
      slowestMs = Math.max(slowestMs, performance.now() - asked);
      answers += 1;
    }
  };
  setTimeout(() => loop.stop(), LOAD_MS);
  const run = loop.run();
  void ask();
  await run;
  clearInterval(interval);
  settleAccounts(...pairs.flat());
  say({ ticks, expectedTicks: LOAD_MS / TICK_MS, answers, slowestMs, bounced });
};

const PROGRAMS: Readonly<Record<string, () => Promise<void>>> = { wake, idle, load };
await PROGRAMS[program!]!();
process.exit(0);
