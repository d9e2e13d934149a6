/** What is on its way when paths die: answers that take another one, and packets that wait for a next hop that is dead. */
import { describe, expect, test } from "bun:test";
import { LINK_EVERY_MS } from "../../stack/loop/loop.ts";
import { IpAddress } from "../../stack/wire/address.ts";
import { HostLab } from "../support/host-lab.ts";
import { type End, Oracle, SERVICES, twoLinks } from "../support/two-links.ts";

const VERIFY_MS = 1000;
const PORT = 7;
const FAR = { address: SERVICES.far, port: PORT };
const HELLO = Uint8Array.of(1, 2, 3);

/** Until a busy loop has asked the devices what happened to their links. */
const settle = (lab: HostLab): void => lab.run(LINK_EVERY_MS);

describe("an answer", () => {
  const ask = (lab: HostLab, near: End): string[] => {
    const answers: string[] = [];
    const socket = near.host.udp({ address: SERVICES.near }, (datagram) => {
      answers.push(`${datagram.interface.name} from ${datagram.remoteAddress.toString()}`);
    });
    socket.send(FAR, HELLO);
    lab.run(0);
    socket.close();
    return answers;
  };

  test("goes back where the question came from, in place, as long as that path lives", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab);
    const turned: boolean[] = [];
    far.host.udp(PORT, (datagram) => {
      datagram.reply();
      // A copy leaves the datagram to its handler.
      turned.push(!datagram.live);
    });
    expect(ask(lab, near)).toEqual(["eth0 from 10.9.0.2"]);
    const oracle = new Oracle("bfd");
    far.host.paths.watch({ gateway: "10.1.0.1" }, oracle);
    oracle.say("down");
    expect(ask(lab, near)).toEqual(["eth1 from 10.9.0.2"]);
    oracle.say("up");
    expect(ask(lab, near)).toEqual(["eth1 from 10.9.0.2"]);
    lab.run(VERIFY_MS);
    expect(ask(lab, near)).toEqual(["eth0 from 10.9.0.2"]);
    expect(turned).toEqual([true, false, false, true]);
  });

  test("that is a copy goes back where the question came from as well, though routes prefer another path", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab);
    far.host.udp(PORT, (datagram) => void datagram.replyWith(HELLO));
    const came: string[] = [];
    const socket = near.host.udp(
      { address: SERVICES.near },
      ({ interface: { name } }) => void came.push(name),
    );
    const over = near.paths.map((via) => socket.to(SERVICES.far, PORT, { via }));
    const asked = (): string[] => {
      came.length = 0;
      for (const to of over) {
        socket.send(to, HELLO);
        lab.run(0);
      }
      return came;
    };
    expect(asked()).toEqual(["eth0", "eth1"]);
    far.host.paths.set(far.paths[1], "down");
    expect(asked()).toEqual(["eth0", "eth0"]);
    // Where both are on trial neither is better than that.
    const oracles = far.paths.map((path) => {
      const oracle = new Oracle("bfd", "up");
      far.host.paths.watch(path, oracle);
      return oracle;
    });
    far.host.paths.set(far.paths[1], "up");
    for (const oracle of oracles) for (const say of ["down", "up"] as const) oracle.say(say);
    expect(far.paths.map(({ state }) => state)).toEqual(["verifying", "verifying"]);
    expect(asked()).toEqual(["eth0", "eth1"]);
  });

  test("is in place again when the path that was dead is no more", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const [on] = near.interfaces;
    const { gateway } = near.paths[0];
    near.host.paths.set(near.paths[0], "down");
    expect([on.turns4, on.turns6]).toEqual([false, true]);
    const [route] = near.host.routes.all().filter((one) => one.gateway?.equals(gateway!));
    near.host.routes.remove(route!);
    expect(on.turns4).toBe(true);
  });

  test("of a socket that is bound to an interface goes out of that or not at all", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab);
    const served = far.host.udp({ port: PORT, interface: "eth0" }, (datagram) => void datagram.reply());
    expect(ask(lab, near)).toEqual(["eth0 from 10.9.0.2"]);
    far.host.paths.set(far.paths[0], "down");
    expect(ask(lab, near)).toEqual([]);
    expect(served.statistics()).toMatchObject({ received: 2, sent: 1, refusedOther: 1 });
  });
});

describe("what waits for a next hop that is dead", () => {
  test("is given up at once, counted, and sent by nobody twice", () => {
    using lab = new HostLab();
    const { near, far } = twoLinks(lab);
    const came: string[] = [];
    far.host.udp(PORT, (datagram) => void came.push(datagram.interface.name));
    // Nobody answers on the first link.
    far.host.leave(far.interfaces[0]);
    near.interfaces[0].neighbours4.forget(IpAddress.parse("10.1.0.2"));
    const socket = near.host.udp({ address: SERVICES.near }, () => {});
    const lost: string[] = [];
    const notice = (name: string) => ({
      sent: () => void lost.push(`${name} sent`),
      dropped: (why: string) => {
        lost.push(`${name} ${why}`);
        // Whoever hears of it finds the other way.
        socket.send(FAR, HELLO);
      },
    });
    for (const name of ["a", "b"]) socket.send(FAR, HELLO, { notice: notice(name) });
    lab.run(0);
    expect([lost, came]).toEqual([[], []]);
    const oracle = new Oracle("neighbour");
    near.host.paths.watch(near.paths[0], oracle);
    oracle.say("down", 20);
    expect(lost).toEqual(["a unreachable", "b unreachable"]);
    expect(near.events.at(-1)).toMatchObject({ givenUp: 2, stranded: 0, reason: "neighbour" });
    expect(near.paths[0].statistics()).toMatchObject({ givenUp: 2, sent: 0 });
    lab.run(10_000);
    expect(came).toEqual(["eth1", "eth1"]);
    expect(socket.statistics()).toMatchObject({ sent: 4, expired: 2 });
  });

  test("is left alone where it waits for another of the same link", () => {
    using lab = new HostLab();
    const { near } = twoLinks(lab);
    const dropped: string[] = [];
    const notice = { sent: () => {}, dropped: (why: string) => void dropped.push(why) };
    const socket = near.host.udp({}, () => {});
    socket.send({ address: "10.1.0.50", port: 1 }, HELLO, { notice });
    near.host.paths.set(near.paths[0], "down");
    expect(dropped).toEqual([]);
    near.devices[0].setUp(false);
    settle(lab);
    expect(dropped).toEqual(["unreachable"]);
    expect(near.host.paths.find({ interface: "eth0", gateway: null })!.statistics().givenUp).toBe(1);
  });
});
