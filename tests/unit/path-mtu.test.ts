/** Path MTUs in virtual time: floors, plateaus, only downwards, ten minutes, bounded. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  MIN_PATH_MTU4,
  MIN_PATH_MTU6,
  PATH_MTU_AGE_MS,
  type PathMtuOptions,
  PathMtus,
  PLATEAUS,
} from "../../stack/ip/routes/path-mtu.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { VirtualTime } from "../support/virtual-ip.ts";

const FOUR = IpAddress.parse("192.0.2.1");
const SIX = IpAddress.parse("2001:db8::1");

const setUp = (options: PathMtuOptions = {}) => {
  const time = new VirtualTime();
  const heard: string[] = [];
  const table = new PathMtus(time, {
    changed: (destination, mtu) => void heard.push(`${destination.toString()} ${mtu}`),
    ...options,
  });
  const of = ({ w0, w1, w2, w3 }: IpAddress): number => table.of(w0, w1, w2, w3);
  const narrow = ({ w0, w1, w2, w3 }: IpAddress): boolean => table.fragmentable(w0, w1, w2, w3);
  return { time, table, heard, of, narrow };
};

describe("a report", () => {
  test("lowers and never raises", () => {
    const { table, of, heard } = setUp();
    expect(of(FOUR)).toBe(0);
    expect(table.lower(FOUR, 1400, 1500)).toBe(true);
    expect(table.lower(FOUR, 1450, 1500)).toBe(false);
    expect(table.lower(FOUR, 1400, 1500)).toBe(false);
    expect(of(FOUR)).toBe(1400);
    expect(table.lower(FOUR, 1300)).toBe(true);
    expect(of(FOUR)).toBe(1300);
    expect(of(SIX)).toBe(0);
    expect(heard).toEqual(["192.0.2.1 1400", "192.0.2.1 1300"]);
    expect(table.statistics()).toMatchObject({ entries: 1, lowered: 2, notLower: 2 });
  });

  test("below the floor is discarded for IPv6, and for IPv4 lowers to the floor and lets routers cut", () => {
    const { table, of, narrow } = setUp();
    expect(table.lower(SIX, MIN_PATH_MTU6 - 1)).toBe(false);
    expect(table.lower(SIX, 0, 1500)).toBe(false);
    expect(of(SIX)).toBe(0);
    expect(table.lower(SIX, MIN_PATH_MTU6)).toBe(true);
    expect(of(SIX)).toBe(MIN_PATH_MTU6);
    expect(table.lower(FOUR, MIN_PATH_MTU4)).toBe(true);
    expect([of(FOUR), narrow(FOUR)]).toEqual([MIN_PATH_MTU4, false]);
    expect(table.lower(FOUR, 68)).toBe(true);
    expect(table.lower(FOUR, 100)).toBe(false);
    expect(table.lower(FOUR, MIN_PATH_MTU4)).toBe(false);
    expect([of(FOUR), narrow(FOUR)]).toEqual([MIN_PATH_MTU4, true]);
    expect(table.statistics()).toMatchObject({ lowered: 3, tooSmall: 2, notLower: 2 });
  });

  test("that is not below the packet it is about is nonsense", () => {
    const { table, of } = setUp();
    expect(table.lower(FOUR, 1500, 1500)).toBe(false);
    expect(table.lower(FOUR, 70_000)).toBe(false);
    expect(table.lower(FOUR, -1)).toBe(false);
    expect(table.lower(FOUR, NaN)).toBe(false);
    expect(of(FOUR)).toBe(0);
    expect(table.statistics()).toMatchObject({ entries: 0, notLower: 2, unknown: 2 });
  });

  test("of 0 goes down the plateaus of RFC 1191", () => {
    const { table, of } = setUp();
    expect(table.lower(FOUR, 0)).toBe(false);
    const seen: number[] = [];
    for (let sent = 65_535; table.lower(FOUR, 0, sent); sent = of(FOUR)) seen.push(of(FOUR));
    expect(seen).toEqual([...PLATEAUS.slice(1, 8), MIN_PATH_MTU4]);
    const { table: other, of: ofOther } = setUp();
    other.lower(FOUR, 1500);
    expect(other.lower(FOUR, 0)).toBe(true);
    expect(ofOther(FOUR)).toBe(1492);
  });
});

describe("an entry", () => {
  test("is forgotten after ten minutes since its last report", () => {
    const { table, of, time, heard } = setUp();
    table.lower(FOUR, 1400);
    time.advance(PATH_MTU_AGE_MS / 2);
    table.lower(SIX, 1300);
    table.lower(FOUR, 1400);
    time.advance(PATH_MTU_AGE_MS - 1);
    expect([of(FOUR), of(SIX)]).toEqual([1400, 1300]);
    time.advance(1);
    expect([of(FOUR), of(SIX)]).toEqual([0, 0]);
    expect(heard.slice(-2)).toEqual(["2001:db8::1 0", "192.0.2.1 0"]);
    expect(table.statistics()).toMatchObject({ entries: 0, expired: 2 });
    expect(time.idle).toBe(true);
  });

  test("may be raised by proof, but not soon after a report", () => {
    const { table, of, time } = setUp({ ageMs: 2 * PATH_MTU_AGE_MS });
    table.lower(FOUR, 600);
    expect(table.raise(FOUR, 1400)).toBe(false);
    time.advance(PATH_MTU_AGE_MS - 1);
    expect(table.raise(FOUR, 1400)).toBe(false);
    time.advance(1);
    expect(table.raise(FOUR, 500)).toBe(false);
    expect(table.raise(SIX, 1400)).toBe(false);
    expect(table.raise(FOUR, 1400)).toBe(true);
    expect(of(FOUR)).toBe(1400);
    expect(table.statistics().raised).toBe(1);
  });

  test("makes room for others, the one reported longest ago first", () => {
    const { table, of } = setUp({ entries: 2 });
    const third = IpAddress.parse("192.0.2.3");
    table.lower(FOUR, 1400);
    table.lower(SIX, 1400);
    table.lower(FOUR, 1300);
    table.lower(third, 1200);
    expect([of(FOUR), of(SIX), of(third)]).toEqual([1300, 0, 1200]);
    expect(table.statistics()).toMatchObject({ entries: 2, evicted: 1 });
  });

  test("goes by forget and by close, the timer too", () => {
    const { table, of, time } = setUp();
    table.lower(FOUR, 1400);
    expect(table.forget(FOUR)).toBe(true);
    expect(table.forget(FOUR)).toBe(false);
    expect(of(FOUR)).toBe(0);
    expect(time.idle).toBe(true);
    table.lower(SIX, 1400);
    table.close();
    table.close();
    expect(of(SIX)).toBe(0);
    expect(table.lower(SIX, 1400)).toBe(false);
    expect(time.idle).toBe(true);
  });

  test("never grows between reports, whatever they say", () => {
    const report = fc.record({
      host: fc.integer({ min: 1, max: 6 }),
      mtu: fc.oneof(fc.integer({ min: -2, max: 2000 }), fc.integer({ min: 0, max: 70_000 })),
      sent: fc.integer({ min: 0, max: 2000 }),
      wait: fc.integer({ min: 0, max: 1000 }),
    });
    fc.assert(
      fc.property(fc.array(report), fc.boolean(), (reports, six) => {
        const { table, of, time } = setUp({ entries: 4, ageMs: 3000 });
        const at = (host: number): IpAddress =>
          six ? IpAddress.words(0x2001_0db8, 0, 0, host) : IpAddress.v4(host);
        const floor = six ? MIN_PATH_MTU6 : MIN_PATH_MTU4;
        for (const { host, mtu, sent, wait } of reports) {
          const before = of(at(host));
          const lowered = table.lower(at(host), mtu, sent);
          const after = of(at(host));
          if (!lowered) expect(after).toBe(before);
          else expect(before === 0 || after <= before).toBe(true);
          if (after !== 0) expect(after).toBeGreaterThanOrEqual(floor);
          expect(table.statistics().entries).toBeLessThanOrEqual(4);
          time.advance(wait);
        }
        time.advance(3000);
        expect(table.statistics().entries).toBe(0);
        expect(time.idle).toBe(true);
      }),
    );
  });

  test("needs options in range", () => {
    expect(() => setUp({ entries: 0 })).toThrow("entries");
    expect(() => setUp({ ageMs: 0 })).toThrow("ageMs");
  });
});
