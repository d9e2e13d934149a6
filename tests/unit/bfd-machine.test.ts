/** BFD's state machine: the rows of RFC 5880 section 6.8.6, timers, poll sequences, demand, silence, jitter, any packets at all. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import * as bfd from "../../stack/wire/bfd.ts";
import { Bench, OUR_DISCRIMINATOR, PEER, PEERS_DISCRIMINATOR } from "../support/bfd-bench.ts";

const { STATE, DIAGNOSTIC } = bfd;
const { ADMIN_DOWN, DOWN, INIT, UP } = STATE;

/** Brings a bench into a state. */
const inState = (state: bfd.State): Bench => {
  const bench = state === UP ? Bench.up() : Bench.started();
  if (state === DOWN) bench.hear({ state: UP });
  if (state === INIT) bench.hear({ state: DOWN });
  if (state === ADMIN_DOWN) bench.machine.disable(bench.nowMs);
  expect(bench.machine.state).toBe(state);
  bench.take();
  bench.transitions.length = 0;
  return bench;
};

describe("a packet that is taken", () => {
  // Section 6.8.6: state by state heard. The diagnostic is that of a change, undefined where there is none.
  const rows: readonly (readonly [own: bfd.State, heard: bfd.State, becomes: bfd.State, why?: number])[] = [
    [DOWN, ADMIN_DOWN, DOWN],
    [DOWN, DOWN, INIT, DIAGNOSTIC.NONE],
    [DOWN, INIT, UP, DIAGNOSTIC.NONE],
    [DOWN, UP, DOWN],
    [INIT, ADMIN_DOWN, DOWN, DIAGNOSTIC.NEIGHBOUR_SIGNALLED_DOWN],
    [INIT, DOWN, INIT],
    [INIT, INIT, UP, DIAGNOSTIC.NONE],
    [INIT, UP, UP, DIAGNOSTIC.NONE],
    [UP, ADMIN_DOWN, DOWN, DIAGNOSTIC.NEIGHBOUR_SIGNALLED_DOWN],
    [UP, DOWN, DOWN, DIAGNOSTIC.NEIGHBOUR_SIGNALLED_DOWN],
    [UP, INIT, UP],
    [UP, UP, UP],
    [ADMIN_DOWN, ADMIN_DOWN, ADMIN_DOWN],
    [ADMIN_DOWN, DOWN, ADMIN_DOWN],
    [ADMIN_DOWN, INIT, ADMIN_DOWN],
    [ADMIN_DOWN, UP, ADMIN_DOWN],
  ];
  const name = (state: bfd.State): string => Object.keys(STATE)[state]!;
  for (const [own, heard, becomes, why] of rows) {
    test(`in ${name(own)} of ${name(heard)} makes it ${name(becomes)}`, () => {
      const bench = inState(own);
      bench.nowMs += 7;
      const reception = bench.hear({ state: heard });
      expect(reception).toBe(own === ADMIN_DOWN ? "disabled" : "taken");
      expect(bench.machine.state).toBe(becomes);
      const changes = bench.transitions.map(({ state, previous, diagnostic }) => [
        previous,
        state,
        diagnostic,
      ]);
      expect(changes).toEqual(own === becomes ? [] : [[own, becomes, why!]]);
      // A change is told at once, in one packet.
      expect(bench.take().map(({ state }) => state)).toEqual(own === becomes ? [] : [becomes]);
    });
  }

  test("teaches the peer's number, state, reason and times", () => {
    const bench = Bench.started();
    bench.hear({
      myDiscriminator: 77,
      diagnostic: 5,
      detectMultiplier: 4,
      desiredMinTxUs: 50_000,
      requiredMinRxUs: 2_000_000,
    });
    const { machine } = bench;
    expect(machine.remoteDiscriminator).toBe(77);
    expect(machine.remoteState).toBe(DOWN);
    expect(machine.remoteDiagnostic).toBe(5);
    expect(machine.intervals.detectMs).toBe(200);
    expect(machine.intervals.transmitMs).toBe(2000);
    expect(bench.take().map(({ yourDiscriminator }) => yourDiscriminator)).toEqual([77]);
    // Another number is news by itself.
    bench.hear({ state: INIT, myDiscriminator: 78 });
    bench.hear({ state: UP, myDiscriminator: 78, final: true });
    bench.take();
    bench.hear({ state: UP, myDiscriminator: 79 });
    expect(bench.take().map(({ yourDiscriminator, state }) => [yourDiscriminator, state])).toEqual([
      [79, UP],
    ]);
  });

  test("is answered at once where it polls, whatever else, and the answer does not poll", () => {
    for (const state of [DOWN, INIT, UP] as const) {
      const bench = inState(state);
      for (let i = 0; i < 3; i++) {
        bench.hear({ state: state === DOWN ? UP : INIT, poll: true });
        const answers = bench.take();
        expect(answers.map(({ final, poll }) => [final, poll])).toEqual([[true, false]]);
        expect(answers[0]!.yourDiscriminator).toBe(PEERS_DISCRIMINATOR);
      }
    }
  });
});

describe("silence", () => {
  test("of a detection time ends a session that is up, and not before", () => {
    const bench = Bench.up();
    expect(bench.machine.intervals.detectMs).toBe(30);
    bench.runHearing(500, 29.9, { state: UP });
    expect(bench.transitions).toEqual([]);
    const heardMs = bench.nowMs;
    bench.run(29.9);
    expect(bench.machine.state).toBe(UP);
    bench.take();
    bench.run(0.2);
    expect(bench.transitions).toEqual([
      {
        state: DOWN,
        previous: UP,
        diagnostic: DIAGNOSTIC.DETECTION_TIME_EXPIRED,
        silentMs: expect.closeTo(30, 6),
        atMs: expect.closeTo(heardMs + 30, 6),
      },
    ]);
    // Told at once, slow from now on, and to somebody who is unknown again (sections 6.8.1 and 6.8.3).
    const [told] = bench.take();
    expect(told).toMatchObject({
      state: DOWN,
      diagnostic: DIAGNOSTIC.DETECTION_TIME_EXPIRED,
      yourDiscriminator: 0,
      desiredMinTxUs: 1_000_000,
      requiredMinRxUs: 10_000,
      poll: false,
    });
  });

  test("ends one that is in Init, and forgets the peer of one that is down", () => {
    const bench = inState(INIT);
    bench.run(31);
    expect(bench.transitions.map(({ state }) => state)).toEqual([DOWN]);
    const down = Bench.started();
    down.hear({ state: UP });
    expect(down.machine.remoteDiscriminator).toBe(PEERS_DISCRIMINATOR);
    down.run(31);
    expect(down.machine.remoteDiscriminator).toBe(0);
    expect(down.transitions).toEqual([]);
  });

  test("is not broken by packets that are not taken", () => {
    const bench = Bench.up();
    for (let i = 0; i < 6; i++) {
      bench.run(6);
      expect(bench.hear({ state: UP, authentication: SOME_PASSWORD })).toBe("unproven");
    }
    expect(bench.machine.state).toBe(DOWN);
  });

  test("while we were away ourselves may be heard yet: once, and no longer than a detection time", () => {
    for (const [awayMs, graceMs] of [
      [40, 10],
      [500, 30],
    ] as const) {
      const bench = Bench.up();
      bench.nowMs += awayMs;
      bench.machine.advance(bench.nowMs);
      expect(bench.machine.state).toBe(UP);
      // What lay in a ring.
      bench.nowMs += graceMs - 1;
      bench.hear({ state: UP });
      bench.run(29);
      expect(bench.machine.state).toBe(UP);
      bench.hear({ state: UP });
      bench.nowMs += awayMs;
      bench.machine.advance(bench.nowMs);
      bench.run(graceMs - 0.1);
      expect(bench.machine.state).toBe(UP);
      bench.nowMs += 50;
      bench.machine.advance(bench.nowMs);
      expect(bench.transitions.map(({ state }) => state)).toEqual([DOWN]);
    }
  });

  test("of echoes while we were away is no failure either", () => {
    const echo = { state: UP, requiredMinEchoRxUs: 20_000 };
    const bench = Bench.up({ echoMs: 20 }, { requiredMinEchoRxUs: 20_000 });
    bench.run(1);
    bench.machine.echoReturned(bench.echoes[0]!.sequence, bench.nowMs);
    bench.hear({ ...echo, final: true });
    bench.nowMs += 200;
    bench.machine.advance(bench.nowMs);
    expect(bench.machine.state).toBe(UP);
    bench.machine.echoReturned(bench.echoes.at(-1)!.sequence, bench.nowMs + 1);
    bench.run(59);
    expect(bench.machine.state).toBe(UP);
  });

  test("is measured by what the peer said last, from that packet on", () => {
    const bench = Bench.up();
    for (const [detectMultiplier, desiredMinTxUs, detectMs] of [
      [5, 10_000, 50],
      [2, 10_000, 20],
      [2, 100_000, 200],
      [255, 0, 2550],
      [1, 10_000, 10],
    ] as const) {
      bench.hear({ state: UP, detectMultiplier, desiredMinTxUs });
      expect(bench.machine.intervals.detectMs).toBe(detectMs);
      bench.run(detectMs - 0.1);
      expect(bench.machine.state).toBe(UP);
    }
    bench.run(0.2);
    expect(bench.machine.state).toBe(DOWN);
  });

  test("is measured by the slower of what we take and what the peer sends (section 6.8.4)", () => {
    for (const [minReceiveMs, desiredMinTxUs, detectMultiplier, detectMs] of [
      [10, 40_000, 3, 120],
      [50, 40_000, 3, 150],
      [50, 50_000, 1, 50],
      [20, 10_000, 255, 5100],
    ] as const) {
      const bench = Bench.up({ minReceiveMs }, { desiredMinTxUs, detectMultiplier });
      expect(bench.machine.intervals.detectMs).toBe(detectMs);
    }
  });
});

const SOME_PASSWORD: bfd.BfdAuthentication = {
  kind: bfd.AUTHENTICATION.SIMPLE_PASSWORD,
  keyId: 1,
  password: Uint8Array.of(1, 2, 3),
};

describe("packets of ours", () => {
  test("leave at once, then once a second less up to a quarter, while nobody answers", () => {
    const bench = new Bench();
    bench.machine.enable(bench.nowMs);
    bench.run(60_000);
    const sent = bench.take();
    expect(sent[0]).toMatchObject({
      atMs: 1000,
      state: DOWN,
      yourDiscriminator: 0,
      desiredMinTxUs: 1_000_000,
    });
    expect(sent[0]!.myDiscriminator).toBe(OUR_DISCRIMINATOR);
    expectGaps(sent, 750, 1000);
  });

  test("come at the slower of what we want and what the peer takes, less up to a quarter", () => {
    for (const [intervalMs, requiredMinRxUs, expected] of [
      [10, 10_000, 10],
      [10, 50_000, 50],
      [50, 10_000, 50],
    ] as const) {
      const bench = Bench.up({ intervalMs }, { requiredMinRxUs });
      bench.runHearing(expected * 300, 5, { state: UP, requiredMinRxUs });
      expectGaps(bench.take(), expected * 0.75, expected);
    }
  });

  test("are never later than nine tenths where one missing ends the session (section 6.8.7)", () => {
    const bench = Bench.up({ multiplier: 1 });
    bench.runHearing(3000, 5, { state: UP });
    expectGaps(bench.take(), 7.5, 9);
  });

  test("stop where the peer takes none, but for answers and news", () => {
    const bench = Bench.up();
    bench.hear({ state: UP, requiredMinRxUs: 0 });
    bench.runHearing(200, 5, { state: UP, requiredMinRxUs: 0 });
    expect(bench.take()).toEqual([]);
    bench.hear({ state: UP, requiredMinRxUs: 0, poll: true });
    expect(bench.take()).toHaveLength(1);
    bench.hear({ state: DOWN, requiredMinRxUs: 0 });
    expect(bench.take()).toHaveLength(1);
    // One that fell silent is taken to listen again.
    bench.run(10_000);
    expect(bench.take().length).toBeGreaterThan(9);
  });

  test("stop where the peer asks for demand mode and both are up, but for answers (section 6.8.7)", () => {
    const bench = Bench.up();
    const demand = { state: UP, demand: true };
    bench.hear(demand);
    bench.runHearing(200, 5, demand);
    expect(bench.take()).toEqual([]);
    bench.hear({ ...demand, poll: true });
    expect(bench.take().map(({ final }) => final)).toEqual([true]);
    // A poll of ours goes on beat, and ends by its answer.
    bench.machine.retime({ txUs: 20_000, rxUs: 20_000, multiplier: 3 }, bench.nowMs);
    bench.runHearing(100, 5, demand);
    const polls = bench.take();
    expect(polls.length).toBeGreaterThan(5);
    expect(polls.every(({ poll, demand: asks }) => poll && !asks)).toBe(true);
    bench.hear({ ...demand, final: true });
    bench.runHearing(100, 5, demand);
    expect(bench.take()).toEqual([]);
    // The state counts: a peer that is not up any more hears us again.
    bench.hear({ state: INIT, demand: true });
    bench.runHearing(100, 5, { state: INIT, demand: true });
    expect(bench.take().length).toBeGreaterThan(3);
  });

  test("wait for the peer's first where the session is passive (section 6.8.7)", () => {
    const bench = new Bench({ passive: true });
    bench.machine.enable(bench.nowMs);
    bench.run(20_000);
    expect(bench.take()).toEqual([]);
    bench.hear({ state: DOWN, yourDiscriminator: 0 });
    expect(bench.take()).toHaveLength(1);
    // Who fell silent is to speak first again.
    bench.run(40_000);
    expect(bench.take()).toEqual([]);
  });

  test("honour a peer that takes more at once (section 6.8.3)", () => {
    const bench = Bench.up({}, { requiredMinRxUs: 1_000_000 });
    bench.runHearing(600, 5, { state: UP, requiredMinRxUs: 1_000_000 });
    bench.take();
    bench.hear({ state: UP, requiredMinRxUs: 10_000 });
    const before = bench.nowMs;
    bench.run(10);
    expect(bench.take()[0]!.atMs - before).toBeLessThanOrEqual(10);
  });
});

const expectGaps = (sent: readonly { readonly atMs: number }[], least: number, most: number): void => {
  expect(sent.length).toBeGreaterThan(20);
  const gaps = sent.slice(1).map(({ atMs }, i) => atMs - sent[i]!.atMs);
  expect(Math.min(...gaps)).toBeGreaterThanOrEqual(least - 1e-6);
  expect(Math.max(...gaps)).toBeLessThanOrEqual(most + 1e-6);
  // All of the range is used, as randomness would.
  expect(Math.max(...gaps) - Math.min(...gaps)).toBeGreaterThan((most - least) * 0.7);
};

describe("a poll sequence", () => {
  test("begins as the session comes up, goes on beat, and ends with the answer", () => {
    const bench = Bench.started();
    bench.hear({ state: INIT });
    const [first] = bench.take();
    expect(first).toMatchObject({ state: UP, poll: true, desiredMinTxUs: 10_000 });
    bench.runHearing(100, 5, { state: UP });
    const polls = bench.take();
    expect(polls.every(({ poll }) => poll)).toBe(true);
    expectGapsWithin(polls, 7.5, 10);
    bench.hear({ state: UP, final: true });
    bench.runHearing(100, 5, { state: UP });
    expect(bench.take().every(({ poll }) => !poll)).toBe(true);
  });

  test("measures the round trip where one question has one answer", () => {
    const bench = Bench.started();
    bench.hear({ state: INIT });
    bench.nowMs += 3;
    bench.hear({ state: UP, final: true });
    expect(bench.machine.rttMs).toBe(3);
    bench.hear({ state: UP });
    bench.machine.retime({ txUs: 20_000, rxUs: 10_000, multiplier: 3 }, bench.nowMs);
    bench.runHearing(20, 4, { state: UP });
    expect(bench.take().filter(({ poll }) => poll).length).toBeGreaterThan(1);
    bench.hear({ state: UP, final: true });
    expect(bench.machine.rttMs).toBe(3);
    // An answer that nobody asked for.
    bench.nowMs += 5;
    bench.hear({ state: UP, final: true });
    expect(bench.machine.rttMs).toBe(3);
  });

  test("holds a slower beat, and a shorter patience, back until it ends (section 6.8.3)", () => {
    const bench = Bench.up();
    const { intervals } = bench.machine;
    bench.machine.retime({ txUs: 50_000, rxUs: 5_000, multiplier: 5 }, bench.nowMs);
    expect(bench.take()[0]).toMatchObject({
      poll: true,
      desiredMinTxUs: 50_000,
      requiredMinRxUs: 5_000,
      detectMultiplier: 5,
    });
    expect(intervals.transmitMs).toBe(10);
    expect(intervals.detectMs).toBe(30);
    bench.hear({ state: UP, desiredMinTxUs: 5_000 });
    expect(intervals.detectMs).toBe(30);
    bench.hear({ state: UP, final: true, desiredMinTxUs: 5_000 });
    expect(intervals.transmitMs).toBe(50);
    expect(intervals.detectMs).toBe(15);
  });

  test("takes a quicker beat, and more patience, at once", () => {
    const bench = Bench.up({ intervalMs: 50 }, { desiredMinTxUs: 50_000 });
    const { intervals } = bench.machine;
    bench.machine.retime({ txUs: 20_000, rxUs: 80_000, multiplier: 3 }, bench.nowMs);
    expect(intervals.transmitMs).toBe(20);
    expect(intervals.detectMs).toBe(240);
  });

  test("waits for one that runs, and for a packet without an answer behind it", () => {
    const bench = Bench.up();
    bench.machine.retime({ txUs: 20_000, rxUs: 10_000, multiplier: 3 }, bench.nowMs);
    bench.machine.retime({ txUs: 30_000, rxUs: 10_000, multiplier: 3 }, bench.nowMs);
    bench.runHearing(50, 5, { state: UP });
    expect(new Set(bench.take().map(({ desiredMinTxUs }) => desiredMinTxUs))).toEqual(new Set([20_000]));
    bench.hear({ state: UP, final: true });
    bench.hear({ state: UP, final: true });
    expect(bench.take()).toEqual([]);
    bench.hear({ state: UP });
    expect(bench.take()[0]).toMatchObject({ poll: true, desiredMinTxUs: 30_000 });
    bench.hear({ state: UP, final: true });
    expect(bench.machine.intervals.transmitMs).toBe(30);
  });

  test("ends with the session, whose times then hold at once", () => {
    const bench = Bench.up();
    bench.machine.retime({ txUs: 50_000, rxUs: 5_000, multiplier: 3 }, bench.nowMs);
    bench.hear({ state: DOWN });
    expect(bench.machine.intervals.poll).toBe("idle");
    expect(bench.machine.intervals.transmitMs).toBe(1000);
    expect(bench.take().at(-1)).toMatchObject({ poll: false, desiredMinTxUs: 1_000_000 });
  });
});

const expectGapsWithin = (sent: readonly { readonly atMs: number }[], least: number, most: number): void => {
  const gaps = sent.slice(1).map(({ atMs }, i) => atMs - sent[i]!.atMs);
  for (const gap of gaps) {
    expect(gap).toBeGreaterThanOrEqual(least - 1e-6);
    expect(gap).toBeLessThanOrEqual(most + 1e-6);
  }
};

describe("an operator", () => {
  test("takes it down: told at once, repeated, deaf to all, up again when he says so", () => {
    const bench = Bench.up();
    bench.machine.disable(bench.nowMs);
    expect(bench.take()[0]).toMatchObject({
      state: ADMIN_DOWN,
      diagnostic: DIAGNOSTIC.ADMINISTRATIVELY_DOWN,
      yourDiscriminator: PEERS_DISCRIMINATOR,
    });
    expect(bench.hear({ state: DOWN, poll: true })).toBe("disabled");
    expect(bench.take()).toEqual([]);
    bench.run(5000);
    expect(bench.take().every(({ state }) => state === ADMIN_DOWN)).toBe(true);
    bench.machine.enable(bench.nowMs);
    expect(bench.take()[0]).toMatchObject({ state: DOWN, diagnostic: DIAGNOSTIC.NONE });
    bench.hear({ state: DOWN });
    bench.hear({ state: UP });
    expect(bench.machine.state).toBe(UP);
  });
});

describe("echoes", () => {
  const echoing = { requiredMinEchoRxUs: 20_000 };
  const returnAll = (bench: Bench, from = 0): void => {
    for (const { sequence } of bench.echoes.slice(from)) bench.machine.echoReturned(sequence, bench.nowMs);
  };

  test("run where both want them, on the slower beat, with control packets once a second", () => {
    const bench = Bench.up({ echoMs: 10 }, echoing);
    bench.hear({ state: UP, final: true, ...echoing });
    bench.hear({ state: UP, ...echoing });
    bench.run(1);
    returnAll(bench);
    expect(bench.machine.echo.active).toBe(true);
    bench.take();
    bench.hear({ state: UP, final: true, ...echoing });
    for (let i = 0; i < 400; i++) {
      const before = bench.echoes.length;
      bench.run(5);
      bench.hear({ state: UP, ...echoing });
      returnAll(bench, before);
    }
    expect(bench.machine.state).toBe(UP);
    expectGaps(bench.echoes, 15, 20);
    expect(bench.take().every(({ requiredMinRxUs }) => requiredMinRxUs === 1_000_000)).toBe(true);
    expect(bench.machine.rttMs).toBeLessThanOrEqual(5);
  });

  test("are never later than nine tenths where one missing ends the session", () => {
    const bench = Bench.up({ echoMs: 20, multiplier: 1 }, echoing);
    for (let i = 0; i < 400; i++) {
      const before = bench.echoes.length;
      bench.run(1);
      returnAll(bench, before);
      if (i % 5 === 0) bench.hear({ state: UP, ...echoing });
    }
    expect(bench.machine.state).toBe(UP);
    expectGaps(bench.echoes, 15, 18);
  });

  test("that stay out end the session", () => {
    const bench = Bench.up({ echoMs: 20, multiplier: 4 }, echoing);
    bench.run(1);
    returnAll(bench);
    bench.run(50);
    bench.hear({ state: UP, ...echoing });
    returnAll(bench);
    const heard = bench.nowMs;
    bench.runHearing(100, 5, { state: UP, ...echoing });
    expect(bench.transitions[0]).toMatchObject({
      state: DOWN,
      diagnostic: DIAGNOSTIC.ECHO_FAILED,
      atMs: expect.closeTo(heard + 80, 6),
      silentMs: expect.closeTo(80, 6),
    });
    const count = bench.echoes.length;
    bench.run(1000);
    expect(bench.echoes).toHaveLength(count);
  });

  test("stop where the peer wants them no more, or one of both is not up, or nobody asked for them", () => {
    const bench = Bench.up({ echoMs: 20 }, echoing);
    expect(bench.machine.echo.running).toBe(true);
    bench.hear({ state: UP, requiredMinEchoRxUs: 0 });
    expect(bench.machine.echo.running).toBe(false);
    bench.hear({ state: UP, ...echoing });
    expect(bench.machine.echo.running).toBe(true);
    bench.machine.disable(bench.nowMs);
    expect(bench.machine.echo.running).toBe(false);
    expect(Bench.up({}, echoing).machine.echo.running).toBe(false);
  });

  test("of which none ever came back say nothing", () => {
    const bench = Bench.up({ echoMs: 20 }, echoing);
    bench.runHearing(2000, 5, { state: UP, ...echoing });
    expect(bench.echoes.length).toBeGreaterThan(90);
    expect(bench.machine.state).toBe(UP);
    expect(bench.take().every(({ requiredMinRxUs }) => requiredMinRxUs === 10_000)).toBe(true);
    // From the first on they do, also after the session went down and came up.
    returnAll(bench, bench.echoes.length - 1);
    expect(bench.take()[0]).toMatchObject({ poll: true, requiredMinRxUs: 1_000_000 });
    for (let i = 0; i < 2; i++) {
      bench.runHearing(100, 5, { state: UP, ...echoing });
      expect(bench.transitions.at(-1)).toMatchObject({ state: DOWN, diagnostic: DIAGNOSTIC.ECHO_FAILED });
      bench.hear({ state: DOWN, ...echoing });
      bench.hear({ state: UP, ...echoing });
    }
  });

  test("count once, and those that were never sent not at all", () => {
    const bench = Bench.up({ echoMs: 20 }, echoing);
    bench.run(1);
    const { sequence } = bench.echoes[0]!;
    expect(bench.machine.echoReturned(sequence, bench.nowMs)).toBe(true);
    expect(bench.machine.echoReturned(sequence, bench.nowMs)).toBe(false);
    expect(bench.machine.echoReturned(sequence + 1, bench.nowMs)).toBe(false);
    expect(bench.machine.echoReturned(0xffff_ffff, bench.nowMs)).toBe(false);
  });
});

describe("whatever comes", () => {
  const packet = fc.record({
    state: fc.constantFrom(ADMIN_DOWN, DOWN, INIT, UP),
    poll: fc.boolean(),
    final: fc.boolean(),
    demand: fc.boolean(),
    diagnostic: fc.nat(31),
    detectMultiplier: fc.integer({ min: 1, max: 255 }),
    myDiscriminator: fc.integer({ min: 1, max: 4 }),
    yourDiscriminator: fc.constantFrom(0, OUR_DISCRIMINATOR),
    desiredMinTxUs: fc.constantFrom(0, 1, 1000, 10_000, 1_000_000, 0xffff_ffff),
    requiredMinRxUs: fc.constantFrom(0, 1, 1000, 10_000, 1_000_000, 0xffff_ffff),
    requiredMinEchoRxUs: fc.constantFrom(0, 1, 20_000, 0xffff_ffff),
  });
  const step = fc.oneof(
    { weight: 6, arbitrary: packet.map((one) => ({ kind: "hear" as const, one })) },
    {
      weight: 4,
      arbitrary: fc.double({ min: 0, max: 100, noNaN: true }).map((ms) => ({ kind: "run" as const, ms })),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom("disable" as const, "enable" as const).map((kind) => ({ kind })),
    },
    {
      weight: 1,
      arbitrary: fc
        .record({
          txUs: fc.integer({ min: 1000, max: 60_000 }),
          rxUs: fc.integer({ min: 1000, max: 60_000 }),
        })
        .map((times) => ({ kind: "retime" as const, times: { ...times, multiplier: 3 } })),
    },
  );

  test("nothing is thrown, answers are one for one, and what is sent is never oftener than both allow", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), fc.nat(), (steps, seed) => {
        const bench = new Bench({ echoMs: 10 }, seed);
        bench.machine.enable(bench.nowMs);
        let polls = 0;
        let changes = 0;
        for (const one of steps) {
          if (one.kind === "hear") {
            const { yourDiscriminator, state } = one.one;
            if (yourDiscriminator === 0 && state > DOWN) continue;
            const taken = bench.hear({ ...PEER, ...one.one }) === "taken";
            if (taken && one.one.poll) polls += 1;
            changes += 1;
          } else if (one.kind === "run") bench.run(one.ms);
          else if (one.kind === "retime") bench.machine.retime(one.times, bench.nowMs);
          else bench.machine[one.kind](bench.nowMs);
        }
        const sent = bench.take();
        expect(sent.filter(({ final }) => final)).toHaveLength(polls);
        expect(
          sent.every(
            ({ demand, state, yourDiscriminator }) => !demand && (state <= DOWN || yourDiscriminator !== 0),
          ),
        ).toBe(true);
        expect(sent.every(({ state, desiredMinTxUs }) => state === UP || desiredMinTxUs >= 1_000_000)).toBe(
          true,
        );
        // The beat of the quickest time allowed here, and one packet for each piece of news.
        const beats = (bench.nowMs - 1000) / 0.75 + 1;
        expect(sent.length).toBeLessThanOrEqual(polls + 4 * (steps.length + changes) + beats + 1);
        expect(Number.isNaN(bench.machine.nextMs)).toBe(false);
        expect(bench.machine.nextMs).toBeGreaterThan(0);
      }),
      { numRuns: 500 },
    );
  });
});
