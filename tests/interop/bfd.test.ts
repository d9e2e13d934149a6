/**
 * BFD of ours against FRR's bfdd and BIRD: both families up, times changed by either end, silent cuts of each direction seen and
 * healed, operators at either end, echoes by way of the far kernel, keys; and tshark finds nothing wrong with our frames.
 *
 * Times are those of a busy machine. BFD_SOAK=minutes keeps sessions of both up under load for so long besides.
 */
import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Bfd } from "../../index.ts";
import { bfd } from "../../stack/wire/index.ts";
import { BesideBed } from "../support/beside-bed.ts";
import { BfdBed, type Direction, type Starter } from "../support/bfd-bed.ts";
import { FRR_FOLDER, type FrrPeer, startBird, startFrr } from "../support/bfd-peers.ts";
import { soak } from "../support/bfd-soak.ts";
import { Lab, until } from "../support/lab.ts";
import * as tools from "../support/peer-tools.ts";
import { PATIENCE_MS, ServedBed } from "../support/served-bed.ts";
import { skipUnless, skipWithoutLab } from "../support/skip.ts";

const LIMIT_MS = 120_000;
/** Both ends begin with these. */
const TIMES = { intervalMs: 50, multiplier: 3 };
/** Late by so much is still the detection time's work, on a machine where everybody waits for a processor. */
const LATE_MS = 1000;

const noLab = skipWithoutLab(Lab.unavailable());
const without = (...names: string[]): boolean => noLab || tools.need("tcpdump", "tshark", "nft", ...names);
const noFrr = (): boolean =>
  without("vtysh") ||
  skipUnless(Bun.which("bfdd", { PATH: FRR_FOLDER }) !== null, "not installed: bfdd", { couldRun: true });

/** The story that every peer goes through. */
const lives = async (start: Starter): Promise<void> => {
  await using bed = await ServedBed.start();
  const ends = await BfdBed.start(bed, start, TIMES, TIMES);
  await ends.up();
  await agreeOnTimes(ends);
  for (const direction of ["out", "in"] as const) await seeCut(ends, direction);
  await obeyOperators(ends);
  await knowTheReborn(ends);
  await ends.finish();
};

/** Poll sequences of either end (RFC 5880 section 6.8.3). */
const agreeOnTimes = async (ends: BfdBed): Promise<void> => {
  const { sessions, peer } = ends;
  for (const session of sessions) session.update({ intervalMs: 40, multiplier: 5 });
  await ends.all(
    "to agree on 50 ms",
    (one) => one.transmitMs === 50 && !one.polling && one.detectionMs === 150,
  );
  await ends.peerSays("up", ({ detectionMs }) => detectionMs === 250);
  await peer.retime({ intervalMs: 30, multiplier: 4 });
  await ends.all("to agree on 40 ms", (one) => one.transmitMs === 40 && one.detectionMs === 160);
  await ends.peerSays("up", ({ detectionMs, intervalMs }) => detectionMs === 200 && intervalMs > 0);
  // Each direction has times of its own: what we send goes by what they take, and back.
  for (const session of sessions) session.update({ intervalMs: 35, minReceiveMs: 90, multiplier: 2 });
  await ends.all("to agree on 90 ms to us", (one) => !one.polling && one.detectionMs === 360);
  await ends.peerSays("up", ({ detectionMs }) => detectionMs === 70);
  for (const session of sessions) session.update(TIMES);
  await peer.retime(TIMES);
  await ends.all("to agree on 50 ms again", (one) => one.transmitMs === 50 && one.detectionMs === 150);
  await ends.up();
};

/** Who hears nothing sees it by the clock, and tells the other, whose packets still pass. */
const seeCut = async (ends: BfdBed, direction: Direction): Promise<void> => {
  const { told } = ends;
  const cutMs = await ends.cut(direction);
  const from = told.length;
  await ends.all("to be down", ({ state }) => state !== "up");
  const first = ends.sessions.map(({ peer }) =>
    told.slice(from).find((one) => one.peer === String(peer) && one.previous === "up")!,
  );
  const why =
    direction === "out" ? bfd.DIAGNOSTIC.DETECTION_TIME_EXPIRED : bfd.DIAGNOSTIC.NEIGHBOUR_SIGNALLED_DOWN;
  for (const one of first) {
    expect(one).toMatchObject({ state: "down", verdict: "down", diagnostic: why });
    if (direction === "out") expect(one.silentMs).toBeGreaterThanOrEqual(150);
    expect(one.atMs - cutMs).toBeLessThan(150 + LATE_MS);
  }
  await ends.heal(direction);
  await ends.up();
};

const obeyOperators = async (ends: BfdBed): Promise<void> => {
  await ends.peer.shut(true);
  await ends.all("to hear of the operator", ({ state }) => state === "down");
  // An operator's hand says nothing of the path (RFC 5882 section 4.2); silence does.
  const verdict = ends.peer.tellsOfOperators ? "unknown" : "down";
  expect(ends.sessions.map((one) => one.verdict)).toEqual([verdict, verdict]);
  await ends.peer.shut(false);
  await ends.up();
  for (const session of ends.sessions) session.disable();
  await ends.peerSays("down");
  expect(ends.sessions.map(({ verdict }) => verdict)).toEqual(["unknown", "unknown"]);
  for (const session of ends.sessions) session.enable();
  await ends.up();
};

/** A daemon that was killed comes back with another number, and says that it is down: no detection time need pass. */
const knowTheReborn = async (ends: BfdBed): Promise<void> => {
  const before = ends.sessions.map((one) => one.statistics());
  await ends.peer.restart();
  await ends.all("to have gone down and up", (one) => {
    const { ups, downs } = before[ends.sessions.indexOf(one)]!;
    const now = one.statistics();
    return now.downs > downs && now.ups > ups && one.state === "up";
  });
  await ends.up();
};

/** Who waits for the other's first packet, at either end (RFC 5880 section 6.1). */
const waitForTheFirst = async (start: Starter): Promise<void> => {
  for (const passive of ["ours", "theirs"] as const) {
    await using bed = await ServedBed.start();
    const ends = await BfdBed.start(
      bed,
      start,
      { ...TIMES, passive: passive === "theirs" },
      { ...TIMES, passive: passive === "ours" },
    );
    await ends.up();
    await ends.finish();
  }
};

/** Between link-local addresses, which are of one link each (RFC 5881 section 4). */
const speakOnOneLink = async (start: Starter): Promise<void> => {
  await using bed = await ServedBed.start();
  const { a, b } = bed.lab;
  const linkLocal = (): string | undefined =>
    /inet6 (fe80::[0-9a-f:]+)\/64 scope link(?! tentative)/.exec(
      bed.sh("a", [`ip -6 addr show dev ${a.name} scope link`]),
    )?.[1];
  await until("the kernel to have a link-local address", () => linkLocal() !== undefined);
  bed.join({ addresses: [`${b.ipv4}/24`], dad: false });
  const ours = (): string | undefined => {
    for (const { address } of bed.host.interfaces[0]!.addresses.values())
      if (address.linkLocal) return String(address);
  };
  await until("a link-local address of ours", () => ours() !== undefined);
  const ends = [{ local: linkLocal()!, peer: ours()! }];
  const protocol = new Bfd(bed.host);
  const session = protocol.session({
    peer: linkLocal()!,
    interface: bed.host.interfaces[0]!.name,
    ...TIMES,
    echoMs: 50,
    reflectEchoMs: 50,
    strict: true,
  });
  expect(session.verdict).toBe("down");
  const peer = await start(bed, ends, TIMES);
  await until("the session to be up", () => session.state === "up", PATIENCE_MS);
  await until("its poll to be answered", () => !session.polling && session.detectionMs === 150, PATIENCE_MS);
  expect(session.verdict).toBe("up");
  await peer.end();
  protocol.close();
  await bed.finish();
};

describe.skipIf(noFrr())("with FRR's bfdd", () => {
  test("a session lives its life", () => lives(startFrr), LIMIT_MS);
  test("either end may wait for the other's first packet", () => waitForTheFirst(startFrr), LIMIT_MS);
  test("a session is strict, between link-local addresses", () => speakOnOneLink(startFrr), LIMIT_MS);

  test(
    "echoes of both ends come back by way of the other's forwarding",
    async () => {
      await using bed = await ServedBed.start({
        prepare: { a: [4, 6].map((family) => `echo 1 > /proc/sys/net/ipv${family}/conf/all/forwarding`) },
      });
      const ends = await BfdBed.start(
        bed,
        startFrr,
        { ...TIMES, echoMs: 50 },
        { ...TIMES, echoMs: 50, reflectEchoMs: 50 },
      );
      await ends.up();
      await ends.all(
        "to have their echoes back",
        (one) => one.statistics().echoesReturned > 20 && one.echoing,
      );
      // Over IPv4 it sends its own to itself, over IPv6 to us: both come back to it.
      const theirs = async (): Promise<number> => {
        const said = await (ends.peer as FrrPeer).shell("show bfd peers counters");
        return Math.min(...[...said.matchAll(/Echo packet input: (\d+)/g)].map(([, count]) => Number(count)));
      };
      await until("echoes of theirs to be sent back", async () => (await theirs()) > 20, PATIENCE_MS);
      for (const session of ends.sessions) expect(session.rttMs).toBeGreaterThan(0);
      const cutMs = await ends.cut("out");
      const from = ends.told.length;
      await ends.all("to be down", ({ state }) => state !== "up");
      for (const { peer } of ends.sessions) {
        const first = ends.told
          .slice(from)
          .find((one) => one.peer === String(peer) && one.previous === "up")!;
        const { ECHO_FAILED, NEIGHBOUR_SIGNALLED_DOWN } = bfd.DIAGNOSTIC;
        expect([ECHO_FAILED, NEIGHBOUR_SIGNALLED_DOWN] as number[]).toContain(first.diagnostic);
        expect(first.atMs - cutMs).toBeLessThan(150 + LATE_MS);
      }
      await ends.heal("out");
      await ends.up();
      await ends.finish();
    },
    LIMIT_MS,
  );
});

describe.skipIf(noFrr())("beside the kernel", () => {
  test(
    "a session with bfdd shares the kernel's addresses, and its echoes are told from the kernel's packets",
    async () => {
      const bed = BesideBed.start({
        prepare: (lab) => {
          for (const family of [4, 6])
            lab.exec("a", ["sh", "-c", `echo 1 > /proc/sys/net/ipv${family}/conf/all/forwarding`]);
        },
      });
      const folder = mkdtempSync(join(tmpdir(), "millrace-bfd-"));
      const protocol = new Bfd(bed.host);
      try {
        const { a, b } = bed.lab;
        const options = { interface: bed.eth.name, ...TIMES, echoMs: 50, reflectEchoMs: 50 };
        const sessions = [a.ipv4, a.ipv6].map((peer) => protocol.session({ peer, ...options }));
        const ends = [
          { local: a.ipv4, peer: b.ipv4 },
          { local: a.ipv6, peer: b.ipv6 },
        ];
        const home = { lab: bed.lab, folder, file: () => "" };
        const peer = await startFrr(home, ends, { ...TIMES, echoMs: 50 });
        const back = (): boolean =>
          sessions.every((one) => one.state === "up" && one.statistics().echoesReturned > 20);
        await until("sessions up, and echoes back", back, PATIENCE_MS);
        await peer.end();
      } finally {
        protocol.close();
        rmSync(folder, { recursive: true, force: true });
        await bed.end();
      }
    },
    LIMIT_MS,
  );
});

describe.skipIf(without("bird", "birdc"))("with BIRD", () => {
  test("a session lives its life", () => lives(startBird), LIMIT_MS);
  test("either end may wait for the other's first packet", () => waitForTheFirst(startBird), LIMIT_MS);
  test("a session is strict, between link-local addresses", () => speakOnOneLink(startBird), LIMIT_MS);

  test(
    "neither end believes the other by another key, or by none",
    async () => {
      for (const authentication of [{ kind: "sha1", key: "open barley" } as const, undefined]) {
        await using bed = await ServedBed.start();
        const ends = await BfdBed.start(
          bed,
          startBird,
          { ...TIMES, authentication: { kind: "keyed sha1", key: "open sesame" } },
          { ...TIMES, ...(authentication === undefined ? {} : { authentication }) },
        );
        await ends.all("to refuse packets", (one) => one.statistics().unproven > 3);
        for (const one of ends.sessions)
          expect([one.state, one.remoteState, one.statistics().received]).toEqual(["down", "down", 0]);
        await ends.peerSays("down");
        await ends.finish();
      }
    },
    LIMIT_MS,
  );

  for (const [kind, theirs] of [
    ["password", "simple"],
    ["md5", "keyed md5"],
    ["meticulous-md5", "meticulous keyed md5"],
    ["sha1", "keyed sha1"],
    ["meticulous-sha1", "meticulous keyed sha1"],
  ] as const) {
    test(
      `each end believes the other by ${theirs}`,
      async () => {
        await using bed = await ServedBed.start();
        const key = "open sesame";
        const ends = await BfdBed.start(
          bed,
          startBird,
          { ...TIMES, authentication: { kind: theirs, key } },
          { ...TIMES, authentication: { kind, key } },
        );
        await ends.up();
        expect(ends.sessions.map((one) => one.statistics().unproven)).toEqual([0, 0]);
        await ends.finish();
      },
      LIMIT_MS,
    );
  }
});

/** Minutes; 0 where nobody asked. */
const SOAK_MINUTES = Number(process.env.BFD_SOAK ?? 0);
const SOAK_TIMES = { intervalMs: Number(process.env.BFD_SOAK_MS ?? 50), multiplier: 3 };
const SOAK_LIMIT_MS = LIMIT_MS + 2 * SOAK_MINUTES * 60_000;

// Nobody waits for it in a run of all tests, and what was not asked for is not skipped either.
if (SOAK_MINUTES > 0) {
  describe.skipIf(noFrr() || without("bird", "birdc", "ping"))("for many minutes", () => {
    test(
      "sessions with FRR's bfdd and BIRD stay up under load",
      async () => {
        const reports = await soak([startFrr, startBird], SOAK_MINUTES, SOAK_TIMES);
        console.log(reports);
        expect(reports.flatMap(({ downs }) => downs)).toEqual([]);
      },
      SOAK_LIMIT_MS,
    );
  });
}
